//! Gives parked messages up, for good: each leaves its queue, and is done as far as
//! `queue_log` goes, so that it is a duplicate whenever it comes again.

mod effect;
mod follows;
mod parked;

use chrono::{DateTime, Utc};
use mypay_idempotency::horizon;
use mypay_idempotency::parked::shortened;
use mypay_schemas::Flow;
use mypay_schemas::identity::time_of;
use serde::Serialize;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use crate::Servers;
use crate::data::GIVEN_UP;
use crate::error::AuditError;
use effect::{Effect, effect};

/// The longest name, and the longest reason, in characters; as of bank cases.
const BY_MAX: usize = 100;
const REASON_MAX: usize = 1_000;

/// A message that was given up.
#[derive(Debug, Clone, Serialize)]
pub struct Released {
    /// Its key.
    pub key: String,
    /// Whether its id is done now. It is not where another message has the id, with
    /// other content, or where the id is too old to be taken anyway.
    pub done: bool,
    /// How many wait on in the queue of the key.
    pub left: i64,
    /// Whose turn it is now.
    pub next: Option<Uuid>,
}

/// The queue of a key that was given up.
#[derive(Debug, Clone, Serialize)]
pub struct ReleasedKey {
    /// The key.
    pub key: String,
    /// All that waited in it, in its order.
    pub messages: Vec<GivenUp>,
}

/// One of several messages that were given up.
#[derive(Debug, Clone, Serialize)]
pub struct GivenUp {
    /// The message.
    pub message_id: Uuid,
    /// As of a message alone: see [`Released::done`].
    pub done: bool,
}

/// Who gives something up, why and when: kept with each message.
struct Word<'a> {
    by: &'a str,
    reason: &'a str,
    at: DateTime<Utc>,
}

impl<'a> Word<'a> {
    fn said(by: &'a str, reason: &'a str) -> Result<Self, AuditError> {
        Ok(Self {
            by: said("by", by, BY_MAX)?,
            reason: said("reason", reason, REASON_MAX)?,
            at: Utc::now(),
        })
    }
}

/// Takes a message out of the queue of its key for good, and keeps who did so and
/// why: what waits behind it can be put through then. `key` says which one is meant
/// where several have the id.
///
/// # Errors
/// [`AuditError::NotParked`] where it is in no queue, [`AuditError::Invalid`] where
/// nobody or no reason is named, where several have the id, and where it cannot be
/// given up: it is handled, or a request of ours waits for it.
pub async fn release(
    servers: &Servers,
    flow: Flow,
    message_id: Uuid,
    key: Option<&str>,
    by: &str,
    reason: &str,
) -> Result<Released, AuditError> {
    let word = Word::said(by, reason)?;
    let pool = mypay_database::pool(&servers.database_url, 1)?;
    let mut transaction = pool.begin().await?;
    let (key, done) = give_up(&mut transaction, flow, message_id, key, &word).await?;
    let row = sqlx::query(
        r#"SELECT count(*),
                  (array_agg(message_id ORDER BY parked_at, topic, partition, "offset"))[1]
             FROM parked WHERE consumer = $1 AND key = $2"#,
    )
    .bind(flow.name())
    .bind(&key)
    .fetch_one(&mut *transaction)
    .await?;
    let (left, next) = (row.try_get(0)?, row.try_get(1)?);
    transaction.commit().await?;
    Ok(Released {
        key,
        done,
        left,
        next,
    })
}

/// Gives all messages up that wait under a key, in the order of its queue, in one
/// commit: where one of them cannot be given up, none is.
///
/// # Errors
/// [`AuditError::KeyNotParked`] where nothing waits under it, else as [`release`].
pub async fn release_key(
    servers: &Servers,
    flow: Flow,
    key: &str,
    by: &str,
    reason: &str,
) -> Result<ReleasedKey, AuditError> {
    let word = Word::said(by, reason)?;
    let pool = mypay_database::pool(&servers.database_url, 1)?;
    let mut transaction = pool.begin().await?;
    let key = shortened(key);
    let queue = parked::queue(&mut transaction, flow, &key).await?;
    if queue.is_empty() {
        return Err(AuditError::KeyNotParked { flow, key });
    }
    let mut messages = Vec::with_capacity(queue.len());
    for message_id in queue {
        let (_, done) = give_up(&mut transaction, flow, message_id, Some(&key), &word).await?;
        messages.push(GivenUp { message_id, done });
    }
    transaction.commit().await?;
    Ok(ReleasedKey { key, messages })
}

