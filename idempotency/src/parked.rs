//! Keys that wait behind a message which our own code could not handle.
//!
//! Such a message (a broken invariant, a panic) goes to the dead letters; what
//! comes later for the same key goes there behind it, in order, since it was
//! asked for in the belief that the earlier one was handled. What merely cannot
//! be decoded parks nobody: else anyone could freeze an account with garbage.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use crate::lane::Lane;

/// A key as it is kept: short enough for an index, and without zero bytes,
/// which PostgreSQL's text cannot hold. Keys of accounts are far shorter.
pub fn shortened(key: &str) -> String {
    key.chars()
        .filter(|character| *character != '\0')
        .take(100)
        .collect()
}

/// The parked keys of a consumer: hardly ever any.
pub async fn all(
    connection: &mut PgConnection,
    consumer: &str,
) -> Result<HashSet<String>, sqlx::Error> {
    let rows = sqlx::query("SELECT DISTINCT key FROM parked WHERE consumer = $1")
        .bind(consumer)
        .fetch_all(connection)
        .await?;
    rows.iter().map(|row| row.try_get(0)).collect()
}

/// Parks a key behind a message.
pub async fn park(
    connection: &mut PgConnection,
    lane: &Lane,
    key: &str,
    (message_id, offset): (Uuid, i64),
    reason: &str,
    at: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        r#"INSERT INTO parked (consumer, key, message_id, topic, partition, "offset", reason, parked_at)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING"#,
    )
    .bind(lane.consumer)
    .bind(key)
    .bind(message_id)
    .bind(&lane.topic)
    .bind(lane.partition)
    .bind(offset)
    .bind(reason)
    .bind(at)
    .execute(connection)
    .await?;
    Ok(())
}
