//! Waits until the pipeline is idle.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use mypay_idempotency::slot;
use mypay_schemas::Flow;
use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};
use sqlx::{PgPool, Row};

use crate::error::AuditError;
use crate::kafka::{self, Isolation, PATIENCE};

/// How often it is looked.
const EVERY: Duration = Duration::from_millis(500);

/// What nobody works on is waited for no longer than this: a process may be about to start.
const UNATTENDED: Duration = Duration::from_secs(3);

/// The role of the workers at the banks (`mypay_consumers::worker::ROLE`).
const BANK_WORKERS: &str = "bank";

/// What is still under way.
struct UnderWay {
    what: String,
    /// Whether somebody runs who works on it.
    attended: bool,
}

/// Waits at most `patience`; tells what is still under way, or nothing.
pub(crate) async fn wait(
    pool: &PgPool,
    bootstrap: &str,
    patience: Duration,
) -> Result<Option<String>, AuditError> {
    let began = Instant::now();
    loop {
        let running = running(pool).await?;
        // The cheap questions first. The order is the requests' own: what left
        // the outbox before it was looked at is on a topic by then.
        let under_way = match in_database(pool, &running).await? {
            Some(found) if found.attended => Some(found),
            unattended => {
                let (bootstrap, running) = (bootstrap.to_string(), running.clone());
                let topics = tokio::task::spawn_blocking(move || on_topics(&bootstrap, &running));
                match topics.await?? {
                    Some(found) if found.attended => Some(found),
                    found => unattended.or(found),
                }
            }
        };
        // Nothing on the topics; but the last message may have asked a bank.
        let under_way = match under_way {
            None => in_database(pool, &running).await?,
            some => some,
        };
        let Some(UnderWay { what, attended }) = under_way else {
            return Ok(None);
        };
        if !attended && began.elapsed() >= UNATTENDED {
            return Ok(Some(format!("{what}, and nobody runs who works on that")));
        }
        if began.elapsed() >= patience {
            return Ok(Some(what));
        }
        tracing::debug!(what, "waiting for the pipeline");
        tokio::time::sleep(EVERY).await;
    }
}

/// What the database has under way: what somebody works on, if there is any.
async fn in_database(
    pool: &PgPool,
    running: &HashSet<String>,
) -> Result<Option<UnderWay>, AuditError> {
    // With who works on it, where that is one role.
    const QUESTIONS: [(&str, Option<&str>, &str); 5] = [
        (
            "messages in the outbox",
            None,
            "SELECT count(*) FROM outbox",
        ),
        // Those that only an operator can end are not waited for.
        (
            "commands that banks have yet to answer",
            Some(BANK_WORKERS),
            "SELECT count(*) FROM banking.firmbanking WHERE state IN ('pending', 'sending', 'unknown')",
        ),
        (
            "remittances that wait for their top-ups",
            Some("remittance"),
            "SELECT count(*) FROM remittance.top_up t WHERE t.state = 'AWAITS_TOP_UP'
                AND NOT EXISTS (SELECT 1 FROM banking.firmbanking f
                                 WHERE f.origin_id = t.recharge_id AND f.state = 'manual')",
        ),
        (
            "payments that wait for their top-ups",
            Some("payment"),
            "SELECT count(*) FROM payment.top_up t WHERE t.state = 'AWAITS_TOP_UP'
                AND NOT EXISTS (SELECT 1 FROM banking.firmbanking f
                                 WHERE f.origin_id = t.recharge_id AND f.state = 'manual')",
        ),
        (
            "notices that wait for their command",
            Some(BANK_WORKERS),
            "SELECT count(*) FROM banking.notice WHERE state = 'waits'",
        ),
    ];
    let mut unattended = None;
    for (what, role, question) in QUESTIONS {
        let count: i64 = sqlx::query(question).fetch_one(pool).await?.try_get(0)?;
        if count == 0 {
            continue;
        }
        let found = UnderWay {
            what: format!("{count} {what}"),
            attended: role.is_none_or(|role| running.contains(role)),
        };
        if found.attended {
            return Ok(Some(found));
        }
        unattended.get_or_insert(found);
    }
    Ok(unattended)
}

/// What runs, by its role: consumers have their flow's name.
async fn running(pool: &PgPool) -> Result<HashSet<String>, sqlx::Error> {
    let roles: Vec<String> = sqlx::query_scalar(
        "SELECT DISTINCT role FROM slot WHERE seen_at > now() - make_interval(secs => $1)",
    )
    .bind(slot::STALE.as_secs_f64())
    .fetch_all(pool)
    .await?;
    Ok(roles.into_iter().collect())
}

/// The first consumer group that has messages before it: one whose consumer runs, if
/// there is any.
fn on_topics(bootstrap: &str, running: &HashSet<String>) -> Result<Option<UnderWay>, AuditError> {
    let (attended, others): (Vec<_>, Vec<_>) = Flow::ALL
        .into_iter()
        .partition(|flow| running.contains(flow.name()));
    for (flows, attended) in [(attended, true), (others, false)] {
        for flow in flows {
            if let Some(place) = lagging(bootstrap, flow)? {
                return Ok(Some(UnderWay {
                    what: format!("messages before the {flow} consumer, at {place}"),
                    attended,
                }));
            }
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
