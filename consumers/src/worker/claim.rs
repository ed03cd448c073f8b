//! Taking commands: the commit before the call.

use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};
use mypay_bank::command::MAX_NUMBER;
use mypay_decide::limits::korean_day;
use sqlx::{PgConnection, PgPool, Row};
use uuid::Uuid;

use super::Workers;

/// How long a lease outlives the longest wait for an answer.
const LEASE_MARGIN: std::time::Duration = std::time::Duration::from_secs(30);
/// From here on the day's numbers run short.
const NUMBERS_ALARM: i64 = MAX_NUMBER as i64 * 9 / 10;

/// A command that was taken, with what is to be done about it.
#[derive(Debug, Clone)]
pub(super) struct Taken {
    pub(super) firmbanking_id: Uuid,
    /// The lease that this was taken under.
    pub(super) fence: i64,
    pub(super) from: (String, String),
    pub(super) to: (String, String),
    pub(super) amount: i64,
    pub(super) task: Task,
    /// When the first byte may have left; now where it is about to.
    pub(super) sent_at: DateTime<Utc>,
    pub(super) inquiries: i32,
    pub(super) calls: i32,
}

impl Taken {
    /// Whether the bank is asked something.
    fn asks(&self) -> bool {
        matches!(self.task, Task::Holder(_) | Task::Inquire(..))
    }

    /// Whether it is only asked about.
    pub(super) fn is_inquiry(&self) -> bool {
        matches!(self.task, Task::Inquire(..))
    }
}

/// How many calls may be made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    /// Commands, and questions whose account it is.
    pub(super) sends: usize,
    /// Inquiries about commands that went out before.
    pub(super) inquiries: usize,
    /// Of both.
    pub(super) together: usize,
}

/// What is to be done about a command.
#[derive(Debug, Clone)]
pub(super) enum Task {
    /// Ask whose account it is.
    Holder(String),
    /// Send it, under its number.
    Send(NaiveDate, u32),
    /// Ask what became of it, by its number.
    Inquire(NaiveDate, u32),
    /// Nothing: the contract is no longer in force, and not a byte has left.
    Lapsed,
}

/// The banks that have commands waiting.
pub(super) async fn banks(pool: &PgPool) -> Result<Vec<String>, sqlx::Error> {
    let rows = sqlx::query("SELECT bank_code FROM banking.contract ORDER BY bank_code")
        .fetch_all(pool)
        .await?;
    rows.iter().map(|row| row.try_get(0)).collect()
}

/// Takes commands of a bank that are due, and commits what must be known before
/// a byte goes out.
pub(super) async fn take(
    workers: &Workers,
    bank_code: &str,
    room: Room,
) -> Result<Vec<Taken>, sqlx::Error> {
    let now = Utc::now();
    let mut transaction = workers.pool.begin().await?;
    // Inquiries first: they are few, and somebody has waited longer for them.
    let mut due = due(&mut transaction, bank_code, false, room.inquiries, now).await?;
    let sends = room.sends.min(room.together.saturating_sub(due.len()));
    due.extend(self::due(&mut transaction, bank_code, true, sends, now).await?);
    if due.is_empty() {
        return Ok(Vec::new());
    }
    let awake_at = workers
        .bank
        .table()
        .bank(bank_code)
        .filter(|bank| bank.rest_window.contains(now))
        .map(|bank| bank.rest_window.awake_at(now));
    let plan = match awake_at {
        // A command that meets the bank's rest waits, and is no failure.
        Some(awake_at) => {
            put_off(&mut transaction, &due, awake_at).await?;
            Vec::new()
        }
        None => number(workers, &mut transaction, bank_code, due, now).await?,
    };
    let lease = workers
        .bank
        .table()
        .bank(bank_code)
        .map_or(LEASE_MARGIN, |bank| {
            bank.transfer_timeout.max(bank.inquiry_timeout) + LEASE_MARGIN
        });
    let taken = lease_all(&mut transaction, &plan, lease, now).await?;
    transaction.commit().await?;
    Ok(taken)
}

