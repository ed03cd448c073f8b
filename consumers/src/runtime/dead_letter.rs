//! Dead letters: what can never work, with all that is needed to see why and to
//! try it again.

use mypay_idempotency::transaction::Event;
use mypay_schemas::Flow;
use rdkafka::message::Headers;

use super::handler::Raw;

/// The most of a message's bytes that a dead letter carries.
///
/// A topic limits the size of a compressed batch, so a message can unpack to
/// more than any topic takes. A dead letter that cannot be written would hold
/// up its partition for ever: better one that is cut short and says so, while
/// the whole lies at its place in the request topic.
const PAYLOAD_MAX: usize = 1_500_000;

/// The most of a message's key that a dead letter carries.
const KEY_MAX: usize = 4_096;
/// The most of a message's headers, all together.
const HEADERS_MAX: usize = 64 * 1024;

/// Where a message came from.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The topic.
    pub topic: &'a str,
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
}

/// Why a message is dead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Why {
    /// A code that groups dead letters, as in `unknown_schema_id`.
    pub reason: &'static str,
    /// What exactly, for people.
    pub detail: String,
}

/// The dead letter of a message: its own bytes, key and headers, and why.
pub fn dead_letter(flow: Flow, place: Place<'_>, raw: &Raw, why: &Why) -> Event {
    let mut headers: Vec<(&'static str, Vec<u8>)> = vec![
        ("dlq.reason", why.reason.into()),
        ("dlq.detail", why.detail.clone().into()),
        ("dlq.fingerprint", fingerprint(flow, why).into()),
        ("dlq.consumer", flow.name().into()),
        ("dlq.topic", place.topic.into()),
        ("dlq.partition", place.partition.to_string().into()),
        ("dlq.offset", place.offset.to_string().into()),
        ("dlq.key.present", raw.key.is_some().to_string().into()),
    ];
    let mut traceparent = None;
    let mut room = HEADERS_MAX;
    for header in raw.headers.iter().flat_map(Headers::iter) {
        let value = header.value.unwrap_or_default();
        let size = header.key.len() + value.len();
        if size > room {
            headers.push(("dlq.header.left.out", size.to_string().into()));
            break;
        }
        room -= size;
        if header.key == "traceparent" {
            let value = std::str::from_utf8(value).unwrap_or_default();
            traceparent = mypay_schemas::trace::traceparent(value);
        } else {
            // Header names are the sender's; they are kept in a header of ours,
            // so that none can pass for a reason.
            headers.push(("dlq.header", [header.key.as_bytes(), b"=", value].concat()));
        }
    }
    let key = raw.key.as_deref().unwrap_or_default();
    if key.len() > KEY_MAX {
        headers.push(("dlq.key.truncated.from", key.len().to_string().into()));
    }
    let kept = raw.payload.len().min(PAYLOAD_MAX);
    if kept < raw.payload.len() {
        headers.push(("dlq.truncated.from", raw.payload.len().to_string().into()));
    }
    Event {
        topic: flow.dead_letter_topic(),
        key: key[..key.len().min(KEY_MAX)].to_vec(),
        payload: raw.payload[..kept].to_vec(),
        traceparent,
        headers,
    }
}

/// The same for all letters that died of the same: digits are left out, since
/// they are offsets, ids and amounts.
fn fingerprint(flow: Flow, why: &Why) -> String {
    let shape: String = why
        .detail
        .chars()
        .filter(|character| !character.is_ascii_digit())
        .take(120)
        .collect();
    let hash = mypay_schemas::identity::derive(
        uuid::Uuid::nil(),
        &format!("{flow} {} {shape}", why.reason),
    );
    hash.simple().to_string()[16..].to_string()
}
