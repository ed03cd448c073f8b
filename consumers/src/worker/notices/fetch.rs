//! Asking a bank for a day's notices, and for those that got lost.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, Utc};
use mypay_bank::wire;
use mypay_schemas::identity::derive;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use crate::worker::Workers;

/// How many pages are read at a time.
const PAGES: usize = 10;
/// How many lost notices are asked for at a time.
const LOST: usize = 100;
/// How often an older day is asked about.
pub(super) const OLD: Duration = Duration::from_secs(600);

/// Where a day stands.
struct Day {
    bank_code: String,
    date: NaiveDate,
    complete_to: i64,
    last_number: i64,
}

/// Asks for the notices of a day, if it is due.
pub(super) async fn day(workers: &Workers, bank_code: &str, date: NaiveDate, back: i64) {
    let every = if back < super::RECENT {
        workers.notices
    } else {
        workers.notices.max(OLD)
    };
    let day = match turn(workers, bank_code, date, every).await {
        Ok(Some(day)) => day,
        Ok(None) => return,
        Err(error) => {
            tracing::warn!(bank_code, %date, %error, "notices were not asked for");
            return;
        }
    };
    if let Err(why) = read(workers, day).await {
        tracing::warn!(bank_code, %date, why, "notices could not be had");
    }
}

/// Takes the turn to ask about a day; `None`: it is not due, or another
/// process asks.
async fn turn(
    workers: &Workers,
    bank_code: &str,
    date: NaiveDate,
    every: Duration,
) -> Result<Option<Day>, sqlx::Error> {
    let row = sqlx::query(
        "INSERT INTO banking.notice_day AS d (bank_code, notice_date, due_at)
         VALUES ($1, $2, now() + make_interval(secs => $3))
         ON CONFLICT (bank_code, notice_date) DO UPDATE SET due_at = EXCLUDED.due_at
          WHERE d.due_at <= now()
         RETURNING complete_to, last_number",
    )
    .bind(bank_code)
    .bind(date)
    // A little less than the pause, or every second turn would come too early.
    .bind(every.as_secs_f64() * 0.9)
    .fetch_optional(&workers.pool)
    .await?;
    row.map(|row| {
        Ok(Day {
            bank_code: bank_code.to_owned(),
            date,
            complete_to: row.try_get(0)?,
            last_number: row.try_get(1)?,
        })
    })
    .transpose()
}

/// Reads what is new, and asks for what got lost.
async fn read(workers: &Workers, mut day: Day) -> Result<(), String> {
    let (bank_code, date) = (day.bank_code.clone(), day.date);
    let mut found = BTreeMap::new();
    let mut after = day.complete_to;
    for _ in 0..PAGES {
        let page = workers.bank.notices(&bank_code, date, after).await;
        let page = page.map_err(|error| error.to_string())?;
        day.last_number = day.last_number.max(page.last_number);
        let last = page.notices.last().map(|notice| notice.notice_number);
        for notice in page.notices {
            found.insert(notice.notice_number, notice);
        }
        match last {
            Some(last) if last > after && last < day.last_number => after = last,
            _ => break,
        }
    }
    let had = had(workers, &day)
        .await
        .map_err(|error| error.to_string())?;
    let missing: Vec<i64> = (day.complete_to + 1..=day.last_number)
        .filter(|number| !found.contains_key(number) && !had.contains(number))
        .take(LOST)
        .collect();
    for number in missing {
        tracing::warn!(bank_code, %date, number, "a notice got lost; it is asked for");
        match workers.bank.notice(&bank_code, date, number).await {
            Ok(Some(notice)) => {
                found.insert(number, notice);
            }
            // Counted by the tables, until people take it over.
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(bank_code, %date, number, %error, "it could not be had");
            }
        }
    }
    keep(workers, &day, &found)
        .await
        .map_err(|error| error.to_string())
}

/// The numbers beyond the complete ones that are here.
async fn had(workers: &Workers, day: &Day) -> Result<Vec<i64>, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT notice_number FROM banking.notice
          WHERE bank_code = $1 AND notice_date = $2 AND notice_number > $3",
    )
    .bind(&day.bank_code)
    .bind(day.date)
    .bind(day.complete_to)
    .fetch_all(&workers.pool)
    .await
}

