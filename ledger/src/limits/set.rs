//! Setting limits: `mypay limits set`.

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use mypay_decide::Limits;
use mypay_decide::limits::OutOfRange;
use sqlx::{PgConnection, PgExecutor, PgPool, Row};

use super::{AHEAD, COLUMNS, Set, of_row};

/// The longest name and the longest reason, in characters.
const BY_MAX: usize = 100;
const REASON_MAX: usize = 200;

/// What is to be another, whole won; the rest stays.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Change {
    /// What a member may hold.
    pub balance_cap: Option<i64>,
    /// The smallest direct recharge.
    pub recharge_min: Option<i64>,
    /// The largest single remittance.
    pub remittance_max: Option<i64>,
    /// What a member may remit in one Korean day.
    pub remittance_daily: Option<i64>,
    /// Fee of a remittance between members.
    pub fee_to_member: Option<i64>,
    /// Fee of a remittance to a bank account.
    pub fee_to_bank: Option<i64>,
}

impl Change {
    fn of(self, before: Limits) -> Limits {
        Limits {
            balance_cap: self.balance_cap.unwrap_or(before.balance_cap),
            recharge_min: self.recharge_min.unwrap_or(before.recharge_min),
            remittance_max: self.remittance_max.unwrap_or(before.remittance_max),
            remittance_daily: self.remittance_daily.unwrap_or(before.remittance_daily),
            fee_to_member: self.fee_to_member.unwrap_or(before.fee_to_member),
            fee_to_bank: self.fee_to_bank.unwrap_or(before.fee_to_bank),
        }
    }
}

