//! Where partitions begin and end, and consumers that read between.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use mypay_schemas::Flow;
use mypay_schemas::reversal::FIRMBANKING_REVERSAL;
use rdkafka::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};

use crate::error::AuditError;

/// How long a question to the brokers may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
/// How long a leader or coordinator may be on the move: on a busy machine a broker hears
/// late of who leads.
const MOVING: Duration = Duration::from_secs(60);

/// How long an open transaction is waited for. The brokers end one that nobody
/// ends after its producer's time-out, which for ours is 20 seconds.
const OPEN_TRANSACTION_PATIENCE: Duration = Duration::from_secs(40);

/// A partition from its lowest offset to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    /// The topic.
    pub(crate) topic: &'static str,
    /// The partition.
    pub(crate) partition: i32,
    /// The lowest offset that is still there.
    pub(crate) low: i64,
    /// The offset after the last one, markers of transactions counted in.
    pub(crate) high: i64,
}

/// How a consumer looks at transactions that are not decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Isolation {
    /// Ends before them.
    Committed,
    /// Ends behind them.
    Uncommitted,
}

/// Says what goes wrong, but for the ends of partitions, which are asked for.
pub(crate) struct Quiet;

impl ClientContext for Quiet {
    fn error(&self, error: KafkaError, reason: &str) {
        let end = RDKafkaErrorCode::PartitionEOF;
        if error.rdkafka_error_code() != Some(end) && !matches!(error, KafkaError::PartitionEOF(_))
        {
            tracing::warn!(%error, reason, "Kafka");
        }
    }
}

impl ConsumerContext for Quiet {}

/// A consumer of the audit.
pub(crate) type Reader = BaseConsumer<Quiet>;

/// A consumer that joins no group and commits nothing.
pub(crate) fn consumer(bootstrap: &str, isolation: Isolation) -> Result<Reader, AuditError> {
    let isolation = match isolation {
        Isolation::Committed => "read_committed",
        Isolation::Uncommitted => "read_uncommitted",
    };
    Ok(mypay_kafka::client(bootstrap)
        .set("client.id", "mypay.audit")
        // librdkafka's consumer wants the name of a group, though partitions
        // that are assigned by hand need none.
        .set("group.id", "mypay.audit")
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest")
        .set("isolation.level", isolation)
        .set("enable.partition.eof", "true")
        .set("fetch.wait.max.ms", "20")
        .set("fetch.error.backoff.ms", "50")
        // Large fetches ahead: the whole partition is wanted.
        .set("fetch.message.max.bytes", "4194304")
        .set("queued.min.messages", "100000")
        .set("queued.max.messages.kbytes", "65536")
        .create_with_context(Quiet)?)
}

