//! Waits until the pipeline is idle.

use std::time::{Duration, Instant};

use mypay_schemas::Flow;
use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};
use sqlx::{PgPool, Row};

use crate::error::AuditError;
use crate::kafka::{self, Isolation, PATIENCE};

/// How often it is looked.
const EVERY: Duration = Duration::from_millis(500);

/// Waits at most `patience`; tells what is still under way, or nothing.
pub(crate) async fn wait(
    pool: &PgPool,
    bootstrap: &str,
    patience: Duration,
) -> Result<Option<String>, AuditError> {
    let deadline = Instant::now() + patience;
    loop {
        // The cheap questions first. The order is the requests' own: what left
        // the outbox before it was looked at is on a topic by then.
        let under_way = match in_database(pool).await? {
            None => {
                let bootstrap = bootstrap.to_string();
                tokio::task::spawn_blocking(move || on_topics(&bootstrap)).await??
            }
            some => some,
        };
        // Nothing on the topics; but the last message may have asked a bank.
        let under_way = match under_way {
            None => in_database(pool).await?,
            some => some,
        };
        match under_way {
            None => return Ok(None),
            Some(what) if Instant::now() >= deadline => return Ok(Some(what)),
            Some(what) => tracing::debug!(what, "waiting for the pipeline"),
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// What the database has under way.
async fn in_database(pool: &PgPool) -> Result<Option<String>, AuditError> {
    const QUESTIONS: [(&str, &str); 5] = [
        ("messages in the outbox", "SELECT count(*) FROM outbox"),
        // Those that only an operator can end are not waited for.
        (
            "commands that banks have yet to answer",
            "SELECT count(*) FROM banking.firmbanking WHERE state IN ('pending', 'sending', 'unknown')",
        ),
        (
            "remittances that wait for their top-ups",
            "SELECT count(*) FROM remittance.top_up t WHERE t.state = 'AWAITS_TOP_UP'
                AND NOT EXISTS (SELECT 1 FROM banking.firmbanking f
                                 WHERE f.origin_id = t.recharge_id AND f.state = 'manual')",
        ),
        (
            "payments that wait for their top-ups",
            "SELECT count(*) FROM payment.top_up t WHERE t.state = 'AWAITS_TOP_UP'
                AND NOT EXISTS (SELECT 1 FROM banking.firmbanking f
                                 WHERE f.origin_id = t.recharge_id AND f.state = 'manual')",
        ),
        (
            "notices that wait for their command",
            "SELECT count(*) FROM banking.notice WHERE state = 'waits'",
        ),
    ];
    for (what, question) in QUESTIONS {
        let count: i64 = sqlx::query(question).fetch_one(pool).await?.try_get(0)?;
        if count > 0 {
            return Ok(Some(format!("{count} {what}")));
        }
    }
    Ok(None)
}

/// The first consumer group that has messages before it.
fn on_topics(bootstrap: &str) -> Result<Option<String>, AuditError> {
    for flow in Flow::ALL {
        if let Some(place) = lagging(bootstrap, flow)? {
            return Ok(Some(format!(
                "messages before the {flow} consumer, at {place}"
            )));
        }
    }
    Ok(None)
}

/// The first message that a group has not come to.
fn lagging(bootstrap: &str, flow: Flow) -> Result<Option<String>, AuditError> {
    let reader = kafka::consumer(bootstrap, Isolation::Committed)?;
    let partitions = kafka::partitions(&reader, &kafka::read_by(flow))?;
    let committed = kafka::committed(bootstrap, flow, &partitions)?;
    let ends = kafka::consumer(bootstrap, Isolation::Uncommitted)?;
    // An offset below the end need not mean a message: markers of transactions
    // have offsets too. So the tail is read, to its first message.
    let mut tail = TopicPartitionList::new();
    for (topic, partition) in partitions {
        let (low, end) = ends.fetch_watermarks(topic, partition, PATIENCE)?;
        let (_, decided) = reader.fetch_watermarks(topic, partition, PATIENCE)?;
        if decided < end {
            return Ok(Some(format!(
                "{topic}-{partition}, in a transaction that is open"
            )));
        }
        let from = committed
            .get(&(topic, partition))
            .map_or(low, |offset| low.max(*offset));
        if from < end {
            tail.add_partition_offset(topic, partition, Offset::Offset(from))?;
        }
    }
    first_of(&reader, &tail)
}

fn first_of(
    reader: &kafka::Reader,
    tail: &TopicPartitionList,
) -> Result<Option<String>, AuditError> {
    if tail.count() == 0 {
        return Ok(None);
    }
    reader.assign(tail)?;
    let (mut ends, began) = (0, Instant::now());
    while ends < tail.count() {
        match reader.poll(Duration::from_millis(200)) {
            Some(Ok(message)) => {
                use rdkafka::message::Message as _;
                let place = format!(
                    "{}-{}@{}",
                    message.topic(),
                    message.partition(),
                    message.offset()
                );
                return Ok(Some(place));
            }
            Some(Err(KafkaError::PartitionEOF(_))) => ends += 1,
            Some(Err(error @ KafkaError::MessageConsumptionFatal(_))) => return Err(error.into()),
            Some(Err(_)) | None if began.elapsed() > PATIENCE => {
                return Ok(Some("partitions whose end could not be read".to_string()));
            }
            Some(Err(_)) | None => {}
        }
    }
    Ok(None)
}
