//! Days that are not asked about any more, and are not complete: for people.
//!
//! What a bank gave a number and never gave us may have undone a command. Nobody asks
//! for it any longer once its day is too old, so it becomes a case: one a day, whose
//! number is the first that is missing. It is known by the bank's own count; of a day
//! on which the bank never told it, nothing is known.

use chrono::{NaiveDate, Utc};
use sqlx::{PgConnection, Row};

use super::fetch::case_id;
use crate::worker::Workers;

/// How many days are looked at in one commit.
const BATCH: i64 = 100;

/// A day with gaps.
struct Gaps {
    date: NaiveDate,
    /// The first number that is missing.
    first: i64,
    missing: i64,
    last_number: i64,
}

/// Opens a case for each day up to this one of which notices are missing.
pub(super) async fn tell(workers: &Workers, bank_code: &str, up_to: NaiveDate) {
    match give_up(workers, bank_code, up_to).await {
        Ok(days) => {
            for day in days {
                workers.metrics.noticed(bank_code, "never_given");
                tracing::error!(bank_code, date = %day.date, first = day.first, missing = day.missing,
                    "notices that the bank never gave us: people must ask for them");
            }
        }
        Err(error) => {
            tracing::warn!(bank_code, %error, "days with gaps could not be looked for");
        }
    }
}

async fn give_up(
    workers: &Workers,
    bank_code: &str,
    up_to: NaiveDate,
) -> Result<Vec<Gaps>, sqlx::Error> {
    let mut transaction = workers.pool.begin().await?;
    let days = with_gaps(&mut transaction, bank_code, up_to).await?;
    if days.is_empty() {
        return Ok(days);
    }
    let details = days.iter().map(|day| {
        format!(
            "{} of the {} notices of this day were never given to us, from number {} on: \
             ask the bank what they undid",
            day.missing, day.last_number, day.first
        )
    });
    let ids = days
        .iter()
        .map(|day| case_id(bank_code, day.date, day.first));
    sqlx::query(
        "WITH gaps AS (
             SELECT * FROM unnest($2::date[], $3::bigint[], $4::uuid[], $5::text[])
                    AS g(date, first, case_id, detail)
         ), given_up AS (
             UPDATE banking.notice_day d SET given_up_at = $6
               FROM gaps g
              WHERE d.bank_code = $1 AND d.notice_date = g.date
         )
         INSERT INTO banking.notice
                (bank_code, notice_date, notice_number, state, detail, case_id, received_at,
                 changed_at)
         SELECT $1, g.date, g.first, 'case', g.detail, g.case_id, $6, $6 FROM gaps g",
    )
    .bind(bank_code)
    .bind(days.iter().map(|day| day.date).collect::<Vec<_>>())
    .bind(days.iter().map(|day| day.first).collect::<Vec<_>>())
    .bind(ids.collect::<Vec<_>>())
    .bind(details.collect::<Vec<_>>())
    .bind(Utc::now())
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(days)
}

/// The oldest days with gaps, locked: each becomes a case once.
async fn with_gaps(
    connection: &mut PgConnection,
    bank_code: &str,
    up_to: NaiveDate,
) -> Result<Vec<Gaps>, sqlx::Error> {
    // Looked for in the notices themselves: two processes that keep notices of one day
    // at once may leave `complete_to` behind what is here.
    let rows = sqlx::query(
        "SELECT d.notice_date, gap.first, d.last_number - d.complete_to - here.notices,
                d.last_number
           FROM banking.notice_day d,
                LATERAL (SELECT count(*) AS notices FROM banking.notice n
                          WHERE n.bank_code = d.bank_code AND n.notice_date = d.notice_date
                            AND n.notice_number > d.complete_to
                            AND n.notice_number <= d.last_number) here,
                LATERAL (SELECT min(candidate.number) AS first
                           FROM (SELECT d.complete_to + 1 AS number
                                  UNION ALL
                                 SELECT n.notice_number + 1 FROM banking.notice n
                                  WHERE n.bank_code = d.bank_code
                                    AND n.notice_date = d.notice_date
                                    AND n.notice_number > d.complete_to
                                    AND n.notice_number < d.last_number) candidate
                          WHERE NOT EXISTS (SELECT FROM banking.notice n
                                             WHERE n.bank_code = d.bank_code
                                               AND n.notice_date = d.notice_date
                                               AND n.notice_number = candidate.number)) gap
          WHERE d.bank_code = $1 AND d.notice_date <= $2
            AND d.complete_to < d.last_number AND d.given_up_at IS NULL
            AND gap.first IS NOT NULL
          ORDER BY d.notice_date LIMIT $3
            FOR UPDATE OF d SKIP LOCKED",
    )
    .bind(bank_code)
    .bind(up_to)
    .bind(BATCH)
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(Gaps {
                date: row.try_get(0)?,
                first: row.try_get(1)?,
                missing: row.try_get(2)?,
                last_number: row.try_get(3)?,
            })
        })
        .collect()
}
