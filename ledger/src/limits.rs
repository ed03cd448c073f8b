//! The limits in force: `money.limits`, a row an instant, append-only.
//!
//! They are set ahead of their instant ([`AHEAD`]), and consumers read what is to come
//! more often than that ([`HEARD`]): so when the instant comes all of them know, and
//! each goes by the time of its batch. Nothing is read for a batch, but once in a
//! while, in its own transaction.
//!
//! Should a consumer hear late all the same (a commit that hung for seconds), it
//! decides by the limits of before as if they had been set seconds later. No sum is
//! wrong by that: what a member holds and has sent is guarded by the update of the
//! account itself, whoever writes it, under the limits of the one decision.

pub mod set;

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use mypay_decide::Limits;
use serde::Serialize;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, PgPool, Row};

/// How long a consumer goes by what it has read.
pub const HEARD: Duration = Duration::from_secs(2);
/// How long before their instant limits are set at the latest.
pub const AHEAD: Duration = Duration::from_secs(10);

/// Limits, and from when on they are in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Set {
    /// Until the next ones.
    pub in_force_from: DateTime<Utc>,
    /// What a member may hold, whole won.
    pub balance_cap: i64,
    /// The smallest direct recharge, whole won.
    pub recharge_min: i64,
    /// The largest single remittance, whole won.
    pub remittance_max: i64,
    /// What a member may remit in one Korean day, whole won.
    pub remittance_daily: i64,
    /// Fee of a remittance between members, whole won.
    pub fee_to_member: i64,
    /// Fee of a remittance to a bank account, whole won.
    pub fee_to_bank: i64,
    /// When they were set.
    pub set_at: DateTime<Utc>,
    /// By whom.
    pub set_by: String,
    /// Why.
    pub reason: String,
}

impl Set {
    /// The limits themselves.
    pub fn limits(&self) -> Limits {
        Limits {
            balance_cap: self.balance_cap,
            recharge_min: self.recharge_min,
            remittance_max: self.remittance_max,
            remittance_daily: self.remittance_daily,
            fee_to_member: self.fee_to_member,
            fee_to_bank: self.fee_to_bank,
        }
    }
}

const COLUMNS: &str = "in_force_from, balance_cap, recharge_min, remittance_max, remittance_daily,
                       fee_to_member, fee_to_bank, set_at, set_by, reason";

/// All that was ever set, the latest first, what is to come among it.
pub async fn list(pool: &PgPool) -> Result<Vec<Set>, sqlx::Error> {
    let select = format!("SELECT {COLUMNS} FROM money.limits ORDER BY in_force_from DESC");
    let rows = sqlx::query(sqlx::AssertSqlSafe(select))
        .fetch_all(pool)
        .await?;
    rows.iter().map(of_row).collect()
}

fn of_row(row: &PgRow) -> Result<Set, sqlx::Error> {
    Ok(Set {
        in_force_from: row.try_get(0)?,
        balance_cap: row.try_get(1)?,
        recharge_min: row.try_get(2)?,
        remittance_max: row.try_get(3)?,
        remittance_daily: row.try_get(4)?,
        fee_to_member: row.try_get(5)?,
        fee_to_bank: row.try_get(6)?,
        set_at: row.try_get(7)?,
        set_by: row.try_get(8)?,
        reason: row.try_get(9)?,
    })
}

/// The limits in force, as a process knows them.
#[derive(Debug, Default)]
pub struct InForce(Mutex<Option<Known>>);

#[derive(Debug, Clone)]
struct Known {
    /// Before it was read.
    asked: Instant,
    /// Those of an instant, and all that are to come, the earliest first.
    sets: Vec<(DateTime<Utc>, Limits)>,
}

impl Known {
    /// The limits of an instant; `None` where it is earlier than what was read.
    fn of(&self, at: DateTime<Utc>) -> Option<Limits> {
        let set = self.sets.iter().rev().find(|(from, _)| *from <= at);
        set.map(|(_, limits)| *limits)
    }
}

impl InForce {
    /// The limits of an instant, that of a batch.
    pub async fn at(
        &self,
        connection: &mut PgConnection,
        at: DateTime<Utc>,
    ) -> Result<Limits, sqlx::Error> {
        if let Some(limits) = self.heard(at) {
            return Ok(limits);
        }
        let asked = Instant::now();
        let known = Known {
            asked,
            sets: read(connection, at).await?,
        };
        let limits = known.of(at).ok_or(sqlx::Error::RowNotFound)?;
        self.keep(known);
        Ok(limits)
    }

    fn heard(&self, at: DateTime<Utc>) -> Option<Limits> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = known.as_ref()?;
        (known.asked.elapsed() < HEARD).then(|| known.of(at))?
    }

    /// Keeps what was read, unless another lane has read later.
    fn keep(&self, read: Known) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.as_ref().is_none_or(|known| known.asked <= read.asked) {
            *known = Some(read);
        }
    }
}

async fn read(
    connection: &mut PgConnection,
    at: DateTime<Utc>,
) -> Result<Vec<(DateTime<Utc>, Limits)>, sqlx::Error> {
    let select = format!(
        "SELECT {COLUMNS} FROM money.limits
          WHERE in_force_from >= (SELECT max(in_force_from) FROM money.limits WHERE in_force_from <= $1)
          ORDER BY in_force_from"
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(select))
        .bind(at)
        .fetch_all(connection)
        .await?;
    rows.iter()
        .map(|row| of_row(row).map(|set| (set.in_force_from, set.limits())))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
    }

    #[test]
    fn each_instant_has_its_limits_and_an_earlier_one_is_asked_for() {
        let now = Limits::default();
        let then = Limits {
            balance_cap: 1_000_000,
            ..now
        };
        let known = Known {
            asked: Instant::now(),
            sets: vec![(at(0), now), (at(60), then)],
        };
        assert_eq!(known.of(at(0)), Some(now));
        assert_eq!(known.of(at(59)), Some(now));
        assert_eq!(known.of(at(60)), Some(then));
        assert_eq!(known.of(at(-1)), None);
        let in_force = InForce::default();
        assert_eq!(in_force.heard(at(0)), None);
        in_force.keep(known);
        assert_eq!(in_force.heard(at(61)), Some(then));
        assert_eq!(in_force.heard(at(-1)), None);
    }
}
