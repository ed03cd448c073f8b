//! What banks have undone: their notices, and what each makes of a command.
//!
//! A bank numbers its notices by day, without gaps. What is missing up to the
//! last number got lost and is asked for by its number; until it is here, the
//! day is not complete, and is asked about again. Each notice is kept as the bank
//! wrote it, and then judged against our command of that number: once, whatever
//! order they come in and however often.

mod fetch;
mod given_up;
mod kept;
mod undos;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use chrono::{DateTime, TimeDelta, Utc};
use mypay_bank::rest_window::korean_date;
use mypay_decide::limits::korean_day;
use mypay_decide::notice::{Judged, judge};
use mypay_decide::{Book, Limits, firmbanking};
use mypay_idempotency::horizon;
use mypay_schemas::reversal::{FIRMBANKING_REVERSAL, FirmbankingReversal, reversal_id};
use sqlx::PgConnection;
use tokio::sync::watch;

use super::Workers;
use super::record::{self, RecordError, Recorder};
use kept::{Command, Notice, waiting};

/// How many days back notices are asked for: a bank's right to reverse is long. What is
/// missing then is for people.
const DAYS: i64 = 14;
/// How many of those are asked for each time; the others every ten minutes.
const RECENT: i64 = 2;

/// Works on a bank's notices until `stop` turns true.
pub(super) async fn run(workers: Arc<Workers>, bank_code: String, mut stop: watch::Receiver<bool>) {
    if workers.bank.table().bank(&bank_code).is_none() {
        // A bank that is in no table is never called.
        return;
    }
    let recorder = Recorder::new(&workers);
    let mut old_days_at = Instant::now();
    while !*stop.borrow() {
        let today = korean_date(Utc::now());
        let old_days = old_days_at <= Instant::now();
        if old_days {
            old_days_at += fetch::OLD;
            given_up::tell(&workers, &bank_code, today - TimeDelta::days(DAYS)).await;
        }
        for back in 0..if old_days { DAYS } else { RECENT } {
            let date = today - TimeDelta::days(back);
            fetch::day(&workers, &bank_code, date, back).await;
        }
        match apply(&workers, &recorder, &bank_code).await {
            Ok(true) => recorder.ring(),
            Ok(false) => {}
            Err(error) if error.is_transient() => {
                tracing::warn!(bank_code, %error, "notices are not applied yet");
            }
            Err(error) => tracing::error!(bank_code, %error, "notices that cannot be applied"),
        }
        // Either ends the wait; the loop looks which it was.
        let _ = tokio::time::timeout(workers.notices, stop.wait_for(|stop| *stop)).await;
    }
}

/// What a reversed command's postings and event need.
struct Reversed {
    notice: Notice,
    command: Command,
}

/// Judges the notices that wait; tells whether anything was undone.
async fn apply(
    workers: &Workers,
    recorder: &Recorder,
    bank_code: &str,
) -> Result<bool, RecordError> {
    let at = record::now();
    let mut transaction = recorder.pool.begin().await?;
    let mut waiting = waiting(&mut transaction, bank_code).await?;
    if waiting.is_empty() {
        return Ok(false);
    }
    undos::look(&mut transaction, &mut waiting).await?;
    let oldest = horizon::hold(&mut transaction).await?;
    let mut reversed = Vec::new();
    let mut judged = Vec::with_capacity(waiting.len());
    let mut seen = HashSet::new();
    for (notice, command) in waiting {
        let again = command
            .as_ref()
            .is_some_and(|command| seen.contains(&command.firmbanking_id));
        let judged_command = command.as_ref().map(Command::for_judging);
        let verdict = judge(
            &notice.for_judging(),
            judged_command.as_ref(),
            again,
            oldest,
        );
        if let (Judged::Reversed, Some(command)) = (&verdict, command) {
            seen.insert(command.firmbanking_id);
            reversed.push(Reversed {
                notice: notice.clone(),
                command,
            });
        }
        judged.push((notice, verdict));
    }
    note(&mut transaction, &judged, at).await?;
    insert(&mut transaction, &reversed, at).await?;
    let mut book = Book::new(korean_day(at), []);
    reversed.iter().for_each(|it| post(&mut book, it));
    mypay_ledger::write(&mut transaction, &book, at, &Limits::default()).await?;
    let events = reversed.iter().map(|it| event(it, at)).collect();
    recorder
        .tell(&mut transaction, FIRMBANKING_REVERSAL, events, at)
        .await?;
    transaction.commit().await?;
    for (notice, verdict) in &judged {
        workers.metrics.noticed(bank_code, verdict.state());
        if let Judged::Case(why) = verdict {
            let (date, number) = (notice.notice_date, notice.notice_number);
            tracing::error!(bank_code, %date, number, why, "a notice that people must look at");
        }
    }
    Ok(!reversed.is_empty())
}

