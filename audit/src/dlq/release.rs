//! Gives a parked message up, for good: it leaves its queue, and is done as far as
//! `queue_log` goes, so that it is a duplicate whenever it comes again.

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

/// Takes a message out of the queue of its key for good, and keeps who did so and
/// why: what waits behind it can be put through then. `key` says which one is meant
/// where several have the id.
///
/// # Errors
/// [`AuditError::NotParked`] where it is in no queue, [`AuditError::Invalid`] where
/// nobody or no reason is named, where several have the id, and where it cannot be
/// given up.
pub async fn release(
    servers: &Servers,
    flow: Flow,
    message_id: Uuid,
    key: Option<&str>,
    by: &str,
    reason: &str,
) -> Result<Released, AuditError> {
    let (by, reason) = (said("by", by, BY_MAX)?, said("reason", reason, REASON_MAX)?);
    let pool = mypay_database::pool(&servers.database_url, 1)?;
    let mut transaction = pool.begin().await?;
    // A consumer that lets the message pass meanwhile has locked its row: this waits
    // until it has committed, and sees what it has done.
    let waiting = waiting(&mut transaction, flow, message_id).await?;
    let (parked, rivals) = only(flow, message_id, waiting, key)?;
    let known = known(&mut transaction, flow, message_id).await?;
    let known = known.as_ref().map(|(status, hash)| (&**status, &**hash));
    let effect = effect(parked.hash.as_deref(), known, rivals)
        .map_err(|why| AuditError::Invalid(format!("{flow} {message_id} {why}")))?;
    // An id from before the horizon is refused each time, and there is no place for
    // its row.
    let oldest = horizon::oldest(&mut transaction).await?;
    let effect = if known.is_none() && time_of(message_id) < oldest {
        Effect::Leaves
    } else {
        effect
    };
    let at = Utc::now();
    if let Effect::Ends(hash) = &effect {
        end(&mut transaction, flow, message_id, hash, at).await?;
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
    .bind(at)
    .bind(by)
    .bind(reason)
    .bind(&parked.key)
    .execute(&mut *transaction)
    .await?;
    let row = sqlx::query(
        r#"SELECT count(*),
                  (array_agg(message_id ORDER BY parked_at, topic, partition, "offset"))[1]
             FROM parked WHERE consumer = $1 AND key = $2"#,
    )
    .bind(flow.name())
    .bind(&parked.key)
    .fetch_one(&mut *transaction)
    .await?;
    let (left, next) = (row.try_get(0)?, row.try_get(1)?);
    transaction.commit().await?;
    Ok(Released {
        key: parked.key,
        done: matches!(effect, Effect::Ends(_)),
        left,
        next,
    })
}

/// A parked message of the id.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Waiting {
    key: String,
    /// Hash of its content; `None` of one that was parked before that was kept.
    hash: Option<Vec<u8>>,
}

/// The parked messages of an id, which stay locked.
async fn waiting(
    connection: &mut PgConnection,
    flow: Flow,
    message_id: Uuid,
) -> Result<Vec<Waiting>, AuditError> {
    let rows = sqlx::query(
        "SELECT key, content_hash FROM parked WHERE consumer = $1 AND message_id = $2
          ORDER BY key FOR UPDATE",
    )
    .bind(flow.name())
    .bind(message_id)
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(Waiting {
                key: row.try_get(0)?,
                hash: row.try_get(1)?,
            })
        })
        .collect()
}

/// The one that is meant, and whether others of the id have another content.
fn only(
    flow: Flow,
    message_id: Uuid,
    waiting: Vec<Waiting>,
    key: Option<&str>,
) -> Result<(Waiting, bool), AuditError> {
    let key = key.map(shortened);
    let is_meant = |it: &Waiting| key.as_ref().is_none_or(|key| *key == it.key);
    let (mut meant, others): (Vec<_>, Vec<_>) = waiting.into_iter().partition(is_meant);
    let Some(one) = meant.pop() else {
        return Err(AuditError::NotParked { flow, message_id });
    };
    if !meant.is_empty() {
        meant.push(one);
        let keys: Vec<String> = meant.into_iter().map(|it| it.key).collect();
        return Err(AuditError::Invalid(format!(
            "{flow} has {message_id} parked under several keys, and one of them may be forged; name the one that is given up with --key: {}",
            keys.join(", ")
        )));
    }
    // Of one whose content is not known it is to be feared.
    let rivals = others
        .iter()
        .any(|it| it.hash.is_none() || it.hash != one.hash);
    Ok((one, rivals))
}

