//! `queue_log`: each message once for each consumer.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use mypay_database::copy::{COPY_FROM, Rows};
use serde_json::Value;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

/// How far a message has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Put in the queue by the producer; no consumer has handled it.
    Waiting,
    /// Taken in; a bank has yet to answer.
    Processing,
    /// Handled, with an outcome.
    Done,
}

/// What a consumer made of a message.
///
/// The events of a message are a pure function of the message and this: so
/// they can be made again, to the byte, after a crash.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// `None` while a bank has yet to answer.
    pub success: Option<bool>,
    /// Reason code of a rejection.
    pub reason: Option<String>,
    /// What the events say beyond the message, status and reason.
    pub result: Option<Value>,
    /// When it was handled.
    pub at: DateTime<Utc>,
}

impl Outcome {
    /// Handled, all effects committed with it.
    pub fn success(at: DateTime<Utc>) -> Self {
        Self {
            success: Some(true),
            reason: None,
            result: None,
            at,
        }
    }

    /// A business answer; nothing moved.
    pub fn rejected(reason: impl Into<String>, at: DateTime<Utc>) -> Self {
        Self {
            success: Some(false),
            reason: Some(reason.into()),
            result: None,
            at,
        }
    }

    /// Taken in; the outcome comes later.
    pub fn processing(at: DateTime<Utc>) -> Self {
        Self {
            success: None,
            reason: None,
            result: None,
            at,
        }
    }

    /// With what the events say beyond that.
    pub fn with_result(mut self, result: Value) -> Self {
        self.result = Some(result);
        self
    }
}

/// A claim on a message, with its outcome.
#[derive(Debug, Clone)]
pub struct Claim {
    /// The message.
    pub message_id: Uuid,
    /// Hash of its canonical content.
    pub content_hash: [u8; 16],
    /// Its offset in the lane.
    pub offset: i64,
    /// When it was put on the topic.
    pub created_at: DateTime<Utc>,
    /// What was made of it.
    pub outcome: Outcome,
}

/// The insert of claims, with or without what to do about rows that are there.
macro_rules! claim {
    ($conflict:literal) => {
        concat!(
            r#"        INSERT INTO queue_log AS q
               (consumer, message_id, status, created_timestamp, processed_timestamp,
                processed_status, content_hash, topic, partition, "offset", attempts, reason, result)
        SELECT $1, m.id,
               CASE WHEN m.success IS NULL THEN 'processing' ELSE 'done' END::queue_status,
               m.created, m.processed,
               CASE WHEN m.success THEN 'success' WHEN NOT m.success THEN 'failure' END::processed_status,
               m.hash, $2, $3, m.ofs, 1, m.reason, m.result
          FROM unnest($4::uuid[], $5::bytea[], $6::bigint[], $7::timestamptz[], $8::timestamptz[],
                      $9::boolean[], $10::text[], $11::jsonb[])
               AS m(id, hash, ofs, created, processed, success, reason, result)
"#,
            $conflict
        )
    };
}

const CLAIM_NEW: &str = claim!("");
const CLAIM: &str = claim!(
    r#"        ON CONFLICT (consumer, message_id) DO UPDATE
           SET status = EXCLUDED.status,
               processed_timestamp = EXCLUDED.processed_timestamp,
               processed_status = EXCLUDED.processed_status,
               topic = EXCLUDED.topic,
               partition = EXCLUDED.partition,
               "offset" = EXCLUDED."offset",
               attempts = q.attempts + 1,
               reason = EXCLUDED.reason,
               result = EXCLUDED.result
         WHERE q.status = 'waiting' AND q.content_hash = EXCLUDED.content_hash"#
);

/// Claims messages of one lane that are new, with their outcomes; false where
/// one of them has a row already.
///
/// Then the transaction is over: roll it back, look the ids up with [`known`],
/// and [`claim`] those that wait or are new. It is half the cost of `claim`,
/// which has to look for a row before each one that it writes.
pub async fn claim_new(
    connection: &mut PgConnection,
    consumer: &str,
    topic: &str,
    partition: i32,
    claims: &[Claim],
) -> Result<bool, sqlx::Error> {
    const COPY: &str = r#"
        COPY queue_log (consumer, message_id, status, created_timestamp, processed_timestamp,
                        processed_status, content_hash, topic, partition, "offset", attempts,
                        reason, result)
        FROM STDIN (FORMAT binary)"#;
    let claimed = if claims.len() < COPY_FROM {
        insert(connection, CLAIM_NEW, (consumer, topic, partition), claims).await
    } else {
        rows(consumer, topic, partition, claims)
            .copy(connection, COPY)
            .await
    };
    match claimed {
        Ok(_) => Ok(true),
        Err(sqlx::Error::Database(error)) if error.is_unique_violation() => Ok(false),
        Err(error) => Err(error),
    }
}