struct Due {
    taken: Taken,
    number: Option<(NaiveDate, u32)>,
}

async fn due(
    connection: &mut PgConnection,
    bank_code: &str,
    pending: bool,
    at_most: usize,
    now: DateTime<Utc>,
) -> Result<Vec<Due>, sqlx::Error> {
    if at_most == 0 {
        return Ok(Vec::new());
    }
    let rows = sqlx::query(
        "SELECT firmbanking_id, fence, from_bank, from_account, to_bank, to_account, amount,
                CASE WHEN holder_checked THEN NULL ELSE to_holder_name END,
                state, business_date, transaction_number, coalesce(sent_at, now()), inquiries, calls,
                EXISTS (SELECT FROM banking.contract c
                         WHERE c.bank_code = $1 AND c.status = 'ACTIVE' AND c.expires_on >= $4)
           FROM banking.firmbanking
          WHERE from_bank = $1 AND due_at <= now()
            AND state IN ('pending', 'sending', 'unknown') AND (state = 'pending') = $3
            AND (leased_until IS NULL OR leased_until < now())
          ORDER BY due_at
          LIMIT $2
            FOR UPDATE SKIP LOCKED",
    )
    .bind(bank_code)
    .bind(at_most as i64)
    .bind(pending)
    .bind(korean_day(now))
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            let state: String = row.try_get(8)?;
            let date: Option<NaiveDate> = row.try_get(9)?;
            let number: Option<i32> = row.try_get(10)?;
            let number = date.zip(number.map(|number| number as u32));
            let holder: Option<String> = row.try_get(7)?;
            let in_force: bool = row.try_get(14)?;
            // Numbered later, where it is to be sent and has no number yet.
            let task = match (holder, number) {
                // What has a number was ordered while the contract was in force.
                (_, None) if !in_force => Task::Lapsed,
                (Some(holder), _) if state == "pending" => Task::Holder(holder),
                (_, Some((date, number))) if state == "pending" => Task::Send(date, number),
                (_, Some((date, number))) => Task::Inquire(date, number),
                (_, None) => Task::Send(NaiveDate::MIN, 0),
            };
            let taken = Taken {
                firmbanking_id: row.try_get(0)?,
                fence: row.try_get::<i64, _>(1)? + 1,
                from: (row.try_get(2)?, row.try_get(3)?),
                to: (row.try_get(4)?, row.try_get(5)?),
                amount: row.try_get(6)?,
                task,
                sent_at: row.try_get(11)?,
                inquiries: row.try_get(12)?,
                calls: row.try_get(13)?,
            };
            Ok(Due { taken, number })
        })
        .collect()
}

async fn put_off(
    connection: &mut PgConnection,
    due: &[Due],
    until: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE banking.firmbanking SET due_at = $2 WHERE firmbanking_id = ANY($1)")
        .bind(
            due.iter()
                .map(|due| due.taken.firmbanking_id)
                .collect::<Vec<_>>(),
        )
        .bind(until)
        .execute(connection)
        .await?;
    Ok(())
}

