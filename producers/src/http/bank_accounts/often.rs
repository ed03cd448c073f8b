//! How often a member may have a bank asked whose an account is.

use chrono::{DateTime, Days, Utc};
use chrono_tz::Asia::Seoul;
use mypay_decide::limits::korean_day;
use sqlx::PgPool;
use uuid::Uuid;

use super::super::problem::Problem;

/// Counts one more inquiry of the member's, unless the day has had `most` of them.
///
/// Before the bank is asked and whatever it says: each call costs, and what was
/// registered tells nothing of those that found no account. In the database, since
/// there may be several edges, and each may be started anew.
pub(super) async fn count(
    pool: &PgPool,
    member_id: Uuid,
    most: i32,
    now: DateTime<Utc>,
) -> Result<(), Problem> {
    // Should the clock of another edge be ahead, its day is the one that counts.
    let counted = sqlx::query(
        "INSERT INTO banking.registration_day AS h (member_id, day, asked) VALUES ($1, $2, 1)
         ON CONFLICT (member_id) DO UPDATE
            SET day = greatest(h.day, EXCLUDED.day),
                asked = CASE WHEN h.day < EXCLUDED.day THEN 1 ELSE h.asked + 1 END
          WHERE h.day < EXCLUDED.day OR h.asked < $3",
    )
    .bind(member_id)
    .bind(korean_day(now))
    .bind(most)
    .execute(pool)
    .await?
    .rows_affected();
    if counted > 0 {
        return Ok(());
    }
    let detail = format!(
        "banks were asked {most} times today whose an account is, which is what a member has a \
         day: try again tomorrow, or ask staff"
    );
    Err(Problem::too_many(
        "too_many_registrations",
        detail,
        until_tomorrow(now),
    ))
}

/// Counts a question to a bank, for its bill: before it is asked, as each may cost.
pub(super) async fn for_the_bill(
    pool: &PgPool,
    bank_code: &str,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO banking.holder_inquiry AS h (bank_code, asked_on, inquiries) VALUES ($1, $2, 1)
         ON CONFLICT (bank_code, asked_on) DO UPDATE SET inquiries = h.inquiries + 1",
    )
    .bind(bank_code)
    .bind(korean_day(now))
    .execute(pool)
    .await?;
    Ok(())
}

/// Until the next day begins in Korea, seconds, rounded up.
fn until_tomorrow(now: DateTime<Utc>) -> u64 {
    let tomorrow = korean_day(now)
        .checked_add_days(Days::new(1))
        .and_then(|day| {
            day.and_time(chrono::NaiveTime::MIN)
                .and_local_timezone(Seoul)
                .single()
        });
    let left = tomorrow.map_or(0, |tomorrow| (tomorrow.to_utc() - now).num_milliseconds());
    u64::try_from(left).unwrap_or(0).div_ceil(1_000).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_day_is_korea_s() {
        for (now, seconds) in [
            // 00:00 and 23:59:59.5 in Korea.
            ("2026-11-25T15:00:00Z", 86_400),
            ("2026-11-26T14:59:59.5Z", 1),
            ("2026-11-26T03:00:00Z", 43_200),
        ] {
            assert_eq!(until_tomorrow(now.parse().unwrap()), seconds, "{now}");
        }
    }
}
