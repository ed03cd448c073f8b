//! The lease, the number and the state, on all that were taken: one statement.

use std::time::Duration;

use chrono::{DateTime, NaiveDate, Utc};
use mypay_bank::classes::Bank;
use mypay_bank::command::six_digits;
use sqlx::PgConnection;

use super::{Due, Room, Taken, Task};
use crate::worker::Workers;

/// How long a lease outlives the longest wait for an answer.
const LEASE_MARGIN: Duration = Duration::from_secs(30);

/// How long a lease of a call to this bank lasts.
pub(super) fn lease(bank: Option<&Bank>) -> Duration {
    bank.map_or(LEASE_MARGIN, |bank| {
        bank.transfer_timeout.max(bank.inquiry_timeout) + LEASE_MARGIN
    })
}

/// What a command becomes by being taken.
struct Leased {
    state: &'static str,
    number: Option<(NaiveDate, u32)>,
    content_hash: Option<Vec<u8>>,
    /// For the history; none where it only waits for an answer as before.
    detail: Option<String>,
}

impl Leased {
    fn of(due: &Due, room: Room) -> Self {
        let kept = |state| Self {
            state,
            number: due.number,
            content_hash: due.content_hash.clone(),
            detail: None,
        };
        match due.taken.task {
            Task::Send(date, number) => Self {
                content_hash: Some(due.taken.command(date, number).content_hash().to_vec()),
                detail: Some(sent(due, room, date, number)),
                ..kept("sending")
            },
            Task::Inquire(..) | Task::Overdue => Self {
                // One that was being sent when its worker died may have reached the bank.
                detail: (due.state == "sending")
                    .then(|| "no answer was kept while its lease lasted".to_owned()),
                ..kept("unknown")
            },
            Task::Holder(..) | Task::Lapsed | Task::CameBack | Task::Altered => kept("pending"),
        }
    }
}

fn sent(due: &Due, room: Room, date: NaiveDate, number: u32) -> String {
    let again = if due.taken.calls > 0 { "again, " } else { "" };
    let held = room.held_until.is_some_and(|until| due.due_at < until);
    let held = if held {
        "; it waited while the bank did not answer"
    } else {
        ""
    };
    format!("{again}number {} of {date}{held}", six_digits(number))
}

/// Puts the lease, the number with its hash, and the state on all that were taken;
/// gives them as they are called.
pub(super) async fn lease_all(
    workers: &Workers,
    connection: &mut PgConnection,
    bank: Option<&Bank>,
    plan: &[Due],
    room: Room,
    now: DateTime<Utc>,
) -> Result<Vec<Taken>, sqlx::Error> {
    if plan.is_empty() {
        return Ok(Vec::new());
    }
    let leased: Vec<Leased> = plan.iter().map(|due| Leased::of(due, room)).collect();
    sqlx::query(
        "WITH taken AS (
             SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::date[], $5::int[],
                                  $6::bytea[], $7::boolean[], $8::text[])
                    AS t(id, fence, state, date, number, hash, asks, detail)
         ), changed AS (
             UPDATE banking.firmbanking f
                SET fence = t.fence, state = t.state, business_date = t.date,
                    transaction_number = t.number, content_hash = t.hash,
                    leased_until = now() + make_interval(secs => $9),
                    sent_at = CASE WHEN t.state = 'sending' THEN $11 ELSE f.sent_at END,
                    -- Should no answer be kept, it is inquired about as any other.
                    due_at = CASE WHEN t.state = 'sending'
                                  THEN $11 + make_interval(secs => $10) ELSE f.due_at END,
                    calls = f.calls + CASE WHEN t.state = 'sending' THEN 1 ELSE 0 END,
                    inquiries = f.inquiries + CASE WHEN t.asks THEN 1 ELSE 0 END,
                    changes = f.changes + CASE WHEN t.detail IS NULL THEN 0 ELSE 1 END,
                    changed_at = $11
               FROM taken t
              WHERE f.firmbanking_id = t.id
             RETURNING f.firmbanking_id, f.changes, f.state, t.detail
         )
         INSERT INTO banking.firmbanking_history (firmbanking_id, seq, changed_at, state, detail)
         SELECT firmbanking_id, changes, $11, state, detail FROM changed WHERE detail IS NOT NULL",
    )
    .bind(
        plan.iter()
            .map(|due| due.taken.firmbanking_id)
            .collect::<Vec<_>>(),
    )
    .bind(plan.iter().map(|due| due.taken.fence).collect::<Vec<_>>())
    .bind(leased.iter().map(|it| it.state).collect::<Vec<_>>())
    .bind(
        leased
            .iter()
            .map(|it| it.number.map(|(date, _)| date))
            .collect::<Vec<_>>(),
    )
    .bind(
        leased
            .iter()
            .map(|it| it.number.map(|(_, number)| number as i32))
            .collect::<Vec<_>>(),
    )
    .bind(
        leased
            .iter()
            .map(|it| it.content_hash.as_deref())
            .collect::<Vec<_>>(),
    )
    .bind(
        plan.iter()
            .map(|due| matches!(due.taken.task, Task::Inquire(..)))
            .collect::<Vec<_>>(),
    )
    .bind(
        leased
            .iter()
            .map(|it| it.detail.as_deref())
            .collect::<Vec<_>>(),
    )
    .bind(lease(bank).as_secs_f64())
    .bind(workers.inquiry.first.as_secs_f64())
    .bind(now)
    .execute(connection)
    .await?;
    Ok(plan.iter().map(|due| as_called(due, now)).collect())
}

fn as_called(due: &Due, now: DateTime<Utc>) -> Taken {
    let mut taken = due.taken.clone();
    match taken.task {
        Task::Send(..) => {
            taken.sent_at = now;
            taken.calls += 1;
        }
        Task::Inquire(..) => taken.inquiries += 1,
        _ => {}
    }
    taken
}
