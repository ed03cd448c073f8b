//! The rows of what is given up, which stay locked.

use mypay_idempotency::parked::shortened;
use mypay_schemas::Flow;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use crate::error::AuditError;

/// The messages that wait in the queue of a key, in its order.
pub(super) async fn queue(
    connection: &mut PgConnection,
    flow: Flow,
    key: &str,
) -> Result<Vec<Uuid>, AuditError> {
    // In the order in which the consumer locks them.
    Ok(sqlx::query_scalar(
        r#"SELECT message_id FROM parked WHERE consumer = $1 AND key = $2
            ORDER BY parked_at, topic, partition, "offset" FOR UPDATE"#,
    )
    .bind(flow.name())
    .bind(shortened(key))
    .fetch_all(connection)
    .await?)
}

/// A parked message of the id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Waiting {
    /// Its key.
    pub(super) key: String,
    /// Hash of its content; `None` of one that was parked before that was kept.
    pub(super) hash: Option<Vec<u8>>,
}

/// The parked messages of an id, which stay locked.
pub(super) async fn waiting(
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
pub(super) fn only(
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
pub(super) async fn known(
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

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
}
