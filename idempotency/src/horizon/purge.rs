//! Partitions of `queue_log` that lie before the horizon, and how they are dropped.
//!
//! An id is forgotten with its partition, so three things must hold: no topic has
//! the message any more (the horizon is longer than their retention), nothing of the
//! partition is under way, and nobody is about to claim in it. For the last, the new
//! horizon is told first; consumers read it every minute, and what follows from so
//! old a request becomes a dead letter instead of a claim. Who has not read it by
//! [`HEARD`] cannot reach the database, and so cannot claim.
//!
//! What follows from a request may come late: banks undo what they did weeks ago. So
//! weeks are kept far longer than the topics need.

use std::time::Duration;

use chrono::{DateTime, Utc};
use mypay_schemas::identity::{lower_bound, time_of};
use serde::Serialize;
use sqlx::{AssertSqlSafe, PgConnection, PgPool, Row};
use uuid::Uuid;

use super::{WEEK, weeks};

/// How many weeks are kept where nobody says otherwise.
pub const KEEP_WEEKS: i64 = 26;
/// How many weeks are kept, whoever says what.
pub const KEEP_WEEKS_MIN: i64 = 8;
/// How long after it was told everybody has read the new horizon.
pub const HEARD: Duration = Duration::from_secs(150);
/// How often a partition's lock is asked for: while it is waited for, all claims wait.
const TRIES: u32 = 5;

/// Why nothing was purged.
#[derive(Debug, thiserror::Error)]
pub enum PurgeError {
    /// The database failed.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    /// A week that may still be needed.
    #[error(
        "week {0} (counted since 1970) is younger than {least} weeks by the database's clock",
        least = KEEP_WEEKS_MIN
    )]
    TooYoung(i64),
    /// Something of a week has come under way since it was looked at.
    #[error("something of week {0} (counted since 1970) is under way: nothing was purged")]
    UnderWay(i64),
}

/// A partition before the horizon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Old {
    /// Counted since the epoch.
    pub week: i64,
    /// The first instant whose ids it holds.
    pub from: DateTime<Utc>,
    /// Rows, as PostgreSQL estimates them; -1 where it never did.
    pub rows: i64,
    /// What keeps the partition: rows that wait or are in progress, parked messages,
    /// payouts of settlements that wait for their bank, those that we are about to undo,
    /// and what a bank or we have undone and its flow has not posted.
    pub open: i64,
    /// Bytes, its index included.
    pub bytes: i64,
}

/// The partitions of weeks that are older than `keep_weeks`, the oldest first.
pub async fn old(pool: &PgPool, keep_weeks: i64) -> Result<Vec<Old>, PurgeError> {
    let oldest_kept = this_week(pool).await? - keep_weeks.max(KEEP_WEEKS_MIN);
    let mut old = Vec::new();
    let mut weeks = weeks(pool).await?;
    weeks.sort_unstable();
    for week in weeks.into_iter().filter(|week| *week < oldest_kept) {
        old.push(look_at(pool, week).await?);
    }
    Ok(old)
}

/// This week by the database's clock: another's may be wrong by years.
async fn this_week(pool: &PgPool) -> Result<i64, sqlx::Error> {
    let now: DateTime<Utc> = sqlx::query_scalar("SELECT now()").fetch_one(pool).await?;
    Ok(now.timestamp_millis().div_euclid(WEEK))
}

async fn look_at(pool: &PgPool, week: i64) -> Result<Old, sqlx::Error> {
    // Whatever follows from a request has an id of the request's time. Remittances,
    // recharges and closings that wait are in progress in queue_log; a payout's run is
    // done. (The name is a number of ours; nothing here is input.)
    let row = sqlx::query(AssertSqlSafe(format!(
        "SELECT (SELECT reltuples::bigint FROM pg_class WHERE oid = 'queue_log_w{week}'::regclass),
                (SELECT count(*) FROM queue_log_w{week} WHERE status <> 'done')
              + (SELECT count(*) FROM parked WHERE message_id >= $1 AND message_id < $2)
              + (SELECT count(*) FROM settlement.payout
                  WHERE state = 'AWAITS_BANK' AND payout_id >= $1 AND payout_id < $2),
                pg_total_relation_size('queue_log_w{week}')"
    )))
    .bind(lower_bound(week * WEEK))
    .bind(lower_bound((week + 1) * WEEK))
    .fetch_one(pool)
    .await?;
    let open: i64 = row.try_get(1)?;
    let undone = undone(&mut *pool.acquire().await?, week, week + 1).await?;
    Ok(Old {
        week,
        from: DateTime::from_timestamp_millis(week * WEEK).unwrap_or_default(),
        rows: row.try_get(0)?,
        open: open + undone.map_or(0, |(_, count)| count),
        bytes: row.try_get(2)?,
    })
}

