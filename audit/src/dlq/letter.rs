//! A dead letter: what its headers say, and which message it holds.

use chrono::{DateTime, Utc};
use mypay_schemas::Flow;
use rdkafka::message::{Headers, Message};

use super::named::{Named, Naming, named};
use super::topic_of;
use crate::at::At;
use crate::decoding::Decoding;
use crate::error::AuditError;

/// A dead letter.
#[derive(Debug, Clone)]
pub(super) struct Letter {
    /// Whose consumer put it there.
    pub(super) flow: Flow,
    /// Where it lies.
    pub(super) place: At<'static>,
    /// Since when, by the broker.
    pub(super) at: DateTime<Utc>,
    /// Where its message lies.
    pub(super) of: At<'static>,
    /// A code, as in `defect`.
    pub(super) reason: String,
    /// What exactly, for people.
    pub(super) detail: String,
    /// The same for all that died of the same.
    pub(super) fingerprint: String,
    /// The record's key, for people.
    pub(super) key: Option<String>,
    /// Which message it holds.
    pub(super) message: Naming,
    /// The message's bytes.
    pub(super) bytes: Bytes,
}

impl Letter {
    /// Which message it holds, where that can be read.
    pub(super) fn named(&self) -> Option<&Named> {
        self.message.as_ref().ok()
    }

    /// Reads a record of a flow's dead letters; `None` where it is none of ours.
    pub(super) fn read(
        decoding: &mut Decoding,
        flow: Flow,
        record: &impl Message,
    ) -> Result<Option<Self>, AuditError> {
        let Some(said) = Said::of(flow, record) else {
            return Ok(None);
        };
        let payload = record.payload().unwrap_or_default();
        let key = record.key().unwrap_or_default();
        let bytes = Bytes::of(payload, said.cut_from.unwrap_or(payload.len()));
        let size = bytes.whole + said.key_cut_from.unwrap_or(key.len());
        let message = named(decoding, flow, said.of.topic, payload, size)?;
        let at = record.timestamp().to_millis().unwrap_or_default();
        Ok(Some(Self {
            flow,
            place: At {
                topic: flow.dead_letter_topic(),
                ..At::of(record)
            },
            at: DateTime::from_timestamp_millis(at).unwrap_or_default(),
            of: said.of,
            reason: said.reason,
            detail: said.detail,
            fingerprint: said.fingerprint,
            key: said
                .has_key
                .then(|| String::from_utf8_lossy(key).into_owned()),
            message,
            bytes,
        }))
    }
}

/// What the headers of a letter say.
struct Said {
    of: At<'static>,
    reason: String,
    detail: String,
    fingerprint: String,
    has_key: bool,
    cut_from: Option<usize>,
    key_cut_from: Option<usize>,
}

impl Said {
    fn of(flow: Flow, record: &impl Message) -> Option<Self> {
        let header = |name: &str| {
            let header = record.headers()?.iter().find(|header| header.key == name)?;
            Some(String::from_utf8_lossy(header.value?).into_owned())
        };
        let number = |name: &str| header(name)?.parse::<usize>().ok();
        Some(Self {
            of: At {
                topic: topic_of(flow, &header("dlq.topic")?)?,
                partition: header("dlq.partition")?.parse().ok()?,
                offset: header("dlq.offset")?.parse().ok()?,
            },
            reason: header("dlq.reason")?,
            detail: header("dlq.detail").unwrap_or_default(),
            fingerprint: header("dlq.fingerprint")?,
            has_key: header("dlq.key.present").as_deref() != Some("false"),
            cut_from: number("dlq.truncated.from"),
            key_cut_from: number("dlq.key.truncated.from"),
        })
    }
}

/// The bytes of a message; of one that its letter cut short, those that it kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Bytes {
    hash: [u8; 32],
    kept: usize,
    whole: usize,
}

impl Bytes {
    pub(super) fn of(kept: &[u8], whole: usize) -> Self {
        Self {
            hash: *blake3::hash(kept).as_bytes(),
            kept: kept.len(),
            whole,
        }
    }

    /// Whether a message has these bytes, as far as they were kept.
    pub(super) fn are(&self, payload: &[u8]) -> bool {
        payload.len() == self.whole
            && payload
                .get(..self.kept)
                .is_some_and(|kept| blake3::hash(kept).as_bytes() == &self.hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_the_bytes_of_its_letter_and_of_one_that_was_cut_short() {
        let whole = Bytes::of(b"abc", 3);
        assert!(whole.are(b"abc"));
        assert!(!whole.are(b"abd") && !whole.are(b"abcd") && !whole.are(b"ab"));
        let cut = Bytes::of(b"ab", 3);
        assert!(cut.are(b"abc") && cut.are(b"abx"));
        assert!(!cut.are(b"ab") && !cut.are(b"axc"));
    }
}
