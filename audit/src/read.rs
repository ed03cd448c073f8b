//! Reads whole partitions, a few at once.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{Offset, TopicPartitionList};

use crate::error::AuditError;
use crate::kafka::{self, Isolation, Span};

/// How long a topic may give nothing before the read is given up.
const SILENCE: Duration = Duration::from_secs(30);
/// A topic with more messages is read by two consumers.
const LARGE: i64 = 20_000;

/// Partitions of one topic that one consumer reads.
pub(crate) struct Share(pub(crate) Vec<Span>);

impl Share {
    fn size(&self) -> i64 {
        self.0.iter().map(|span| span.high - span.low).sum()
    }
}

/// Deals spans into shares, the largest first, so that threads end together.
pub(crate) fn shares(spans: &[Span]) -> Vec<Share> {
    let mut shares: Vec<Share> = spans
        .chunk_by(|a, b| a.topic == b.topic)
        .flat_map(|topic| {
            let filled: Vec<Span> = topic
                .iter()
                .copied()
                .filter(|span| span.high > span.low)
                .collect();
            let whole = Share(filled);
            if whole.size() > LARGE && whole.0.len() > 1 {
                let (left, right) = whole.0.split_at(whole.0.len() / 2);
                vec![Share(left.to_vec()), Share(right.to_vec())]
            } else {
                vec![whole]
            }
        })
        .filter(|share| !share.0.is_empty())
        .collect();
    shares.sort_by_key(|share| std::cmp::Reverse(share.size()));
    shares
}

/// Reads shares on as many threads as there are cores; `reader` makes one
/// reader a thread, and `read` has it read a share.
///
/// Blocks.
pub(crate) fn in_parallel<R, T: Send>(
    shares: Vec<Share>,
    reader: impl Fn() -> R + Sync,
    read: impl Fn(&mut R, &Share) -> Result<T, AuditError> + Sync,
) -> Result<Vec<T>, AuditError> {
    let threads = std::thread::available_parallelism()
        .map_or(2, usize::from)
        .clamp(1, 8);
    let queue = Mutex::new(VecDeque::from(shares));
    std::thread::scope(|scope| {
        let worker = || {
            let mut reader = reader();
            let mut taken = Vec::new();
            loop {
                let next = queue
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .pop_front();
                match next {
                    Some(share) => taken.push(read(&mut reader, &share)?),
                    None => return Ok(taken),
                }
            }
        };
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
        let mut all = Vec::new();
        for thread in threads {
            let taken: Result<Vec<T>, AuditError> =
                thread.join().map_err(|_| AuditError::Panicked)?;
            all.extend(taken?);
        }
        Ok(all)
    })
}

/// Gives each message of a share to `visit`, in the order of a partition's
/// offsets. All up to the ends must be decided: see [`kafka::await_decided`].
pub(crate) fn each(
    bootstrap: &str,
    share: &Share,
    visit: impl FnMut(&BorrowedMessage<'_>) -> Result<(), AuditError>,
) -> Result<(), AuditError> {
    with(
        &kafka::consumer(bootstrap, Isolation::Committed)?,
        share,
        visit,
    )
}

/// The same with a consumer that may have read others before.
pub(crate) fn with(
    consumer: &kafka::Reader,
    share: &Share,
    mut visit: impl FnMut(&BorrowedMessage<'_>) -> Result<(), AuditError>,
) -> Result<(), AuditError> {
    assign(consumer, share)?;
    let mut open: Vec<(i32, i64)> = share
        .0
        .iter()
        .map(|span| (span.partition, span.high))
        .collect();
    let mut heard = Instant::now();
    while !open.is_empty() {
        match consumer.poll(Duration::from_millis(500)) {
            Some(Ok(message)) => {
                heard = Instant::now();
                let Some(place) = open.iter().position(|(p, _)| *p == message.partition()) else {
                    continue;
                };
                let high = open[place].1;
                if message.offset() < high {
                    visit(&message)?;
                }
                if message.offset() + 1 >= high {
                    open.swap_remove(place);
                }
            }
            // The last offsets may be markers of transactions, which are given
            // to nobody: only the end of the partition tells of them.
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                open.retain(|(open, _)| *open != partition);
            }
            Some(Err(error @ KafkaError::MessageConsumptionFatal(_))) => return Err(error.into()),
            Some(Err(error)) => tracing::warn!(%error, "reading"),
            None => {}
        }
        if heard.elapsed() > SILENCE {
            return Err(AuditError::Silent {
                topic: share.0.first().map_or("", |span| span.topic).to_string(),
                seconds: SILENCE.as_secs(),
            });
        }
    }
    Ok(())
}

fn assign(consumer: &kafka::Reader, share: &Share) -> Result<(), AuditError> {
    let mut partitions = TopicPartitionList::new();
    for span in &share.0 {
        partitions.add_partition_offset(span.topic, span.partition, Offset::Offset(span.low))?;
    }
    consumer.assign(&partitions)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(topic: &'static str, partition: i32, high: i64) -> Span {
        Span {
            topic,
            partition,
            low: 0,
            high,
        }
    }

    #[test]
    fn a_large_topic_is_halved_an_empty_one_left_out_and_the_largest_comes_first() {
        let shares = shares(&[
            span("small", 0, 10),
            span("large", 0, 20_000),
            span("large", 1, 30_000),
            span("empty", 0, 0),
        ]);
        let dealt: Vec<_> = shares
            .iter()
            .map(|share| (share.0[0].topic, share.size()))
            .collect();
        assert_eq!(dealt, [("large", 30_000), ("large", 20_000), ("small", 10)]);
    }
}
