//! Dead letters: the original message, and why it can never work.

use anyhow::Context;
use mypay_schemas::Flow;

use crate::requests::Placed;
use crate::topic::{Offsets, Record};
use crate::world::World;

/// A dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The reason code, as in `not_avro`.
    pub reason: String,
    /// What exactly, for people.
    pub detail: String,
    /// Where the message lies.
    pub of: Placed,
    /// The record in the dead-letter topic: the message's own key and value.
    pub record: Record,
}

impl DeadLetter {
    /// The values of a header, as text; a header can be there several times.
    pub fn headers(&self, name: &str) -> Vec<String> {
        let named = self.record.headers.iter().filter(|(key, _)| key == name);
        named
            .map(|(_, value)| String::from_utf8_lossy(value).into_owned())
            .collect()
    }

    fn header(&self, name: &str) -> anyhow::Result<String> {
        let value = self.headers(name).into_iter().next();
        value.with_context(|| format!("a dead letter without {name}"))
    }
}

impl World {
    /// All dead letters of a flow's request topic since `from`.
    pub fn dead_letters(&self, flow: Flow, from: &Offsets) -> anyhow::Result<Vec<DeadLetter>> {
        let mut letters = Vec::new();
        for record in self.read_from(flow.dead_letter_topic(), from)? {
            let mut letter = DeadLetter {
                reason: String::new(),
                detail: String::new(),
                of: record.at,
                record,
            };
            // Those of other topics that the flow reads are of another place.
            if letter.header("dlq.topic")? != flow.request_topic() {
                continue;
            }
            letter.reason = letter.header("dlq.reason")?;
            letter.detail = letter.header("dlq.detail")?;
            letter.of = Placed {
                partition: letter.header("dlq.partition")?.parse()?,
                offset: letter.header("dlq.offset")?.parse()?,
            };
            letters.push(letter);
        }
        Ok(letters)
    }
}