/// How far `queue_log` has an id, and the hash of its content; the row stays locked.
async fn known(
    connection: &mut PgConnection,
    flow: Flow,
    message_id: Uuid,
) -> Result<Option<(String, Vec<u8>)>, AuditError> {
    let row = sqlx::query(
        "SELECT status::text, content_hash FROM queue_log
          WHERE consumer = $1 AND message_id = $2 FOR UPDATE",
    )
    .bind(flow.name())
    .bind(message_id)
    .fetch_optional(connection)
    .await?;
    row.map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
        .transpose()
}

/// What giving a message up does besides taking it out of its queue.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Effect {
    /// Its id is done, with this content.
    Ends(Vec<u8>),
    /// Nothing: the id is another message's.
    Leaves,
}

/// What giving a message up does; or why it cannot be given up.
fn effect(
    parked: Option<&[u8]>,
    known: Option<(&str, &[u8])>,
    rivals: bool,
) -> Result<Effect, &'static str> {
    match (parked, known) {
        // It dies of the conflict when it comes again.
        (Some(ours), Some((_, theirs))) if ours != theirs => Ok(Effect::Leaves),
        (_, Some(("waiting", theirs))) => Ok(Effect::Ends(theirs.to_vec())),
        (_, Some(("done", _))) => Err(
            "is done already, so that it cannot be given up; `mypay dlq redrive` takes it out of its queue",
        ),
        (_, Some(_)) => Err(
            "is in progress, so that it cannot be given up; `mypay dlq redrive` takes it out of its queue",
        ),
        // Whichever of them were done, the other one could never be.
        (Some(_), None) if rivals => Ok(Effect::Leaves),
        (Some(ours), None) => Ok(Effect::Ends(ours.to_vec())),
        (None, None) => Err(
            "was parked before contents were kept, so that it could not be told when it comes again; redrive it instead (`mypay dlq redrive`), which keeps its content or handles it",
        ),
    }
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

    #[test]
    fn of_several_with_one_id_the_key_must_be_named() {
        let parked = |key: &str, hash: &[u8]| Waiting {
            key: key.to_string(),
            hash: Some(hash.to_vec()),
        };
        let only = |waiting: &[Waiting], key| {
            super::only(Flow::Payment, Uuid::nil(), waiting.to_vec(), key)
        };
        let (a, b) = (parked("a", b"1"), parked("b", b"2"));
        let one = std::slice::from_ref(&a);
        assert_eq!(only(one, None).unwrap(), (a.clone(), false));
        assert!(matches!(
            only(one, Some("b")),
            Err(AuditError::NotParked { .. })
        ));
        let both = [a, b.clone()];
        let error = only(&both, None).unwrap_err().to_string();
        assert!(error.contains("--key: a, b"), "{error}");
        assert_eq!(only(&both, Some("b")).unwrap(), (b, true));
    }

    #[test]
    fn what_is_given_up_is_done_unless_the_id_is_another_message_s() {
        const OURS: &[u8] = b"1";
        const OTHER: &[u8] = b"2";
        let ends = Ok(Effect::Ends(OURS.to_vec()));
        assert_eq!(effect(Some(OURS), None, false), ends);
        assert_eq!(effect(Some(OURS), Some(("waiting", OURS)), true), ends);
        assert_eq!(effect(None, Some(("waiting", OURS)), false), ends);
        assert_eq!(effect(Some(OURS), None, true), Ok(Effect::Leaves));
        for status in ["waiting", "processing", "done"] {
            let other = effect(Some(OURS), Some((status, OTHER)), false);
            assert_eq!(other, Ok(Effect::Leaves));
        }
        for status in ["processing", "done"] {
            assert!(effect(Some(OURS), Some((status, OURS)), false).is_err());
            assert!(effect(None, Some((status, OURS)), false).is_err());
        }
        assert!(effect(None, None, false).unwrap_err().contains("redrive"));
    }
}
