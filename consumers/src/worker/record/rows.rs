//! What answers change: the commands' rows, with the history of each.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::Changed;
use crate::worker::outcome::{Answered, Counted, Next};

/// States that the bank's own word changes, whatever became of the lease.
const UNSETTLED: [&str; 4] = ["pending", "sending", "unknown", "manual"];

/// Keeps what answers said that changed nothing any more: their lease had run
/// out, or the command was settled without them. A bank's own word against what
/// we hold for settled is for people: gives the banks that contradict.
pub(super) async fn late(
    connection: &mut PgConnection,
    answers: &[Answered],
    changed: &[Changed],
    at: DateTime<Utc>,
) -> Result<Vec<String>, sqlx::Error> {
    let changed: HashSet<(Uuid, i64)> = changed
        .iter()
        .map(|changed| (changed.firmbanking_id, changed.fence))
        .collect();
    let late: Vec<&Answered> = answers
        .iter()
        .filter(|answered| !changed.contains(&(answered.firmbanking_id, answered.fence)))
        .collect();
    let contradicted = sqlx::query(
        "WITH late AS (
             SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[]) AS l(id, state, detail)
         ), noted AS (
             -- Of one command several may be late.
             UPDATE banking.firmbanking f SET changes = f.changes + 1
               FROM (SELECT id, string_agg('a late answer (' || state || '): ' || detail, '; ') AS note
                       FROM late GROUP BY id) l
              WHERE f.firmbanking_id = l.id
             RETURNING f.firmbanking_id, f.changes, f.state, f.from_bank, l.note
         ), history AS (
             INSERT INTO banking.firmbanking_history (firmbanking_id, seq, changed_at, state, detail)
             SELECT firmbanking_id, changes, $4, state, note FROM noted
         )
         SELECT n.firmbanking_id::text, n.state, l.state, l.detail, n.from_bank
           FROM late l JOIN noted n ON n.firmbanking_id = l.id
          WHERE l.state IN ('done', 'refused') AND n.state IN ('done', 'refused')
            AND l.state <> n.state",
    )
    .bind(
        late.iter()
            .map(|answered| answered.firmbanking_id)
            .collect::<Vec<_>>(),
    )
    .bind(
        late.iter()
            .map(|answered| answered.next.name())
            .collect::<Vec<_>>(),
    )
    .bind(
        late.iter()
            .map(|answered| answered.detail.replace('\0', ""))
            .collect::<Vec<_>>(),
    )
    .bind(at)
    .fetch_all(connection)
    .await?;
    let mut banks = Vec::new();
    for row in contradicted {
        let (id, ours): (String, String) = (row.try_get(0)?, row.try_get(1)?);
        let (theirs, detail): (String, String) = (row.try_get(2)?, row.try_get(3)?);
        tracing::error!(
            id,
            ours,
            theirs,
            detail,
            "the bank contradicts what was settled"
        );
        banks.push(row.try_get(4)?);
    }
    tracing::warn!(
        late = late.len(),
        "answers came after their lease had run out"
    );
    Ok(banks)
}