/// What we are about to undo of these weeks, and what a bank or we have undone and its
/// flow has not posted: it may come about long after its request was done, and is written
/// down under [`super::hold`]. Gives the oldest of their weeks that has any, and how many
/// there are in all.
async fn undone(
    connection: &mut PgConnection,
    from: i64,
    before: i64,
) -> Result<Option<(i64, i64)>, sqlx::Error> {
    let row = sqlx::query(
        "SELECT min(id::text)::uuid, count(*)
           FROM (SELECT firmbanking_id AS id FROM banking.undo
                  WHERE state IN ('approved', 'asked')
                 UNION ALL
                 SELECT r.firmbanking_id
                   FROM banking.reversal r
                   LEFT JOIN remittance.payout m ON m.firmbanking_id = r.firmbanking_id
                   LEFT JOIN settlement.payout s ON s.firmbanking_id = r.firmbanking_id
                   LEFT JOIN membership.closing c ON c.firmbanking_id = r.firmbanking_id
                  WHERE m.remittance_id IS NOT NULL AND m.reversed_at IS NULL
                     OR s.payout_id IS NOT NULL AND s.reversed_at IS NULL
                     OR c.closing_id IS NOT NULL AND c.reversed_at IS NULL) u
          WHERE id >= $1 AND id < $2",
    )
    .bind(lower_bound(from * WEEK))
    .bind(lower_bound(before * WEEK))
    .fetch_one(connection)
    .await?;
    let oldest: Option<Uuid> = row.try_get(0)?;
    let count = row.try_get(1)?;
    Ok(oldest.map(|id| (time_of(id).div_euclid(WEEK), count)))
}

/// Tells that ids from before `week` are remembered no more. It never goes back.
///
/// Under the lock that [`super::hold`] takes, and after another look at what is written
/// under it: what has come about since the last one keeps its week.
///
/// # Errors
/// [`PurgeError::TooYoung`] where a week is among them that may still be needed,
/// [`PurgeError::UnderWay`] where something of one is under way.
pub async fn tell(pool: &PgPool, week: i64, at: DateTime<Utc>) -> Result<(), PurgeError> {
    is_old(pool, week - 1).await?;
    let mut transaction = pool.begin().await?;
    limit(&mut transaction).await?;
    // A database that was not migrated yet may lack the row, and nothing would be locked.
    sqlx::query(
        "INSERT INTO queue_log_horizon (oldest_week, told_at) VALUES (0, '-infinity')
         ON CONFLICT DO NOTHING",
    )
    .execute(&mut *transaction)
    .await?;
    sqlx::query("SELECT 1 FROM queue_log_horizon FOR UPDATE")
        .execute(&mut *transaction)
        .await?;
    if let Some((kept, _)) = undone(&mut transaction, 0, week).await? {
        return Err(PurgeError::UnderWay(kept));
    }
    sqlx::query(
        "UPDATE queue_log_horizon SET oldest_week = $1, told_at = $2 WHERE oldest_week < $1",
    )
    .bind(week)
    .bind(at)
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(())
}

/// Drops a partition, unless something of it is under way; tells whether it did.
///
/// To be called [`HEARD`] after [`tell`]: what is done by then stays done.
///
/// # Errors
/// [`PurgeError::TooYoung`] where the week may still be needed.
pub async fn drop_week(pool: &PgPool, week: i64) -> Result<bool, PurgeError> {
    is_old(pool, week).await?;
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
            dropped => {
                dropped?;
                return Ok(true);
            }
        }
    }
}

/// Fails where a week may still be needed, whatever was asked for.
async fn is_old(pool: &PgPool, week: i64) -> Result<(), PurgeError> {
    if week < this_week(pool).await? - KEEP_WEEKS_MIN {
        Ok(())
    } else {
        Err(PurgeError::TooYoung(week))
    }
}

async fn drop_now(pool: &PgPool, week: i64) -> Result<(), sqlx::Error> {
    let mut transaction = pool.begin().await?;
    limit(&mut transaction).await?;
    sqlx::query(AssertSqlSafe(format!("DROP TABLE queue_log_w{week}")))
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await
}

/// Bounds what a purge can hold up: while it waits for a lock others wait behind it, and
/// should this process freeze with one, the database ends the transaction.
async fn limit(transaction: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(
        "SET LOCAL lock_timeout = '2s'; SET LOCAL idle_in_transaction_session_timeout = '10s'",
    )
    .execute(transaction)
    .await?;
    Ok(())
}
