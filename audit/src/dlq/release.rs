//! Gives a parked message up.

use chrono::Utc;
use mypay_schemas::Flow;
use serde::Serialize;
use sqlx::Row;
use uuid::Uuid;

use crate::Servers;
use crate::error::AuditError;

/// The longest name, and the longest reason, in characters; as of bank cases.
const BY_MAX: usize = 100;
const REASON_MAX: usize = 1_000;

/// A message that was given up.
#[derive(Debug, Clone, Serialize)]
pub struct Released {
    /// Its key.
    pub key: String,
    /// How many wait on in the queue of the key.
    pub left: i64,
    /// Whose turn it is now.
    pub next: Option<Uuid>,
}

/// Takes a message out of the queue of its key for good, and keeps who did so and
/// why: what waits behind it can be put through then.
///
/// # Errors
/// [`AuditError::NotParked`] where it is in no queue, [`AuditError::Invalid`] where
/// nobody or no reason is named.
pub async fn release(
    servers: &Servers,
    flow: Flow,
    message_id: Uuid,
    by: &str,
    reason: &str,
) -> Result<Vec<Released>, AuditError> {
    let (by, reason) = (said("by", by, BY_MAX)?, said("reason", reason, REASON_MAX)?);
    let pool = mypay_database::pool(&servers.database_url, 1)?;
    // One statement: a consumer that lets the message pass meanwhile has locked its
    // row, and after its commit there is none.
    let released = sqlx::query(
        r#"WITH gone AS (
               DELETE FROM parked WHERE consumer = $1 AND message_id = $2 RETURNING *
           )
           INSERT INTO parked_release
                  (consumer, message_id, key, topic, partition, "offset", reason, parked_at,
                   content_hash, released_at, released_by, release_reason)
           SELECT consumer, message_id, key, topic, partition, "offset", reason, parked_at,
                  content_hash, $3, $4, $5
             FROM gone
           RETURNING key"#,
    )
    .bind(flow.name())
    .bind(message_id)
    .bind(Utc::now())
    .bind(by)
    .bind(reason)
    .fetch_all(&pool)
    .await?;
    if released.is_empty() {
        return Err(AuditError::NotParked { flow, message_id });
    }
    let mut keys = Vec::new();
    for row in released {
        let key: String = row.try_get(0)?;
        let row = sqlx::query(
            r#"SELECT count(*),
                      (array_agg(message_id ORDER BY parked_at, topic, partition, "offset"))[1]
                 FROM parked WHERE consumer = $1 AND key = $2"#,
        )
        .bind(flow.name())
        .bind(&key)
        .fetch_one(&pool)
        .await?;
        keys.push(Released {
            key,
            left: row.try_get(0)?,
            next: row.try_get(1)?,
        });
    }
    Ok(keys)
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