/// Gives numbers to those that are to be sent and have none.
async fn number(
    workers: &Workers,
    connection: &mut PgConnection,
    bank_code: &str,
    mut due: Vec<Due>,
    now: DateTime<Utc>,
) -> Result<Vec<Due>, sqlx::Error> {
    let needs = |due: &Due| due.number.is_none() && matches!(due.taken.task, Task::Send(..));
    let wanted = due.iter().filter(|due| needs(due)).count() as i64;
    if wanted == 0 {
        return Ok(due);
    }
    let date = korean_day(now);
    let last = last_number(connection, bank_code, date).await?;
    let granted = wanted.min(i64::from(MAX_NUMBER) - last);
    workers.metrics.numbered(bank_code, last + granted);
    let crossed = last < NUMBERS_ALARM && last + granted >= NUMBERS_ALARM;
    if crossed || granted < wanted {
        tracing::error!(bank_code, %date, used = last + granted, at_most = MAX_NUMBER,
            "this bank's transaction numbers of the day run short");
    }
    if granted < wanted {
        // The rest waits for the next business day's numbers.
        let (with, without): (Vec<_>, Vec<_>) = {
            let mut given = 0;
            due.into_iter().partition(|due| {
                if !needs(due) {
                    return true;
                }
                given += 1;
                given <= granted
            })
        };
        put_off(connection, &without, next_day(date)).await?;
        due = with;
    }
    sqlx::query(
        "UPDATE banking.transaction_number SET last_number = $3
          WHERE bank_code = $1 AND business_date = $2",
    )
    .bind(bank_code)
    .bind(date)
    .bind((last + granted) as i32)
    .execute(connection)
    .await?;
    let mut next = last as u32;
    for due in due.iter_mut().filter(|due| needs(due)) {
        next += 1;
        due.number = Some((date, next));
        due.taken.task = Task::Send(date, next);
    }
    Ok(due)
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

fn next_day(date: NaiveDate) -> DateTime<Utc> {
    // Korea has no summer time: midnight is 15:00 UTC of the day before.
    let midnight = date
        .succ_opt()
        .unwrap_or(date)
        .and_time(NaiveTime::MIN)
        .and_utc();
    midnight - TimeDelta::hours(9)
}

/// Puts the lease, the number and the state on all that were taken.
async fn lease_all(
    connection: &mut PgConnection,
    plan: &[Due],
    lease: std::time::Duration,
    now: DateTime<Utc>,
) -> Result<Vec<Taken>, sqlx::Error> {
    if plan.is_empty() {
        return Ok(Vec::new());
    }
    let state = |due: &Due| match due.taken.task {
        Task::Holder(_) | Task::Lapsed => "pending",
        Task::Send(..) => "sending",
        // One that was being sent when its worker died may have reached the bank.
        Task::Inquire(..) => "unknown",
    };
    sqlx::query(
        "WITH taken AS (
             SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::date[], $5::int[],
                                  $8::boolean[])
                    AS t(id, fence, state, date, number, asks)
         ), history AS (
             INSERT INTO banking.firmbanking_history (firmbanking_id, changed_at, state, detail)
             SELECT t.id, $7, t.state, 'number ' || t.number
               FROM taken t WHERE t.state = 'sending'
         )
         UPDATE banking.firmbanking f
            SET fence = t.fence, state = t.state, business_date = t.date,
                transaction_number = t.number,
                leased_until = now() + make_interval(secs => $6),
                sent_at = CASE WHEN t.state = 'sending' THEN $7 ELSE f.sent_at END,
                calls = f.calls + CASE WHEN t.state = 'sending' THEN 1 ELSE 0 END,
                -- Inquiries of either kind: about a command, or about a holder.
                inquiries = f.inquiries + CASE WHEN t.asks THEN 1 ELSE 0 END,
                changed_at = $7
           FROM taken t
          WHERE f.firmbanking_id = t.id",
    )
    .bind(
        plan.iter()
            .map(|due| due.taken.firmbanking_id)
            .collect::<Vec<_>>(),
    )
    .bind(plan.iter().map(|due| due.taken.fence).collect::<Vec<_>>())
    .bind(plan.iter().map(state).collect::<Vec<_>>())
    .bind(
        plan.iter()
            .map(|due| due.number.map(|(date, _)| date))
            .collect::<Vec<_>>(),
    )
    .bind(
        plan.iter()
            .map(|due| due.number.map(|(_, number)| number as i32))
            .collect::<Vec<_>>(),
    )
    .bind(lease.as_secs_f64())
    .bind(now)
    .bind(plan.iter().map(|due| due.taken.asks()).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(plan
        .iter()
        .map(|due| {
            let mut taken = due.taken.clone();
            if matches!(taken.task, Task::Send(..)) {
                taken.sent_at = now;
                taken.calls += 1;
            }
            if taken.asks() {
                taken.inquiries += 1;
            }
            taken
        })
        .collect())
}