/// Why limits were not set.
#[derive(Debug, thiserror::Error)]
pub enum SetError {
    /// A value that it cannot have, or not beside the others.
    #[error(transparent)]
    OutOfRange(#[from] OutOfRange),
    /// Who sets them, or why, is no text that can be kept.
    #[error("{0}: 1 to {1} characters, on one line")]
    Text(&'static str, usize),
    /// They are in force already.
    #[error("nothing is another: these limits are in force from {0} on")]
    Same(DateTime<Utc>),
    /// Consumers could not all know in time.
    #[error("in force from {0}: consumers must hear of it before, so not earlier than {1}")]
    TooSoon(DateTime<Utc>, DateTime<Utc>),
    /// Others are to come later, and were made without regard to these.
    #[error("others are in force from {0} on: choose a later instant")]
    NotTheLast(DateTime<Utc>),
    /// An instant that nothing of ours has.
    #[error("in force from {0}: an instant of the years to 9999")]
    NoInstant(DateTime<Utc>),
    /// The database.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// Sets limits from an instant on, or [`AHEAD`] of now: the last ones with `change`.
pub async fn set(
    pool: &PgPool,
    change: Change,
    from: Option<DateTime<Utc>>,
    by: &str,
    reason: &str,
) -> Result<Set, SetError> {
    let by = text("by", by, BY_MAX)?;
    let reason = text("reason", reason, REASON_MAX)?;
    let mut transaction = pool.begin().await?;
    // One at a time, each on what the one before it has left. Reading goes on.
    sqlx::query("LOCK TABLE money.limits IN SHARE ROW EXCLUSIVE MODE")
        .execute(&mut *transaction)
        .await?;
    let now: DateTime<Utc> = sqlx::query("SELECT clock_timestamp()")
        .fetch_one(&mut *transaction)
        .await?
        .try_get(0)?;
    let last = last(&mut *transaction).await?;
    let set = following(&last, change, from, now)?;
    let set = Set {
        set_by: by,
        reason,
        ..set
    };
    insert(&mut transaction, &set).await?;
    transaction.commit().await?;
    Ok(set)
}

fn text(field: &'static str, text: &str, most: usize) -> Result<String, SetError> {
    let text = text.trim();
    let length = text.chars().count();
    if (1..=most).contains(&length) && !text.contains(char::is_control) {
        Ok(text.to_owned())
    } else {
        Err(SetError::Text(field, most))
    }
}

/// The limits that follow the last ones.
fn following(
    last: &Set,
    change: Change,
    from: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Result<Set, SetError> {
    let earliest = now + TimeDelta::from_std(AHEAD).unwrap_or_default();
    // To the microsecond, as PostgreSQL keeps it.
    let from = from.unwrap_or(earliest).trunc_subsecs(6);
    let earliest = earliest.trunc_subsecs(6);
    if from < earliest {
        return Err(SetError::TooSoon(from, earliest));
    }
    if from >= FAR {
        return Err(SetError::NoInstant(from));
    }
    if from <= last.in_force_from {
        return Err(SetError::NotTheLast(last.in_force_from));
    }
    let limits = change.of(last.limits());
    limits.check()?;
    if limits == last.limits() {
        return Err(SetError::Same(last.in_force_from));
    }
    Ok(Set {
        in_force_from: from,
        balance_cap: limits.balance_cap,
        recharge_min: limits.recharge_min,
        remittance_max: limits.remittance_max,
        remittance_daily: limits.remittance_daily,
        fee_to_member: limits.fee_to_member,
        fee_to_bank: limits.fee_to_bank,
        set_at: now,
        set_by: String::new(),
        reason: String::new(),
    })
}

/// The first instant of the year 10000.
const FAR: DateTime<Utc> = match DateTime::from_timestamp(253_402_300_800, 0) {
    Some(instant) => instant,
    None => DateTime::<Utc>::MAX_UTC,
};

async fn last(executor: impl PgExecutor<'_>) -> Result<Set, sqlx::Error> {
    let select = format!("SELECT {COLUMNS} FROM money.limits ORDER BY in_force_from DESC LIMIT 1");
    let row = sqlx::query(sqlx::AssertSqlSafe(select))
        .fetch_one(executor)
        .await?;
    of_row(&row)
}

async fn insert(connection: &mut PgConnection, set: &Set) -> Result<(), sqlx::Error> {
    let insert = format!(
        "INSERT INTO money.limits ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"
    );
    sqlx::query(sqlx::AssertSqlSafe(insert))
        .bind(set.in_force_from)
        .bind(set.balance_cap)
        .bind(set.recharge_min)
        .bind(set.remittance_max)
        .bind(set.remittance_daily)
        .bind(set.fee_to_member)
        .bind(set.fee_to_bank)
        .bind(set.set_at)
        .bind(&set.set_by)
        .bind(&set.reason)
        .execute(connection)
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
    }

    fn last(seconds: i64) -> Set {
        let limits = Limits::default();
        Set {
            in_force_from: at(seconds),
            balance_cap: limits.balance_cap,
            recharge_min: limits.recharge_min,
            remittance_max: limits.remittance_max,
            remittance_daily: limits.remittance_daily,
            fee_to_member: limits.fee_to_member,
            fee_to_bank: limits.fee_to_bank,
            set_at: at(seconds),
            set_by: "kim".to_owned(),
            reason: "the defaults".to_owned(),
        }
    }

    fn cap(won: i64) -> Change {
        Change {
            balance_cap: Some(won),
            ..Change::default()
        }
    }

    #[test]
    fn what_is_not_named_stays_and_all_consumers_hear_of_it_before() {
        let set = following(&last(-100), cap(3_000_000), None, at(0)).unwrap();
        let expected = Limits {
            balance_cap: 3_000_000,
            ..Limits::default()
        };
        assert_eq!((set.limits(), set.in_force_from), (expected, at(10)));
        let later = following(&last(-100), cap(3_000_000), Some(at(500)), at(0));
        assert_eq!(later.unwrap().in_force_from, at(500));
    }

    #[test]
    fn what_cannot_be_in_force_says_why() {
        let refused = |last: &Set, change, from| {
            following(last, change, from, at(0))
                .unwrap_err()
                .to_string()
        };
        let before = last(-100);
        for (change, from, why) in [
            (cap(0), None, "balance_cap: 0 won, and it may be 1 to"),
            (cap(i64::MIN), None, "balance_cap"),
            (cap(9_999), None, "recharge_min: 10000 won"),
            (cap(2_000_000), None, "nothing is another"),
            (Change::default(), None, "nothing is another"),
            (cap(1_000_000), Some(at(9)), "not earlier than"),
            (cap(1_000_000), Some(at(-9)), "not earlier than"),
            (
                cap(1_000_000),
                Some(DateTime::<Utc>::MAX_UTC),
                "the years to 9999",
            ),
        ] {
            let told = refused(&before, change, from);
            assert!(told.contains(why), "{change:?} {from:?}: {told}");
        }
        let told = refused(&last(60), cap(1_000_000), Some(at(60)));
        assert!(told.contains("choose a later instant"), "{told}");
        for bad in ["", "  ", "two\nlines", &"x".repeat(101)] {
            assert!(text("by", bad, BY_MAX).is_err(), "{bad:?}");
        }
    }
}