/// Writes what was made of each notice.
async fn note(
    connection: &mut PgConnection,
    judged: &[(Notice, Judged)],
    at: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE banking.notice n
            SET state = j.state, detail = j.detail, changed_at = $6
           FROM unnest($1::text[], $2::date[], $3::bigint[], $4::text[], $5::text[])
                AS j(bank_code, notice_date, notice_number, state, detail)
          WHERE n.bank_code = j.bank_code AND n.notice_date = j.notice_date
            AND n.notice_number = j.notice_number",
    )
    .bind(
        judged
            .iter()
            .map(|(it, _)| &*it.bank_code)
            .collect::<Vec<_>>(),
    )
    .bind(
        judged
            .iter()
            .map(|(it, _)| it.notice_date)
            .collect::<Vec<_>>(),
    )
    .bind(
        judged
            .iter()
            .map(|(it, _)| it.notice_number)
            .collect::<Vec<_>>(),
    )
    .bind(
        judged
            .iter()
            .map(|(_, verdict)| verdict.state())
            .collect::<Vec<_>>(),
    )
    .bind(
        judged
            .iter()
            .map(|(_, verdict)| verdict.detail())
            .collect::<Vec<_>>(),
    )
    .bind(at)
    .execute(connection)
    .await?;
    Ok(())
}

/// Writes that commands came back. A second time fails, and nothing is written.
async fn insert(
    connection: &mut PgConnection,
    reversed: &[Reversed],
    at: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    if reversed.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "WITH came_back AS (
             INSERT INTO banking.reversal
                    (firmbanking_id, bank_code, notice_date, notice_number, amount, reversed_at,
                     recorded_at)
             SELECT r.*, $7
               FROM unnest($1::uuid[], $2::text[], $3::date[], $4::bigint[], $5::bigint[],
                           $6::timestamptz[])
                    AS r(id, bank_code, notice_date, notice_number, amount, reversed_at)
             RETURNING firmbanking_id, notice_date, notice_number
         ), changed AS (
             UPDATE banking.firmbanking f SET changes = f.changes + 1
               FROM came_back c
              WHERE f.firmbanking_id = c.firmbanking_id
             RETURNING f.firmbanking_id, f.changes, c.notice_date, c.notice_number
         )
         INSERT INTO banking.firmbanking_history (firmbanking_id, seq, changed_at, state, detail)
         SELECT firmbanking_id, changes, $7, 'done',
                'came back, by notice ' || notice_number || ' of ' || notice_date
           FROM changed",
    )
    .bind(
        reversed
            .iter()
            .map(|it| it.command.firmbanking_id)
            .collect::<Vec<_>>(),
    )
    .bind(
        reversed
            .iter()
            .map(|it| &*it.notice.bank_code)
            .collect::<Vec<_>>(),
    )
    .bind(
        reversed
            .iter()
            .map(|it| it.notice.notice_date)
            .collect::<Vec<_>>(),
    )
    .bind(
        reversed
            .iter()
            .map(|it| it.notice.notice_number)
            .collect::<Vec<_>>(),
    )
    .bind(
        reversed
            .iter()
            .map(|it| it.notice.amount)
            .collect::<Vec<_>>(),
    )
    .bind(
        reversed
            .iter()
            .map(|it| it.notice.reversed_at)
            .collect::<Vec<_>>(),
    )
    .bind(at)
    .execute(connection)
    .await?;
    Ok(())
}

/// Posts what came back where no flow posts it: a direct command of staff.
fn post(book: &mut Book, Reversed { notice, command }: &Reversed) {
    let undone = firmbanking::Answered {
        firmbanking_id: command.firmbanking_id,
        purpose: &command.purpose,
        from_bank: &notice.bank_code,
        to_ours: command.to_ours.as_deref(),
        amount: notice.amount,
    };
    undone.reversed(book);
}

fn event(
    Reversed { notice, command }: &Reversed,
    at: DateTime<Utc>,
) -> (String, Option<String>, FirmbankingReversal) {
    let request_id = command.firmbanking_id.to_string();
    let record = FirmbankingReversal {
        message_id: reversal_id(command.firmbanking_id).to_string(),
        request_id: request_id.clone(),
        correlation_id: command.correlation_id.clone(),
        occurred_at: at.timestamp_millis(),
        purpose: command.purpose.clone(),
        origin_id: command.origin_id.map(|id| id.to_string()),
        amount: notice.amount,
        bank_code: notice.bank_code.clone(),
        business_date: notice.business_date.to_string(),
        transaction_number: i64::from(notice.number),
        notice_date: notice.notice_date.to_string(),
        notice_number: notice.notice_number,
        reversed_at: notice.reversed_at.timestamp_millis(),
        causation_id: None,
    };
    (request_id, command.traceparent.clone(), record)
}