fn rows(consumer: &str, topic: &str, partition: i32, claims: &[Claim]) -> Rows {
    let mut rows = Rows::with_capacity(claims.len(), 200);
    for claim in claims {
        let outcome = &claim.outcome;
        let (status, processed_status) = match outcome.success {
            None => ("processing", None),
            Some(true) => ("done", Some("success")),
            Some(false) => ("done", Some("failure")),
        };
        rows.push([
            &consumer,
            &claim.message_id,
            &status,
            &claim.created_at,
            &outcome.success.map(|_| outcome.at),
            &processed_status,
            &&claim.content_hash[..],
            &topic,
            &partition,
            &claim.offset,
            &1_i32,
            &outcome.reason.as_deref(),
            &outcome.result.as_ref(),
        ]);
    }
    rows
}

/// Claims messages of one lane with their outcomes; tells how many it got.
///
/// A message that waits (the edge put it there) or is not known yet is claimed.
/// Fewer than asked means that another has some of them: roll back, look them
/// up with [`known`], and do the batch again without them.
pub async fn claim(
    connection: &mut PgConnection,
    consumer: &str,
    topic: &str,
    partition: i32,
    claims: &[Claim],
) -> Result<u64, sqlx::Error> {
    insert(connection, CLAIM, (consumer, topic, partition), claims).await
}

async fn insert(
    connection: &mut PgConnection,
    statement: &'static str,
    (consumer, topic, partition): (&str, &str, i32),
    claims: &[Claim],
) -> Result<u64, sqlx::Error> {
    if claims.is_empty() {
        return Ok(0);
    }
    // Where no message has a reason or a result, an empty array stands for all
    // the nulls: unnest fills the shorter array up.
    let reasons: Vec<Option<&str>> = if claims.iter().any(|claim| claim.outcome.reason.is_some()) {
        claims
            .iter()
            .map(|claim| claim.outcome.reason.as_deref())
            .collect()
    } else {
        Vec::new()
    };
    let results: Vec<Option<Value>> = if claims.iter().any(|claim| claim.outcome.result.is_some()) {
        claims
            .iter()
            .map(|claim| claim.outcome.result.clone())
            .collect()
    } else {
        Vec::new()
    };
    let written = sqlx::query(statement)
        .bind(consumer)
        .bind(topic)
        .bind(partition)
        .bind(
            claims
                .iter()
                .map(|claim| claim.message_id)
                .collect::<Vec<_>>(),
        )
        .bind(
            claims
                .iter()
                .map(|claim| &claim.content_hash[..])
                .collect::<Vec<_>>(),
        )
        .bind(claims.iter().map(|claim| claim.offset).collect::<Vec<_>>())
        .bind(
            claims
                .iter()
                .map(|claim| claim.created_at)
                .collect::<Vec<_>>(),
        )
        .bind(
            claims
                .iter()
                .map(|claim| claim.outcome.success.map(|_| claim.outcome.at))
                .collect::<Vec<_>>(),
        )
        .bind(
            claims
                .iter()
                .map(|claim| claim.outcome.success)
                .collect::<Vec<_>>(),
        )
        .bind(reasons)
        .bind(results)
        .execute(connection)
        .await?;
    Ok(written.rows_affected())
}

/// What is known of a message.
#[derive(Debug, Clone)]
pub struct Known {
    /// How far it has come.
    pub status: Status,
    /// Hash of its canonical content.
    pub content_hash: Vec<u8>,
    /// Where it was handled, `None` while it waits.
    pub place: Option<(String, i32, i64)>,
    /// When it was put in the queue.
    pub created_at: DateTime<Utc>,
    /// What was made of it; `at` is `created_at` where nothing was.
    pub outcome: Outcome,
}

