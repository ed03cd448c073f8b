//! Fetches messages from where they lie.

use std::collections::{BTreeMap, HashMap};

use mypay_schemas::Flow;
use rdkafka::message::Message;

use super::judge::Original;
use super::named::named;
use crate::Servers;
use crate::at::At;
use crate::decoding::Decoding;
use crate::error::AuditError;
use crate::kafka::{self, Isolation, Span};
use crate::read::{self, Share};

/// What lies between two places that are no further apart is read, too: that is
/// quicker than to begin anew.
const GAP: i64 = 10_000;

/// The messages at these places that are still there, read as those of a flow.
/// Blocks.
pub(super) fn fetch(
    servers: &Servers,
    runtime: &tokio::runtime::Handle,
    places: &BTreeMap<At<'static>, Flow>,
) -> Result<HashMap<At<'static>, Original>, AuditError> {
    let mut topics: Vec<&'static str> = places.keys().map(|at| at.topic).collect();
    topics.dedup();
    let ends = kafka::consumer(&servers.bootstrap, Isolation::Uncommitted)?;
    let whole = kafka::spans(&ends, &topics)?;
    let reader = kafka::consumer(&servers.bootstrap, Isolation::Committed)?;
    let mut decoding = Decoding::new(&servers.registry_url, runtime);
    let mut originals = HashMap::with_capacity(places.len());
    for stretch in stretches(places.keys(), &whole) {
        read::with(&reader, &Share(vec![stretch]), |message| {
            let at = At {
                topic: stretch.topic,
                ..At::of(message)
            };
            let Some(flow) = places.get(&at) else {
                return Ok(());
            };
            let payload = message.payload().unwrap_or_default();
            let bytes = payload.len() + message.key().map_or(0, <[u8]>::len);
            let original = Original {
                naming: named(&mut decoding, *flow, at.topic, payload, bytes)?,
                message: message.detach(),
            };
            originals.insert(at, original);
            Ok(())
        })?;
    }
    Ok(originals)
}

/// The stretches of the partitions that hold these places, which are in order.
fn stretches<'a>(places: impl Iterator<Item = &'a At<'static>>, whole: &[Span]) -> Vec<Span> {
    let mut stretches: Vec<Span> = Vec::new();
    for at in places {
        let there = whole.iter().any(|span| {
            (span.topic, span.partition) == (at.topic, at.partition)
                && (span.low..span.high).contains(&at.offset)
        });
        if !there {
            continue;
        }
        match stretches.last_mut() {
            Some(last)
                if (last.topic, last.partition) == (at.topic, at.partition)
                    && at.offset - last.high < GAP =>
            {
                last.high = at.offset + 1;
            }
            _ => stretches.push(Span {
                topic: at.topic,
                partition: at.partition,
                low: at.offset,
                high: at.offset + 1,
            }),
        }
    }
    stretches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_places_are_read_at_a_stretch_and_those_that_are_gone_are_not() {
        let at = |partition, offset| At {
            topic: "t",
            partition,
            offset,
        };
        let span = |partition, low, high| Span {
            topic: "t",
            partition,
            low,
            high,
        };
        let places = [
            at(0, 5),
            at(0, 20),
            at(0, 9_000),
            at(0, 30_000),
            at(1, 30_001),
            at(2, 1),
        ];
        let whole = [span(0, 10, 40_000), span(1, 0, 30_001), span(2, 0, 2)];
        assert_eq!(
            stretches(places.iter(), &whole),
            [span(0, 20, 9_001), span(0, 30_000, 30_001), span(2, 1, 2)]
        );
    }
}
