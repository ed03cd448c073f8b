//! Partitions of `queue_log` that lie before the horizon, and how they are dropped.
//!
//! An id is forgotten with its partition, so three things must hold: no topic has
//! the message any more (the horizon is longer than their retention), nothing of the
//! partition is under way, and nobody is about to claim in it. For the last, the new
//! horizon is told first; consumers read it every minute, and what follows from so
//! old a request becomes a dead letter instead of a claim. Who has not read it by
//! [`HEARD`] cannot reach the database, and so cannot claim.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::{AssertSqlSafe, PgPool, Row};

use super::{HORIZON_WEEKS, WEEK, weeks};

/// How long after it was told everybody has read the new horizon.
pub const HEARD: Duration = Duration::from_secs(150);
/// How often a partition's lock is asked for: while it is waited for, all claims wait.
const TRIES: u32 = 5;

/// A partition before the horizon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Old {
    /// Counted since the epoch.
    pub week: i64,
    /// The first instant whose ids it holds.
    pub from: DateTime<Utc>,
    /// Rows, as PostgreSQL estimates them; -1 where it never did.
    pub rows: i64,
    /// Rows that wait or are in progress: they keep the partition.
    pub open: i64,
    /// Bytes, its index included.
    pub bytes: i64,
}

/// The partitions that lie wholly before the horizon, the oldest first.
pub async fn old(pool: &PgPool, now: DateTime<Utc>) -> Result<Vec<Old>, sqlx::Error> {
    let oldest_kept = now.timestamp_millis().div_euclid(WEEK) - HORIZON_WEEKS;
    let mut old = Vec::new();
    let mut weeks = weeks(pool).await?;
    weeks.sort_unstable();
    for week in weeks.into_iter().filter(|week| *week < oldest_kept) {
        old.push(look_at(pool, week).await?);
    }
    Ok(old)
}

async fn look_at(pool: &PgPool, week: i64) -> Result<Old, sqlx::Error> {
    // The name is a number of ours; nothing here is input.
    let row = sqlx::query(AssertSqlSafe(format!(
        "SELECT (SELECT reltuples::bigint FROM pg_class WHERE oid = 'queue_log_w{week}'::regclass),
                (SELECT count(*) FROM queue_log_w{week} WHERE status <> 'done'),
                pg_total_relation_size('queue_log_w{week}')"
    )))
    .fetch_one(pool)
    .await?;
    Ok(Old {
        week,
        from: DateTime::from_timestamp_millis(week * WEEK).unwrap_or_default(),
        rows: row.try_get(0)?,
        open: row.try_get(1)?,
        bytes: row.try_get(2)?,
    })
}

/// Tells that ids from before `week` are remembered no more. It never goes back.
pub async fn tell(pool: &PgPool, week: i64, at: DateTime<Utc>) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO queue_log_horizon (oldest_week, told_at) VALUES ($1, $2)
         ON CONFLICT (one) DO UPDATE
            SET oldest_week = EXCLUDED.oldest_week, told_at = EXCLUDED.told_at
          WHERE queue_log_horizon.oldest_week < EXCLUDED.oldest_week",
    )
    .bind(week)
    .bind(at)
    .execute(pool)
    .await?;
    Ok(())
}

/// Drops a partition, unless something of it is under way; tells whether it did.
///
/// To be called [`HEARD`] after [`tell`]: what is done by then stays done.
pub async fn drop_week(pool: &PgPool, week: i64) -> Result<bool, sqlx::Error> {
    if look_at(pool, week).await?.open > 0 {
        return Ok(false);
    }
    let mut tries = 0;
    loop {
        match drop_now(pool, week).await {
            // Lock not available: a long transaction has the table.
            Err(sqlx::Error::Database(error))
                if tries < TRIES && error.code().as_deref() == Some("55P03") =>
            {
                tries += 1;
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            dropped => return dropped.map(|()| true),
        }
    }
}

async fn drop_now(pool: &PgPool, week: i64) -> Result<(), sqlx::Error> {
    let mut transaction = pool.begin().await?;
    sqlx::query("SET LOCAL lock_timeout = '2s'")
        .execute(&mut *transaction)
        .await?;
    sqlx::query(AssertSqlSafe(format!("DROP TABLE queue_log_w{week}")))
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await
}