/// Where all partitions of topics begin and end.
pub(crate) fn spans(consumer: &Reader, topics: &[&'static str]) -> Result<Vec<Span>, AuditError> {
    partitions(consumer, topics)?
        .into_iter()
        .map(|(topic, partition)| {
            let (low, high) = patiently(|| consumer.fetch_watermarks(topic, partition, PATIENCE))?;
            Ok(Span {
                topic,
                partition,
                low,
                high,
            })
        })
        .collect()
}

/// All partitions of topics.
pub(crate) fn partitions(
    consumer: &Reader,
    topics: &[&'static str],
) -> Result<Vec<(&'static str, i32)>, AuditError> {
    let mut all = Vec::new();
    for topic in topics {
        let metadata = patiently(|| consumer.fetch_metadata(Some(topic), PATIENCE))?;
        let of_topic = metadata
            .topics()
            .iter()
            .flat_map(|topic| topic.partitions());
        all.extend(of_topic.map(|partition| (*topic, partition.id())));
    }
    Ok(all)
}

/// The topics that a flow's consumer reads.
pub(crate) fn read_by(flow: Flow) -> Vec<&'static str> {
    let mut topics = vec![flow.request_topic()];
    if !matches!(flow, Flow::Payment | Flow::Firmbanking) {
        topics.push(Flow::Firmbanking.result_topic());
    }
    if matches!(flow, Flow::Remittance | Flow::Settlement | Flow::Closing) {
        topics.push(FIRMBANKING_REVERSAL);
    }
    if matches!(flow, Flow::Remittance | Flow::Payment) {
        topics.push(Flow::Recharge.result_topic());
    }
    topics
}

/// The offsets that a flow's group has committed, where it has.
///
/// A consumer commits them in the Kafka transaction of its results: the results
/// of all offsets below are on their topics.
pub(crate) fn committed(
    bootstrap: &str,
    flow: Flow,
    partitions: &[(&'static str, i32)],
) -> Result<HashMap<(&'static str, i32), i64>, AuditError> {
    let group: Reader = mypay_kafka::client(bootstrap)
        .set("client.id", "mypay.audit")
        // The group is asked and not joined.
        .set("group.id", format!("mypay.{flow}"))
        .set("enable.auto.commit", "false")
        // Waits for offsets of a transaction that is not yet decided.
        .set("isolation.level", "read_committed")
        .create_with_context(Quiet)?;
    let mut wanted = TopicPartitionList::new();
    for (topic, partition) in partitions {
        wanted.add_partition(topic, *partition);
    }
    let committed = patiently(|| group.committed_offsets(wanted.clone(), PATIENCE))?;
    let offset = |(topic, partition): (&'static str, i32)| match committed
        .find_partition(topic, partition)?
        .offset()
    {
        Offset::Offset(offset) => Some(((topic, partition), offset)),
        _ => None,
    };
    Ok(partitions.iter().copied().filter_map(offset).collect())
}

/// Asks until the broker in charge answers: on a cluster that has just come up, or
/// moves a partition's leader or a group's coordinator, another broker says for a
/// moment that it is not the one. Leaders move back by themselves some minutes
/// after a broker was away.
fn patiently<T>(mut ask: impl FnMut() -> KafkaResult<T>) -> KafkaResult<T> {
    let deadline = Instant::now() + MOVING;
    loop {
        match ask() {
            Err(error)
                if is_on_the_move(error.rdkafka_error_code()) && Instant::now() < deadline =>
            {
                std::thread::sleep(Duration::from_millis(200));
            }
            answer => return answer,
        }
    }
}

fn is_on_the_move(code: Option<RDKafkaErrorCode>) -> bool {
    matches!(
        code,
        Some(
            RDKafkaErrorCode::NotCoordinator
                | RDKafkaErrorCode::CoordinatorLoadInProgress
                | RDKafkaErrorCode::CoordinatorNotAvailable
                | RDKafkaErrorCode::NotLeaderForPartition
                | RDKafkaErrorCode::LeaderNotAvailable
                | RDKafkaErrorCode::UnknownLeaderEpoch
                | RDKafkaErrorCode::FencedLeaderEpoch
        )
    )
}

/// Waits until all up to the ends is decided, so that a read_committed reader
/// which comes to the end of a partition has seen all of its span.
pub(crate) fn await_decided(bootstrap: &str, spans: &[Span]) -> Result<(), AuditError> {
    let committed = consumer(bootstrap, Isolation::Committed)?;
    let deadline = Instant::now() + OPEN_TRANSACTION_PATIENCE;
    for span in spans {
        loop {
            // Under read_committed the end is the last stable offset.
            let (_, stable) =
                patiently(|| committed.fetch_watermarks(span.topic, span.partition, PATIENCE))?;
            if stable >= span.high {
                break;
            }
            if Instant::now() >= deadline {
                return Err(AuditError::OpenTransaction {
                    topic: span.topic.to_string(),
                    partition: span.partition,
                    at: stable,
                    wanted: span.high,
                });
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails so often, then answers.
    fn after(failures: u32, code: RDKafkaErrorCode) -> (KafkaResult<u32>, u32) {
        let mut asked = 0;
        let answer = patiently(|| {
            asked += 1;
            if asked > failures {
                Ok(asked)
            } else {
                Err(KafkaError::MetadataFetch(code))
            }
        });
        (answer, asked)
    }

    #[test]
    fn a_leader_that_moves_is_waited_for_and_another_error_is_not() {
        let (answer, asked) = after(2, RDKafkaErrorCode::NotLeaderForPartition);
        assert_eq!((answer, asked), (Ok(3), 3));
        let (answer, asked) = after(2, RDKafkaErrorCode::TopicAuthorizationFailed);
        assert!(answer.is_err());
        assert_eq!(asked, 1);
    }
}
