//! Transaction numbers: one a command, for ever.

use chrono::{DateTime, NaiveDate, Utc};
use mypay_bank::command::MAX_NUMBER;
use mypay_decide::limits::{korean_day, korean_day_end};
use sqlx::{PgConnection, Row};

use super::{Due, Task, put_off};

/// From here on, nine tenths, the day's numbers run short.
const NUMBERS_ALARM: i64 = MAX_NUMBER as i64 * 9 / 10;

/// Gives numbers to those that are to be sent and have none, and the hash of what is
/// sent under them: a command that says something else later is never sent again.
pub(super) async fn number(
    connection: &mut PgConnection,
    bank_code: &str,
    mut due: Vec<Due>,
    now: DateTime<Utc>,
) -> Result<Vec<Due>, sqlx::Error> {
    let wanted = due.iter().filter(|due| needs_number(due)).count() as i64;
    if wanted == 0 {
        return Ok(due);
    }
    let date = korean_day(now);
    let last = match all(connection, bank_code, date, wanted).await? {
        Some(last) => {
            warn(bank_code, date, last, wanted, wanted);
            last
        }
        None => {
            let last;
            (due, last) = as_many_as_are_left(connection, bank_code, date, due, now).await?;
            last
        }
    };
    let mut next = last as u32;
    for due in due.iter_mut().filter(|due| needs_number(due)) {
        next += 1;
        due.number = Some((date, next));
        due.taken.task = Task::Send(date, next);
    }
    Ok(due)
}

fn needs_number(due: &Due) -> bool {
    due.number.is_none() && matches!(due.taken.task, Task::Send(..))
}

fn warn(bank_code: &str, date: NaiveDate, last: i64, granted: i64, wanted: i64) {
    let used = last + granted;
    if granted < wanted {
        tracing::error!(bank_code, %date, used, at_most = MAX_NUMBER, waiting = wanted - granted,
            "this bank's transaction numbers of the day run short: commands wait for tomorrow's");
    } else if last < NUMBERS_ALARM && used >= NUMBERS_ALARM {
        tracing::warn!(bank_code, %date, used, at_most = MAX_NUMBER,
            "nine tenths of this bank's transaction numbers of the day are used");
    }
}

/// The numbers that are wanted, where there are so many of a day that has begun: one trip
/// to the server, since every take makes it. Gives the last number before them.
async fn all(
    connection: &mut PgConnection,
    bank_code: &str,
    date: NaiveDate,
    wanted: i64,
) -> Result<Option<i64>, sqlx::Error> {
    let last = sqlx::query_scalar::<_, i32>(
        "UPDATE banking.transaction_number SET last_number = last_number + $3
          WHERE bank_code = $1 AND business_date = $2 AND last_number + $3 <= $4
         RETURNING last_number",
    )
    .bind(bank_code)
    .bind(date)
    .bind(wanted as i32)
    .bind(MAX_NUMBER as i32)
    .fetch_optional(connection)
    .await?;
    Ok(last.map(|last| i64::from(last) - wanted))
}

/// What the day's numbers suffice for, where it has just begun or they run out; the rest
/// waits for the next business day's. Gives the last number before them, too.
async fn as_many_as_are_left(
    connection: &mut PgConnection,
    bank_code: &str,
    date: NaiveDate,
    due: Vec<Due>,
    now: DateTime<Utc>,
) -> Result<(Vec<Due>, i64), sqlx::Error> {
    let wanted = due.iter().filter(|due| needs_number(due)).count() as i64;
    let last = last_number(connection, bank_code, date).await?;
    let granted = wanted.min(i64::from(MAX_NUMBER) - last);
    warn(bank_code, date, last, granted, wanted);
    let mut given = 0;
    let (with, without): (Vec<_>, Vec<_>) = due.into_iter().partition(|due| {
        given += i64::from(needs_number(due));
        !needs_number(due) || given <= granted
    });
    let why = format!("the numbers of {date} are used up");
    put_off(connection, &without, korean_day_end(date), &why, now).await?;
    sqlx::query(
        "UPDATE banking.transaction_number SET last_number = $3
          WHERE bank_code = $1 AND business_date = $2",
    )
    .bind(bank_code)
    .bind(date)
    .bind((last + granted) as i32)
    .execute(connection)
    .await?;
    Ok((with, last))
}

/// The day's last number, with its row locked.
async fn last_number(
    connection: &mut PgConnection,
    bank_code: &str,
    date: NaiveDate,
) -> Result<i64, sqlx::Error> {
    sqlx::query(
        "INSERT INTO banking.transaction_number (bank_code, business_date, last_number)
         VALUES ($1, $2, 0) ON CONFLICT DO NOTHING",
    )
    .bind(bank_code)
    .bind(date)
    .execute(&mut *connection)
    .await?;
    let row = sqlx::query(
        "SELECT last_number FROM banking.transaction_number
          WHERE bank_code = $1 AND business_date = $2 FOR UPDATE",
    )
    .bind(bank_code)
    .bind(date)
    .fetch_one(connection)
    .await?;
    Ok(i64::from(row.try_get::<i32, _>(0)?))
}