/// Gives one message up; its key, and whether its id is done now.
async fn give_up(
    connection: &mut PgConnection,
    flow: Flow,
    message_id: Uuid,
    key: Option<&str>,
    word: &Word<'_>,
) -> Result<(String, bool), AuditError> {
    // A consumer that lets the message pass meanwhile has locked its row: this waits
    // until it has committed, and sees what it has done.
    let waiting = parked::waiting(connection, flow, message_id).await?;
    let (parked, rivals) = parked::only(flow, message_id, waiting, key)?;
    let known = parked::known(connection, flow, message_id).await?;
    let known = known.as_ref().map(|(status, hash)| (&**status, &**hash));
    let effect = effect(parked.hash.as_deref(), known, rivals)
        .map_err(|why| AuditError::Invalid(format!("{flow} {message_id} {why}")))?;
    // What dies of the conflict when it comes again is not what is waited for.
    let conflicts = known.is_some() && effect == Effect::Leaves;
    if !conflicts {
        follows::refuse(connection, flow, message_id, &parked.key).await?;
    }
    // An id from before the horizon is refused each time, and there is no place for
    // its row.
    let oldest = horizon::oldest(connection).await?;
    let effect = if known.is_none() && time_of(message_id) < oldest {
        Effect::Leaves
    } else {
        effect
    };
    if let Effect::Ends(hash) = &effect {
        end(connection, flow, message_id, hash, word.at).await?;
    }
    sqlx::query(
        r#"WITH gone AS (
               DELETE FROM parked WHERE consumer = $1 AND message_id = $2 AND key = $6 RETURNING *
           )
           INSERT INTO parked_release
                  (consumer, message_id, key, topic, partition, "offset", reason, parked_at,
                   content_hash, released_at, released_by, release_reason)
           SELECT consumer, message_id, key, topic, partition, "offset", reason, parked_at,
                  content_hash, $3, $4, $5
             FROM gone"#,
    )
    .bind(flow.name())
    .bind(message_id)
    .bind(word.at)
    .bind(word.by)
    .bind(word.reason)
    .bind(&parked.key)
    .execute(connection)
    .await?;
    Ok((parked.key, matches!(effect, Effect::Ends(_))))
}

/// Notes that an id is done.
async fn end(
    connection: &mut PgConnection,
    flow: Flow,
    message_id: Uuid,
    hash: &[u8],
    at: DateTime<Utc>,
) -> Result<(), AuditError> {
    // Without a place: at whatever offset it comes, it is a duplicate there.
    let ended = sqlx::query(
        r#"INSERT INTO queue_log AS q
                  (consumer, message_id, status, created_timestamp, processed_timestamp,
                   processed_status, content_hash, reason)
           VALUES ($1, $2, 'done', $3, $3, 'failure', $4, $5)
           ON CONFLICT (message_id, consumer) DO UPDATE
              SET status = EXCLUDED.status,
                  processed_timestamp = EXCLUDED.processed_timestamp,
                  processed_status = EXCLUDED.processed_status,
                  reason = EXCLUDED.reason,
                  topic = NULL, partition = NULL, "offset" = NULL
            WHERE q.status = 'waiting' AND q.content_hash = EXCLUDED.content_hash"#,
    )
    .bind(flow.name())
    .bind(message_id)
    .bind(at)
    .bind(hash)
    .bind(GIVEN_UP)
    .execute(connection)
    .await?;
    if ended.rows_affected() == 0 {
        return Err(AuditError::Invalid(format!(
            "{flow} {message_id} was taken up at this very moment; look again"
        )));
    }
    Ok(())
}

fn said<'a>(what: &str, text: &'a str, most: usize) -> Result<&'a str, AuditError> {
    let text = text.trim();
    let length = text.chars().count();
    if length == 0 || length > most || text.contains('\0') {
        return Err(AuditError::Invalid(format!(
            "--{what} takes a text of 1 to {most} characters: who gives it up, and why, is kept"
        )));
    }
    Ok(text)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn who_and_why_must_be_said() {
        assert_eq!(said("by", "  kim ", 5).unwrap(), "kim");
        for bad in ["", "  ", "abcdef", "a\0"] {
            assert!(said("by", bad, 5).is_err(), "{bad:?}");
        }
    }
}
