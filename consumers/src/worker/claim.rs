//! Taking commands: the commit before the call.

pub(super) mod holders;
mod lease;
mod numbers;

use chrono::{DateTime, NaiveDate, Utc};
use mypay_bank::classes::Bank;
use mypay_bank::{BankAccount, TransferCommand};
use mypay_decide::bank_answer::Tries;
use mypay_decide::limits::korean_day;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, PgPool, Row};
use uuid::Uuid;

use super::Workers;

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
    /// Inquiries about it, the one of this task counted in.
    pub(super) inquiries: i32,
    /// Calls to do it, the one of this task counted in.
    pub(super) calls: i32,
    /// What was tried in vain before this.
    pub(super) tries: Tries,
}

impl Taken {
    /// Whether it has its place among the inquiries.
    pub(super) fn is_inquiry(&self) -> bool {
        matches!(self.task, Task::Inquire(..) | Task::Overdue)
    }

    /// What is sent under a number.
    pub(super) fn command(&self, business_date: NaiveDate, number: u32) -> TransferCommand {
        let account = |(bank_code, account_number): &(String, String)| BankAccount {
            bank_code: bank_code.clone(),
            account_number: account_number.clone(),
        };
        TransferCommand {
            bank_code: self.from.0.clone(),
            business_date,
            number,
            from: account(&self.from),
            to: account(&self.to),
            amount: self.amount,
        }
    }
}

/// How many calls may be made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    /// Commands.
    pub(super) sends: usize,
    /// Inquiries about commands that went out before.
    pub(super) inquiries: usize,
    /// Of both.
    pub(super) together: usize,
    /// What was due before this instant has waited for the bank to answer again.
    pub(super) held_until: Option<DateTime<Utc>>,
}

/// What is to be done about a command.
#[derive(Debug, Clone)]
pub(super) enum Task {
    /// Ask whether the account is of the one named; and the day for which the question
    /// was counted, if it was.
    Holder(String, Option<NaiveDate>),
    /// Send it, under its number.
    Send(NaiveDate, u32),
    /// Ask what became of it, by its number.
    Inquire(NaiveDate, u32),
    /// Nothing: it is to undo a payout that its bank has undone, and not a byte has left.
    CameBack,
    /// Nothing: the contract is no longer in force, and not a byte has left.
    Lapsed,
    /// Nothing: no inquiry fits in any more before the right to it lapses.
    Overdue,
    /// Nothing: it is not what was written down with its number.
    Altered,
}

/// A command that is due, and what is kept of its number.
struct Due {
    taken: Taken,
    state: String,
    due_at: DateTime<Utc>,
    number: Option<(NaiveDate, u32)>,
    /// Of all that it says, written down with its number.
    content_hash: Option<Vec<u8>>,
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
    let bank = workers.bank.table().bank(bank_code);
    let mut transaction = workers.pool.begin().await?;
    // Inquiries first: they are few, and somebody has waited longer for them.
    let mut due = due(&mut transaction, bank_code, false, room.inquiries, now).await?;
    let sends = room.sends.min(room.together.saturating_sub(due.len()));
    due.extend(self::due(&mut transaction, bank_code, true, sends, now).await?);
    if due.is_empty() {
        return Ok(Vec::new());
    }
    let rests_until = bank.and_then(|bank| rests_until(bank, now));
    if let Some(bank) = bank {
        due.iter_mut()
            .filter(|due| is_overdue(due, bank, rests_until, now))
            .for_each(|due| due.taken.task = Task::Overdue);
    }
    let plan = match rests_until {
        // A command that meets the bank's rest waits, and is no failure.
        Some(awake_at) => {
            let (overdue, waits): (Vec<_>, Vec<_>) = due
                .into_iter()
                .partition(|due| matches!(due.taken.task, Task::Overdue));
            let why = format!("the bank rests until {awake_at}");
            put_off(&mut transaction, &waits, awake_at, &why, now).await?;
            overdue
        }
        None => numbers::number(&mut transaction, bank_code, due, now).await?,
    };
    let taken = lease::lease_all(workers, &mut transaction, bank, &plan, room, now).await?;
    transaction.commit().await?;
    Ok(taken)
}

/// Until when a bank rests, where it does now.
fn rests_until(bank: &Bank, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let window = bank.rest_window;
    window.contains(now).then(|| window.awake_at(now))
}

