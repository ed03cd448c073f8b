//! How far back an id is remembered: the partitions of `queue_log`.
//!
//! Partitions are weeks of the time that ids carry. Purging drops a partition
//! whole. An id from before the oldest one is refused: it could be a duplicate
//! that nobody remembers.

pub mod purge;

use std::sync::RwLock;

use chrono::{DateTime, Utc};
use mypay_schemas::identity::{lower_bound, time_of};
use sqlx::{AssertSqlSafe, PgConnection, PgExecutor, PgPool, Row};
use uuid::Uuid;

/// A week, the length of a partition of `queue_log`, in milliseconds.
pub const WEEK: i64 = 7 * 24 * 3_600_000;
/// How long rows are kept at the least (`purge` keeps them longer); longer than any topic keeps its messages (35 days;
/// `mypay topics lint` compares the two).
pub const HORIZON_WEEKS: i64 = 5;
/// How old a request may be that is not known yet, in milliseconds: 3 weeks.
///
/// Longer than a replay promises to reach (14 days), so that no outage which a
/// replay mends turns anything away; and two weeks less than the horizon, so that
/// a bank has that long to answer the youngest of the oldest.
const REQUEST_AGE_MAX: i64 = 3 * WEEK;
/// How many weeks ahead partitions are made, so that none is missing when the
/// maintenance does not run for some days.
const AHEAD_WEEKS: i64 = 2;
/// How far an id's time may lie ahead of our clock.
pub const CLOCK_SKEW_MILLIS: i64 = 24 * 3_600_000;

/// Why an id cannot be claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beyond {
    /// Older than the oldest partition.
    Past,
    /// Further in the future than clocks differ.
    Future,
}

/// The span of ids that have a partition.
///
/// Read by every message, moved once a week by maintenance.
#[derive(Debug)]
pub struct Horizon {
    oldest: RwLock<i64>,
}

impl Horizon {
    /// Reads the span of the partitions, and makes what is missing.
    pub async fn open(pool: &PgPool, now: DateTime<Utc>) -> Result<Self, sqlx::Error> {
        let oldest = maintain(pool, now).await?;
        Ok(Self {
            oldest: RwLock::new(oldest),
        })
    }

    /// Makes the coming partitions; called now and then.
    pub async fn renew(&self, pool: &PgPool, now: DateTime<Utc>) -> Result<(), sqlx::Error> {
        let oldest = maintain(pool, now).await?;
        *self
            .oldest
            .write()
            .unwrap_or_else(|poisoned| poisoned.into_inner()) = oldest;
        Ok(())
    }

    /// Whether an id that is not known yet can be claimed at this instant, of a message
    /// that was put on its topic at another.
    ///
    /// A message that follows from a request of ours carries that one's time,
    /// and may be as old as the partitions reach. An id from the future stays one, however
    /// late its message comes again: what was rejected leaves no row, and must be rejected.
    pub fn check(
        &self,
        id: Uuid,
        now: DateTime<Utc>,
        appended: DateTime<Utc>,
        follows: bool,
    ) -> Result<(), Beyond> {
        let time = time_of(id);
        let kept = *self
            .oldest
            .read()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        let oldest = if follows {
            kept
        } else {
            kept.max(now.timestamp_millis() - REQUEST_AGE_MAX)
        };
        if time < oldest {
            Err(Beyond::Past)
        } else if time > now.min(appended).timestamp_millis() + CLOCK_SKEW_MILLIS {
            Err(Beyond::Future)
        } else {
            Ok(())
        }
    }
}

/// Makes the partitions from the horizon to the weeks ahead; tells where the
/// oldest begins, in milliseconds since the epoch.
async fn maintain(pool: &PgPool, now: DateTime<Utc>) -> Result<i64, sqlx::Error> {
    let this_week = now.timestamp_millis().div_euclid(WEEK);
    let wanted = this_week - HORIZON_WEEKS..=this_week + AHEAD_WEEKS;
    let existing = weeks(pool).await?;
    for week in wanted.filter(|week| !existing.contains(week)) {
        let (from, to) = (lower_bound(week * WEEK), lower_bound((week + 1) * WEEK));
        // The names and bounds are numbers of ours; nothing here is input.
        let created = sqlx::query(AssertSqlSafe(format!(
            "CREATE TABLE IF NOT EXISTS queue_log_w{week}
                 PARTITION OF queue_log FOR VALUES FROM ('{from}') TO ('{to}')"
        )))
        .execute(pool)
        .await;
        // Another process may make the same one at the same instant.
        if let Err(error) = created
            && !weeks(pool).await?.contains(&week)
        {
            return Err(error);
        }
    }
    let oldest = existing.into_iter().min().unwrap_or(i64::MAX);
    let oldest = oldest.min(this_week - HORIZON_WEEKS);
    Ok(oldest.max(told(pool).await?.unwrap_or(oldest)) * WEEK)
}

/// Where the oldest id that is remembered may lie, in milliseconds since the epoch:
/// the beginning of the oldest partition, or what was told of the purge of it.
pub async fn oldest(connection: &mut PgConnection) -> Result<i64, sqlx::Error> {
    let existing = weeks(&mut *connection).await?.into_iter().min();
    Ok(existing.max(told(connection).await?).unwrap_or(0) * WEEK)
}

/// As [`oldest`], and it stays there until the transaction ends.
///
/// For whoever writes down what a consumer is to claim later, under the time of an old
/// request: a purge that is about to forget it waits for the commit, and sees it.
pub async fn hold(connection: &mut PgConnection) -> Result<i64, sqlx::Error> {
    sqlx::query("SELECT 1 FROM queue_log_horizon FOR SHARE")
        .execute(&mut *connection)
        .await?;
    oldest(connection).await
}

/// The oldest week that the last purge left.
async fn told(database: impl PgExecutor<'_>) -> Result<Option<i64>, sqlx::Error> {
    sqlx::query_scalar("SELECT oldest_week FROM queue_log_horizon")
        .fetch_optional(database)
        .await
}

/// The weeks that have a partition.
async fn weeks(database: impl PgExecutor<'_>) -> Result<Vec<i64>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT c.relname::text FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
          WHERE i.inhparent = 'queue_log'::regclass",
    )
    .fetch_all(database)
    .await?;
    let names = rows
        .iter()
        .map(|row| row.try_get::<String, _>(0))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(names
        .iter()
        .filter_map(|name| name.strip_prefix("queue_log_w")?.parse().ok())
        .collect())
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn an_id_from_the_future_stays_one_and_an_old_one_gets_older() {
        let appended = Utc::now();
        let horizon = Horizon {
            oldest: RwLock::new(0),
        };
        let id = |from_now: TimeDelta| lower_bound((appended + from_now).timestamp_millis());
        let ahead = id(TimeDelta::hours(30));
        for later in [0, 10, 24 * 20] {
            let now = appended + TimeDelta::hours(later);
            let checked = horizon.check(ahead, now, appended, false);
            assert_eq!(checked, Err(Beyond::Future), "{later} hours later");
        }
        let day_old = id(-TimeDelta::days(1));
        for (days, follows, due) in [
            (0, false, Ok(())),
            (21, false, Err(Beyond::Past)),
            (21, true, Ok(())),
        ] {
            let now = appended + TimeDelta::days(days);
            assert_eq!(
                horizon.check(day_old, now, appended, follows),
                due,
                "{days}"
            );
        }
    }
}