/// A notice in the form in which it is kept; `None`: it is not one of this day.
fn read_notice(day: &Day, number: i64, notice: &wire::Notice) -> Option<i32> {
    let ours = notice.bank_code == day.bank_code
        && notice.notice_date == day.date
        && notice.notice_number == number
        && number > 0;
    let digits = notice.number.bytes().all(|b| b.is_ascii_digit());
    notice.number.parse().ok().filter(|_| ours && digits)
}

/// Keeps notices that are new. What is here is not written over: a number says
/// one thing for ever.
async fn keep(
    workers: &Workers,
    day: &Day,
    found: &BTreeMap<i64, wire::Notice>,
) -> Result<(), sqlx::Error> {
    let now = Utc::now();
    let mut transaction = workers.pool.begin().await?;
    let kept: Vec<(i32, &wire::Notice)> = found
        .iter()
        .filter_map(|(number, notice)| {
            let read = read_notice(day, *number, notice);
            if read.is_none() {
                tracing::error!(?notice, "a notice that cannot be read");
            }
            Some((read?, notice))
        })
        .collect();
    insert(&mut transaction, &kept, now).await?;
    sqlx::query(
        "UPDATE banking.notice_day d
            SET last_number = greatest(d.last_number, $3),
                complete_to = greatest(d.complete_to, (
                    SELECT coalesce(max(n.notice_number), d.complete_to)
                      FROM (SELECT notice_number,
                                   notice_number - row_number() OVER (ORDER BY notice_number) AS gap
                              FROM banking.notice
                             WHERE bank_code = $1 AND notice_date = $2
                               AND notice_number > d.complete_to) n
                     WHERE n.gap = d.complete_to))
          WHERE d.bank_code = $1 AND d.notice_date = $2",
    )
    .bind(&day.bank_code)
    .bind(day.date)
    .bind(day.last_number)
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await
}

async fn insert(
    connection: &mut PgConnection,
    kept: &[(i32, &wire::Notice)],
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    if kept.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO banking.notice
                (bank_code, notice_date, notice_number, business_date, transaction_number, amount,
                 reversed_at, state, case_id, received_at, changed_at)
         SELECT n.bank_code, n.notice_date, n.notice_number, n.business_date, n.number, n.amount,
                n.reversed_at, 'waits', n.case_id, $9, $9
           FROM unnest($1::text[], $2::date[], $3::bigint[], $4::date[], $5::int[], $6::bigint[],
                       $7::timestamptz[], $8::uuid[])
                AS n(bank_code, notice_date, notice_number, business_date, number, amount,
                     reversed_at, case_id)
         ON CONFLICT (bank_code, notice_date, notice_number) DO NOTHING",
    )
    .bind(
        kept.iter()
            .map(|(_, it)| &*it.bank_code)
            .collect::<Vec<_>>(),
    )
    .bind(
        kept.iter()
            .map(|(_, it)| it.notice_date)
            .collect::<Vec<_>>(),
    )
    .bind(
        kept.iter()
            .map(|(_, it)| it.notice_number)
            .collect::<Vec<_>>(),
    )
    .bind(
        kept.iter()
            .map(|(_, it)| it.business_date)
            .collect::<Vec<_>>(),
    )
    .bind(kept.iter().map(|(number, _)| *number).collect::<Vec<_>>())
    .bind(kept.iter().map(|(_, it)| it.amount).collect::<Vec<_>>())
    .bind(
        kept.iter()
            .map(|(_, it)| it.reversed_at)
            .collect::<Vec<_>>(),
    )
    .bind(
        kept.iter()
            .map(|(_, it)| case_id(&it.bank_code, it.notice_date, it.notice_number))
            .collect::<Vec<_>>(),
    )
    .bind(now)
    .execute(connection)
    .await?;
    Ok(())
}

/// The id of a notice's case.
pub(super) fn case_id(bank_code: &str, date: NaiveDate, number: i64) -> Uuid {
    derive(Uuid::nil(), &format!("notice {bank_code} {date} {number}"))
}
