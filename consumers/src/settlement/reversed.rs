//! Payouts that a bank had made, and that came back.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use mypay_decide::{Book, settlement};
use mypay_idempotency::queue_log::Outcome;
use mypay_idempotency::transaction::Event;
use mypay_ledger::WriteError;
use mypay_schemas::encoders::{Encoders, EncodersError};
use mypay_schemas::reversal::{
    FirmbankingReversal, REVERSED_BY_BANK, SETTLEMENT_REVERSAL, SettlementReversal, reversal_id,
};
use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use crate::bank_result;
use crate::bank_reversal;
use crate::runtime::handler::{Arrived, Verdict};

/// Payouts whose reversal a batch may bring, by command, and those it brought.
#[derive(Default)]
pub(super) struct Reversals {
    due: HashMap<Uuid, Payout>,
    made: Vec<(Uuid, Uuid, i64)>,
}

struct Payout {
    from_bank: String,
    kept: Kept,
}

/// What the event says: kept in `queue_log`.
#[derive(Serialize, Deserialize)]
struct Kept {
    reversed: Uuid,
    run_id: Uuid,
    franchise_id: Uuid,
    amount: i64,
}

/// Loads the payouts of commands that `banking.reversal` says came back.
pub(super) async fn load(
    connection: &mut PgConnection,
    commands: &[Uuid],
) -> Result<Reversals, sqlx::Error> {
    if commands.is_empty() {
        return Ok(Reversals::default());
    }
    let rows = sqlx::query(
        "SELECT p.firmbanking_id, p.payout_id, p.run_id, p.franchise_id, r.amount, p.from_bank
           FROM unnest($1::uuid[]) AS c(id)
           JOIN banking.reversal r ON r.firmbanking_id = c.id
           JOIN settlement.payout p ON p.firmbanking_id = c.id
          WHERE p.reversed_at IS NULL",
    )
    .bind(commands)
    .fetch_all(connection)
    .await?;
    let due = rows
        .iter()
        .map(|row| {
            let payout = Payout {
                from_bank: row.try_get(5)?,
                kept: Kept {
                    reversed: row.try_get(1)?,
                    run_id: row.try_get(2)?,
                    franchise_id: row.try_get(3)?,
                    amount: row.try_get(4)?,
                },
            };
            Ok((row.try_get(0)?, payout))
        })
        .collect::<Result<_, sqlx::Error>>()?;
    Ok(Reversals {
        due,
        made: Vec::new(),
    })
}

impl Reversals {
    /// A payout has come back: the franchise is owed it again.
    pub(super) fn decide(
        &mut self,
        book: &mut Book,
        reversal: &FirmbankingReversal,
        at: DateTime<Utc>,
    ) -> Verdict {
        let payout = bank_reversal::command_id(reversal).and_then(|id| self.due.remove(&id));
        let Some(Payout { from_bank, kept }) = payout else {
            // Posted before, or forged: no bank has given this back.
            return Verdict::Ignored;
        };
        let entry_id = reversal_id(kept.reversed);
        settlement::reversed(book, entry_id, kept.franchise_id, kept.amount, &from_bank);
        self.made
            .push((kept.reversed, kept.franchise_id, kept.amount));
        Verdict::Handled(Outcome::success(at).with_result(serde_json::json!(kept)))
    }

    /// Notes that the money is back, and who is owed it.
    pub(super) async fn write(
        &self,
        connection: &mut PgConnection,
        at: DateTime<Utc>,
    ) -> Result<(), WriteError> {
        if self.made.is_empty() {
            return Ok(());
        }
        let ids: Vec<Uuid> = self.made.iter().map(|(id, _, _)| *id).collect();
        let written = sqlx::query(
            "UPDATE settlement.payout SET reversed_at = $2
              WHERE payout_id = ANY($1) AND reversed_at IS NULL",
        )
        .bind(&ids)
        .bind(at)
        .execute(&mut *connection)
        .await?
        .rows_affected();
        if written < ids.len() as u64 {
            return Err(WriteError::Shortfall);
        }
        sqlx::query(
            "INSERT INTO settlement.owed AS o (franchise_id, amount)
             SELECT r.franchise_id, sum(r.amount)::bigint
               FROM unnest($1::uuid[], $2::bigint[]) AS r(franchise_id, amount)
              GROUP BY r.franchise_id ORDER BY r.franchise_id
             ON CONFLICT (franchise_id) DO UPDATE SET amount = o.amount + EXCLUDED.amount",
        )
        .bind(
            self.made
                .iter()
                .map(|(_, franchise_id, _)| *franchise_id)
                .collect::<Vec<_>>(),
        )
        .bind(
            self.made
                .iter()
                .map(|(_, _, amount)| *amount)
                .collect::<Vec<_>>(),
        )
        .execute(connection)
        .await?;
        Ok(())
    }
}

/// The event of a reversal that was handled.
pub(super) fn events<M>(
    encoders: &Encoders,
    arrived: &Arrived<M>,
    reversal: &FirmbankingReversal,
    outcome: &Outcome,
) -> Result<Vec<Event>, EncodersError> {
    let Some(kept) = bank_result::kept::<Kept>(outcome) else {
        return Ok(Vec::new());
    };
    let franchise_id = kept.franchise_id.to_string();
    let record = SettlementReversal {
        message_id: reversal_id(kept.reversed).to_string(),
        request_id: kept.run_id.to_string(),
        correlation_id: reversal.correlation_id.clone(),
        occurred_at: outcome.at.timestamp_millis(),
        payout_id: kept.reversed.to_string(),
        franchise_id: franchise_id.clone(),
        amount: kept.amount,
        reason: REVERSED_BY_BANK.to_string(),
        causation_id: Some(reversal.message_id.clone()),
    };
    let topic = SETTLEMENT_REVERSAL;
    Ok(vec![bank_result::event(
        encoders,
        topic,
        &franchise_id,
        arrived,
        &record,
    )?])
}