/// Writes the answers whose lease still holds, and the bank's own word in any
/// case; gives those commands. An answer ends its lease: should the same be written
/// once more, because the first commit's own answer was lost, nothing is counted twice.
pub(super) async fn change(
    connection: &mut PgConnection,
    answers: &[Answered],
    states: &[&str],
    at: DateTime<Utc>,
) -> Result<Vec<Changed>, sqlx::Error> {
    let state = |answered: &Answered| match answered.next {
        Next::Done { .. } => "done",
        Next::Refused { .. } => "refused",
        Next::Pending { .. } | Next::HolderChecked => "pending",
        Next::Unknown { .. } => "unknown",
        Next::Manual => "manual",
    };
    let due_at = |answered: &Answered| match answered.next {
        Next::Pending { due_at } | Next::Unknown { due_at } => due_at,
        _ => at,
    };
    let unmade = |what: Counted| {
        let counted = answers.iter().map(|it| i32::from(it.unmade == Some(what)));
        counted.collect::<Vec<_>>()
    };
    let unasked_on = |answered: &Answered| match answered.unmade {
        Some(Counted::Holder(asked_on)) => Some(asked_on),
        _ => None,
    };
    let rows = sqlx::query(
        "WITH answered AS (
             SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::timestamptz[], $5::bigint[],
                                  $6::text[], $7::text[], $8::boolean[], $9::text[], $12::boolean[],
                                  $14::int[], $15::int[], $16::int[], $17::int[], $18::int[],
                                  $19::date[])
                    AS a(id, fence, state, due_at, fee, reason, bank_reference, holder_checked, detail,
                         conclusive, inquiry_tries, send_tries, holder_tries, uncalled, uninquired,
                         unasked_on)
         ), changed AS (
             UPDATE banking.firmbanking f
                SET state = a.state, due_at = a.due_at, fee = a.fee, reason = a.reason,
                    bank_reference = a.bank_reference,
                    holder_checked = f.holder_checked OR a.holder_checked,
                    inquiry_tries = a.inquiry_tries, send_tries = a.send_tries,
                    holder_tries = a.holder_tries,
                    -- Only what has no word of the bank has any of these: so its lease holds.
                    calls = f.calls - a.uncalled, inquiries = f.inquiries - a.uninquired,
                    leased_until = NULL, changes = f.changes + 1, changed_at = $10
               FROM answered a
              WHERE f.firmbanking_id = a.id
                -- A case has no lease any more: people decide it under its last one.
                AND ((f.fence = a.fence AND f.state = ANY($11)
                      AND (f.leased_until IS NOT NULL OR f.state = 'manual'))
                     OR (a.conclusive AND f.transaction_number IS NOT NULL AND f.state = ANY($13)))
             RETURNING f.firmbanking_id, f.origin_id, f.correlation_id, f.purpose, f.from_bank,
                       f.amount, f.business_date,
                       f.transaction_number, f.traceparent,
                       CASE WHEN f.to_ours THEN f.to_bank END AS to_ours,
                       a.fence, a.state, a.detail, f.changes, f.to_bank, a.unasked_on
         ), unasked AS (
             UPDATE banking.holder_inquiry h SET inquiries = h.inquiries - u.questions
               FROM (SELECT to_bank, unasked_on, count(*) AS questions FROM changed
                      WHERE unasked_on IS NOT NULL GROUP BY 1, 2) u
              WHERE h.bank_code = u.to_bank AND h.asked_on = u.unasked_on
         ), history AS (
             INSERT INTO banking.firmbanking_history (firmbanking_id, seq, changed_at, state, detail)
             SELECT firmbanking_id, changes, $10, state, detail FROM changed
         )
         SELECT * FROM changed",
    )
    .bind(answers.iter().map(|answered| answered.firmbanking_id).collect::<Vec<_>>())
    .bind(answers.iter().map(|answered| answered.fence).collect::<Vec<_>>())
    .bind(answers.iter().map(state).collect::<Vec<_>>())
    .bind(answers.iter().map(due_at).collect::<Vec<_>>())
    .bind(answers.iter().map(|answered| answered.next.fee()).collect::<Vec<_>>())
    .bind(
        answers
            .iter()
            .map(|answered| match &answered.next {
                Next::Refused { reason, .. } => Some(reason.as_str()),
                _ => None,
            })
            .collect::<Vec<_>>(),
    )
    .bind(
        answers
            .iter()
            .map(|answered| match &answered.next {
                Next::Done { bank_reference, .. } => Some(bank_reference.as_str()),
                _ => None,
            })
            .collect::<Vec<_>>(),
    )
    .bind(answers.iter().map(|answered| answered.next == Next::HolderChecked).collect::<Vec<_>>())
    .bind(answers.iter().map(|answered| answered.detail.replace('\0', "")).collect::<Vec<_>>())
    .bind(at)
    .bind(states)
    .bind(answers.iter().map(|answered| answered.conclusive).collect::<Vec<_>>())
    .bind(UNSETTLED)
    .bind(answers.iter().map(|answered| answered.tries.inquiries as i32).collect::<Vec<_>>())
    .bind(answers.iter().map(|answered| answered.tries.sends as i32).collect::<Vec<_>>())
    .bind(answers.iter().map(|answered| answered.tries.holders as i32).collect::<Vec<_>>())
    .bind(unmade(Counted::Call))
    .bind(unmade(Counted::Inquiry))
    .bind(answers.iter().map(unasked_on).collect::<Vec<_>>())
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(Changed {
                firmbanking_id: row.try_get(0)?,
                origin_id: row.try_get(1)?,
                correlation_id: row.try_get(2)?,
                purpose: row.try_get(3)?,
                from_bank: row.try_get(4)?,
                amount: row.try_get(5)?,
                business_date: row.try_get(6)?,
                number: row.try_get(7)?,
                traceparent: row.try_get(8)?,
                to_ours: row.try_get(9)?,
                fence: row.try_get(10)?,
            })
        })
        .collect()
}