/// Looks messages up.
pub async fn known(
    connection: &mut PgConnection,
    consumer: &str,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, Known>, sqlx::Error> {
    const KNOWN: &str = r#"
        SELECT q.message_id, q.status::text, q.processed_status = 'success', q.content_hash,
               q.topic, q.partition, q."offset", q.created_timestamp, q.processed_timestamp,
               q.reason, q.result
          FROM unnest($2::uuid[]) AS m(id)
          JOIN queue_log q ON q.consumer = $1 AND q.message_id = m.id"#;
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = sqlx::query(KNOWN)
        .bind(consumer)
        .bind(ids)
        .fetch_all(connection)
        .await?;
    rows.iter()
        .map(|row| {
            let status = match row.try_get::<&str, _>(1)? {
                "waiting" => Status::Waiting,
                "processing" => Status::Processing,
                _ => Status::Done,
            };
            let topic: Option<String> = row.try_get(4)?;
            let place = match topic {
                Some(topic) => Some((topic, row.try_get(5)?, row.try_get(6)?)),
                None => None,
            };
            let created_at: DateTime<Utc> = row.try_get(7)?;
            let outcome = Outcome {
                success: row.try_get(2)?,
                at: row.try_get::<Option<_>, _>(8)?.unwrap_or(created_at),
                reason: row.try_get(9)?,
                result: row.try_get(10)?,
            };
            let known = Known {
                status,
                content_hash: row.try_get(3)?,
                place,
                created_at,
                outcome,
            };
            Ok((row.try_get(0)?, known))
        })
        .collect()
}

/// Gives messages that were `processing` their outcome.
///
/// The caller has made sure, by the flow's own row, that each is finished once.
pub async fn finish(
    connection: &mut PgConnection,
    consumer: &str,
    finished: &[(Uuid, Outcome)],
) -> Result<(), sqlx::Error> {
    const FINISH: &str = "
        UPDATE queue_log q
           SET status = 'done',
               processed_timestamp = m.at,
               processed_status = CASE WHEN m.success THEN 'success' ELSE 'failure' END::processed_status,
               reason = m.reason
          FROM unnest($2::uuid[], $3::boolean[], $4::text[], $5::timestamptz[])
               AS m(id, success, reason, at)
         WHERE q.consumer = $1 AND q.message_id = m.id AND q.status = 'processing'";
    if finished.is_empty() {
        return Ok(());
    }
    sqlx::query(FINISH)
        .bind(consumer)
        .bind(finished.iter().map(|(id, _)| *id).collect::<Vec<_>>())
        .bind(
            finished
                .iter()
                .map(|(_, outcome)| outcome.success == Some(true))
                .collect::<Vec<_>>(),
        )
        .bind(
            finished
                .iter()
                .map(|(_, outcome)| outcome.reason.as_deref())
                .collect::<Vec<_>>(),
        )
        .bind(
            finished
                .iter()
                .map(|(_, outcome)| outcome.at)
                .collect::<Vec<_>>(),
        )
        .execute(connection)
        .await?;
    Ok(())
}

/// A message that a producer puts in the queue.
#[derive(Debug, Clone)]
pub struct Waiting<'a> {
    /// The consumer that will handle it.
    pub consumer: &'static str,
    /// The message.
    pub message_id: Uuid,
    /// Hash of its canonical content.
    pub content_hash: [u8; 16],
    /// Who asks, where a person does.
    pub requested_by: Option<&'a str>,
}

/// Puts messages in the queue; tells which were not there before.
pub async fn wait(
    connection: &mut PgConnection,
    messages: &[Waiting<'_>],
    at: DateTime<Utc>,
) -> Result<Vec<(String, Uuid)>, sqlx::Error> {
    const WAIT: &str = "
        INSERT INTO queue_log (consumer, message_id, status, created_timestamp, content_hash,
                               requested_by)
        SELECT m.consumer, m.id, 'waiting', $4, m.hash, m.requested_by
          FROM unnest($1::text[], $2::uuid[], $3::bytea[], $5::text[])
               AS m(consumer, id, hash, requested_by)
        ON CONFLICT (consumer, message_id) DO NOTHING
        RETURNING consumer, message_id";
    let rows = sqlx::query(WAIT)
        .bind(
            messages
                .iter()
                .map(|message| message.consumer)
                .collect::<Vec<_>>(),
        )
        .bind(
            messages
                .iter()
                .map(|message| message.message_id)
                .collect::<Vec<_>>(),
        )
        .bind(
            messages
                .iter()
                .map(|message| &message.content_hash[..])
                .collect::<Vec<_>>(),
        )
        .bind(at)
        .bind(
            messages
                .iter()
                .map(|message| message.requested_by)
                .collect::<Vec<_>>(),
        )
        .fetch_all(connection)
        .await?;
    rows.iter()
        .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
        .collect()
}
