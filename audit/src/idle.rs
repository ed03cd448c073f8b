//! Waits until the pipeline is idle.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use mypay_idempotency::slot::{self, BANK_WORKERS};
use mypay_schemas::Flow;
use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};
use sqlx::{PgPool, Row};

use crate::error::AuditError;
use crate::kafka::{self, Isolation, PATIENCE};

/// How often it is looked.
const EVERY: Duration = Duration::from_millis(500);

/// What nobody was seen to work on is waited for no longer than this: a process may be
/// about to start.
const UNATTENDED: Duration = Duration::from_secs(3);
/// And what somebody was seen to work on, no longer than this after that: a consumer that
/// begins anew, after an error or in a new process, has no slot for so long.
const BEGINS_ANEW: Duration = slot::STALE;

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
    let mut attended_at: Option<Instant> = None;
    loop {
        let running = slot::running(pool).await?;
        // The cheap questions first. The order is the requests' own: what left
        // the outbox before it was looked at is on a topic by then.
        let mut under_way = in_database(pool, &running).await?;
        if !is_attended(&under_way) {
            let (bootstrap, running) = (bootstrap.to_string(), running.clone());
            let topics = tokio::task::spawn_blocking(move || on_topics(&bootstrap, &running));
            under_way = rather(topics.await??, under_way);
        }
        // Nothing on the topics; but the last message may have asked a bank.
        if !is_attended(&under_way) {
            under_way = rather(in_database(pool, &running).await?, under_way);
        }
        let Some(UnderWay { what, attended }) = under_way else {
            return Ok(None);
        };
        if attended {
            attended_at = Some(Instant::now());
        }
        let since_attended = attended_at.map(|at| at.elapsed());
        if is_given_up(since_attended, began.elapsed()) {
            return Ok(Some(format!("{what}, and nobody runs who works on that")));
        }
        if began.elapsed() >= patience {
            return Ok(Some(what));
        }
        tracing::debug!(what, "waiting for the pipeline");
        tokio::time::sleep(EVERY).await;
    }
}

fn is_attended(under_way: &Option<UnderWay>) -> bool {
    under_way.as_ref().is_some_and(|found| found.attended)
}

/// What is attended, if one of them is: the others end no wait while it is there. Else
/// the first.
fn rather(later: Option<UnderWay>, earlier: Option<UnderWay>) -> Option<UnderWay> {
    if is_attended(&later) && !is_attended(&earlier) {
        later
    } else {
        earlier.or(later)
    }
}

/// Whether nobody has worked for so long on what is under way that nobody will.
fn is_given_up(since_attended: Option<Duration>, waited: Duration) -> bool {
    match since_attended {
        Some(since) => since >= BEGINS_ANEW,
        None => waited >= UNATTENDED,
    }
}

/// What the database has under way: what somebody works on, if there is any.
async fn in_database(
    pool: &PgPool,
    running: &HashMap<String, i64>,
) -> Result<Option<UnderWay>, AuditError> {
    // One statement: between two, an answer could leave the one and come into the other.
    // Commands that only an operator can end are not waited for.
    const QUESTION: &str = "
        SELECT (SELECT count(*) FROM outbox),
               (SELECT count(*) FROM banking.firmbanking
                 WHERE state IN ('pending', 'sending', 'unknown')),
               (SELECT count(*) FROM remittance.top_up t WHERE t.state = 'AWAITS_TOP_UP'
                   AND NOT EXISTS (SELECT 1 FROM banking.firmbanking f
                                    WHERE f.origin_id = t.recharge_id AND f.state = 'manual')),
               (SELECT count(*) FROM payment.top_up t WHERE t.state = 'AWAITS_TOP_UP'
                   AND NOT EXISTS (SELECT 1 FROM banking.firmbanking f
                                    WHERE f.origin_id = t.recharge_id AND f.state = 'manual')),
               (SELECT count(*) FROM banking.notice WHERE state = 'waits')";
    // With all who must run for it to end.
    const WHAT: [(&str, &[&str]); 5] = [
        ("messages in the outbox", &[]),
        ("commands that banks have yet to answer", &[BANK_WORKERS]),
        (
            "remittances that wait for their top-ups",
            &["remittance", "recharge", "firmbanking", BANK_WORKERS],
        ),
        (
            "payments that wait for their top-ups",
            &["payment", "recharge", "firmbanking", BANK_WORKERS],
        ),
        ("notices that wait for their command", &[BANK_WORKERS]),
    ];
    let row = sqlx::query(QUESTION).fetch_one(pool).await?;
    let mut under_way = None;
    for (column, (what, roles)) in WHAT.into_iter().enumerate() {
        let count: i64 = row.try_get(column)?;
        let found = (count > 0).then(|| UnderWay {
            what: format!("{count} {what}"),
            attended: roles.iter().all(|role| running.contains_key(*role)),
        });
        under_way = rather(found, under_way);
    }
    Ok(under_way)
}

/// The first consumer group that has messages before it: one whose consumer runs, if
/// there is any.
fn on_topics(
    bootstrap: &str,
    running: &HashMap<String, i64>,
) -> Result<Option<UnderWay>, AuditError> {
    let (attended, others): (Vec<_>, Vec<_>) = Flow::ALL
        .into_iter()
        .partition(|flow| running.contains_key(flow.name()));
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

#[cfg(test)]
mod tests {
    use super::*;

    fn found(what: &str, attended: bool) -> Option<UnderWay> {
        let what = what.to_owned();
        Some(UnderWay { what, attended })
    }

    #[test]
    fn what_nobody_works_on_is_given_up_soon_and_what_somebody_did_later() {
        let seconds = Duration::from_secs;
        assert!(!is_given_up(None, seconds(2)));
        assert!(is_given_up(None, seconds(3)));
        assert!(!is_given_up(Some(seconds(0)), seconds(59)));
        assert!(!is_given_up(Some(seconds(5)), seconds(59)));
        assert!(is_given_up(Some(seconds(8)), seconds(59)));
    }

    #[test]
    fn what_somebody_works_on_comes_before_what_nobody_does() {
        let what = |of: Option<UnderWay>| of.map(|it| it.what);
        let later = rather(found("later", true), found("earlier", false));
        assert_eq!(what(later).as_deref(), Some("later"));
        let earlier = rather(found("later", false), found("earlier", false));
        assert_eq!(what(earlier).as_deref(), Some("earlier"));
        let both = rather(found("later", true), found("earlier", true));
        assert_eq!(what(both).as_deref(), Some("earlier"));
        let only = rather(None, found("earlier", false));
        assert_eq!(what(only).as_deref(), Some("earlier"));
        assert!(rather(None, None).is_none());
    }
}
