//! Where partitions begin and end, and consumers that read between.

use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};

use crate::error::AuditError;

/// How long a question to the brokers may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

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

/// A consumer that joins no group and commits nothing.
pub(crate) fn consumer(bootstrap: &str, isolation: Isolation) -> Result<BaseConsumer, AuditError> {
    let isolation = match isolation {
        Isolation::Committed => "read_committed",
        Isolation::Uncommitted => "read_uncommitted",
    };
    Ok(ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
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
        .create()?)
}

/// Where all partitions of topics begin and end.
pub(crate) fn spans(
    consumer: &BaseConsumer,
    topics: &[&'static str],
) -> Result<Vec<Span>, AuditError> {
    let mut spans = Vec::new();
    for topic in topics {
        let metadata = consumer.fetch_metadata(Some(topic), PATIENCE)?;
        for partition in metadata.topics().iter().flat_map(|topic| topic.partitions()) {
            let partition = partition.id();
            let (low, high) = consumer.fetch_watermarks(topic, partition, PATIENCE)?;
            spans.push(Span { topic, partition, low, high });
        }
    }
    Ok(spans)
}

/// Waits until all up to the ends is decided, so that a read_committed reader
/// which comes to the end of a partition has seen all of its span.
pub(crate) fn await_decided(bootstrap: &str, spans: &[Span]) -> Result<(), AuditError> {
    let committed = consumer(bootstrap, Isolation::Committed)?;
    let deadline = Instant::now() + OPEN_TRANSACTION_PATIENCE;
    for span in spans {
        loop {
            // Under read_committed the end is the last stable offset.
            let (_, stable) = committed.fetch_watermarks(span.topic, span.partition, PATIENCE)?;
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
