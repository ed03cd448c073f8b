//! Dead letters: which message each says it is.

use mypay_schemas::Flow;
use rdkafka::message::{BorrowedMessage, Headers, Message as _};

use super::reader::Reader;
use super::{Taken, hash_of};
use crate::rows::{DeadLetter, Place, Source};

/// Reads a dead letter of a flow.
pub(super) fn read(
    reader: &Reader<'_>,
    flow: Flow,
    message: &BorrowedMessage<'_>,
    taken: &mut Taken,
) {
    let header = |name: &str| {
        let headers = message.headers()?;
        let header = headers.iter().find(|header| header.key == name)?;
        std::str::from_utf8(header.value?).ok()
    };
    let place = || {
        let topic = header("dlq.topic")?;
        let source = Source::of(flow, topic);
        let partition = header("dlq.partition")?.parse().ok()?;
        let offset = header("dlq.offset")?.parse().ok()?;
        Some(Place {
            source,
            partition,
            offset,
        })
    };
    match (place(), header("dlq.reason")) {
        (Some(place), Some(reason)) => taken.dead_letters.push(DeadLetter {
            place,
            bytes: hash_of(message.payload().unwrap_or_default()),
            reason: reader.reasons.code(reason),
            offset: message.offset(),
        }),
        _ => {
            let shown = format!(
                "{}-{}@{}",
                message.topic(),
                message.partition(),
                message.offset()
            );
            taken
                .strange
                .push((shown, "its headers do not say what it is".to_string()));
        }
    }
}