/// Whether people must decide without another inquiry: the bank had its chance, or
/// rests for longer than the right to inquire lasts, or that has lapsed meanwhile.
fn is_overdue(
    due: &Due,
    bank: &Bank,
    rests_until: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> bool {
    let case_by = bank.case_by(due.taken.sent_at);
    let asked = due.taken.tries.inquiries > 0;
    matches!(due.taken.task, Task::Inquire(..))
        && (asked && now >= case_by
            || rests_until.is_some_and(|awake_at| awake_at >= case_by)
            || now >= bank.lapses_at(due.taken.sent_at))
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
                coalesce(sent_at, now()), inquiries, calls, inquiry_tries, send_tries, holder_tries,
                EXISTS (SELECT FROM banking.contract c
                         WHERE c.bank_code = $1 AND c.status = 'ACTIVE' AND c.expires_on >= $4),
                state, business_date, transaction_number, due_at, content_hash,
                -- An undo, of which the bank has told meanwhile that the payout came back.
                purpose = 'undo' AND EXISTS (
                    SELECT FROM banking.firmbanking p
                      JOIN banking.notice n ON n.bank_code = p.from_bank
                       AND n.business_date = p.business_date
                       AND n.transaction_number = p.transaction_number
                     WHERE p.firmbanking_id = firmbanking.origin_id
                       AND n.state IN ('waits', 'case'))
           FROM banking.firmbanking
          WHERE from_bank = $1 AND due_at <= now() AND holder_checked
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
    rows.iter().map(of_row).collect()
}

fn of_row(row: &PgRow) -> Result<Due, sqlx::Error> {
    let mut taken = taken(row)?;
    let in_force: bool = row.try_get(13)?;
    let state: String = row.try_get(14)?;
    let date: Option<NaiveDate> = row.try_get(15)?;
    let number: Option<i32> = row.try_get(16)?;
    let number = date.zip(number.map(|number| number as u32));
    let content_hash: Option<Vec<u8>> = row.try_get(18)?;
    taken.fence += 1;
    taken.task = match number {
        // What has a number was ordered while the contract was in force.
        None if !in_force => Task::Lapsed,
        // Not a byte has left, whether it has its number or not (each call that did not go
        // out was taken back): the receiver would pay a second time.
        _ if state == "pending" && taken.calls == 0 && row.try_get(19)? => Task::CameBack,
        // Numbered later.
        None => Task::Send(NaiveDate::MIN, 0),
        Some((date, number)) if state != "pending" => Task::Inquire(date, number),
        Some((date, number)) => {
            let hash = taken.command(date, number).content_hash();
            match &content_hash {
                Some(kept) if **kept != hash => Task::Altered,
                // Numbered before hashes were kept.
                _ => Task::Send(date, number),
            }
        }
    };
    Ok(Due {
        taken,
        state,
        due_at: row.try_get(17)?,
        number,
        content_hash,
    })
}

/// The first columns of a command that is due; what is to be done about it is for the
/// caller to say.
fn taken(row: &PgRow) -> Result<Taken, sqlx::Error> {
    let tries = |column: usize| -> Result<u32, sqlx::Error> {
        Ok(row.try_get::<i32, _>(column)?.unsigned_abs())
    };
    Ok(Taken {
        firmbanking_id: row.try_get(0)?,
        fence: row.try_get(1)?,
        from: (row.try_get(2)?, row.try_get(3)?),
        to: (row.try_get(4)?, row.try_get(5)?),
        amount: row.try_get(6)?,
        task: Task::Lapsed,
        sent_at: row.try_get(7)?,
        inquiries: row.try_get(8)?,
        calls: row.try_get(9)?,
        tries: Tries {
            inquiries: tries(10)?,
            sends: tries(11)?,
            holders: tries(12)?,
        },
    })
}

/// Commands that wait until an instant, and why; each keeps its state and its number.
async fn put_off(
    connection: &mut PgConnection,
    due: &[Due],
    until: DateTime<Utc>,
    why: &str,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    if due.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "WITH changed AS (
             UPDATE banking.firmbanking SET due_at = $2, changes = changes + 1
              -- Once: by the database's clock it may still be due.
              WHERE firmbanking_id = ANY($1) AND due_at < $2
             RETURNING firmbanking_id, changes, state
         )
         INSERT INTO banking.firmbanking_history (firmbanking_id, seq, changed_at, state, detail)
         SELECT firmbanking_id, changes, $3, state, $4 FROM changed",
    )
    .bind(
        due.iter()
            .map(|due| due.taken.firmbanking_id)
            .collect::<Vec<_>>(),
    )
    .bind(until)
    .bind(now)
    .bind(why)
    .execute(connection)
    .await?;
    Ok(())
}
