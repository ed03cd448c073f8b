//! A range of time as a range of offsets.

use chrono::{DateTime, Utc};
use mypay_schemas::Flow;
use rdkafka::consumer::Consumer;
use rdkafka::{Offset, TopicPartitionList};

use crate::error::AuditError;
use crate::kafka::{self, Isolation, PATIENCE, Span};

/// The offsets of a flow's requests in a range of the broker's time. Blocks.
pub(super) fn spans(
    bootstrap: &str,
    flow: Flow,
    from: DateTime<Utc>,
    to: Option<DateTime<Utc>>,
) -> Result<Vec<Span>, AuditError> {
    let consumer = kafka::consumer(bootstrap, Isolation::Uncommitted)?;
    // First the ends: whatever is produced from now on lies behind them.
    let whole = kafka::spans(&consumer, &[flow.request_topic()])?;
    kafka::await_decided(bootstrap, &whole)?;
    let low = offsets(&consumer, &whole, from)?;
    let high = match to {
        Some(to) => offsets(&consumer, &whole, to)?,
        None => whole.iter().map(|span| span.high).collect(),
    };
    let cut = whole.iter().zip(low).zip(high);
    Ok(cut
        .map(|((span, low), high)| Span {
            low: low.max(span.low),
            high: high.min(span.high),
            ..*span
        })
        .collect())
}

/// The first offset of each partition at or after an instant.
fn offsets(
    consumer: &kafka::Reader,
    spans: &[Span],
    at: DateTime<Utc>,
) -> Result<Vec<i64>, AuditError> {
    let mut times = TopicPartitionList::new();
    for span in spans {
        // Kafka takes the time in the place of an offset.
        let time = Offset::Offset(at.timestamp_millis().max(0));
        times.add_partition_offset(span.topic, span.partition, time)?;
    }
    let found = consumer.offsets_for_times(times, PATIENCE)?;
    spans
        .iter()
        .map(|span| {
            let element = found.find_partition(span.topic, span.partition);
            element
                .as_ref()
                .map(|element| element.error())
                .transpose()?;
            Ok(match element.map(|element| element.offset()) {
                Some(Offset::Offset(offset)) => offset,
                // Nothing at or after that instant.
                _ => span.high,
            })
        })
        .collect()
}
