//! Remittances that a bank had paid out, and that came back.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use mypay_decide::{Book, remittance};
use mypay_idempotency::queue_log::Outcome;
use mypay_idempotency::transaction::Event;
use mypay_ledger::WriteError;
use mypay_schemas::encoders::{Encoders, EncodersError};
use mypay_schemas::reversal::{
    FirmbankingReversal, REMITTANCE_REVERSAL, REVERSED_BY_BANK, RemittanceReversal, reversal_id,
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
    made: Vec<Uuid>,
}

struct Payout {
    from_bank: String,
    kept: Kept,
}

/// What the event says: kept in `queue_log`.
#[derive(Serialize, Deserialize)]
struct Kept {
    reversed: Uuid,
    correlation_id: String,
    sender_id: Uuid,
    amount: i64,
    fee: i64,
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
        "SELECT p.firmbanking_id, p.remittance_id, p.sender_id, p.amount, p.fee, p.from_bank,
                p.correlation_id
           FROM unnest($1::uuid[]) AS c(id)
           JOIN banking.reversal r ON r.firmbanking_id = c.id
           JOIN remittance.payout p ON p.firmbanking_id = c.id
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
                    correlation_id: row.try_get(6)?,
                    sender_id: row.try_get(2)?,
                    amount: row.try_get(3)?,
                    fee: row.try_get(4)?,
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
    /// The members whose money comes back.
    pub(super) fn senders(&self) -> impl Iterator<Item = Uuid> {
        self.due.values().map(|payout| payout.kept.sender_id)
    }

    /// A payout has come back: the amount is the sender's again.
    pub(super) fn decide(
        &mut self,
        book: &mut Book,
        reversal: &FirmbankingReversal,
        partition: i32,
        at: DateTime<Utc>,
    ) -> Verdict {
        let payout = bank_reversal::command_id(reversal).and_then(|id| self.due.remove(&id));
        let Some(Payout { from_bank, kept }) = payout else {
            // Posted before, or forged: no bank has given this back.
            return Verdict::Ignored;
        };
        let (sender_id, amount) = (kept.sender_id, kept.amount);
        let entry_id = reversal_id(kept.reversed);
        remittance::reversed(book, entry_id, sender_id, amount, &from_bank, partition);
        self.made.push(kept.reversed);
        Verdict::Handled(Outcome::success(at).with_result(serde_json::json!(kept)))
    }

    /// Notes that the money is back.
    pub(super) async fn write(
        &self,
        connection: &mut PgConnection,
        at: DateTime<Utc>,
    ) -> Result<(), WriteError> {
        if self.made.is_empty() {
            return Ok(());
        }
        let written = sqlx::query(
            "UPDATE remittance.payout SET reversed_at = $2
              WHERE remittance_id = ANY($1) AND reversed_at IS NULL",
        )
        .bind(&self.made)
        .bind(at)
        .execute(connection)
        .await?
        .rows_affected();
        if written < self.made.len() as u64 {
            return Err(WriteError::Shortfall);
        }
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
    let sender_id = kept.sender_id.to_string();
    let record = RemittanceReversal {
        message_id: reversal_id(kept.reversed).to_string(),
        request_id: kept.reversed.to_string(),
        correlation_id: kept.correlation_id,
        occurred_at: outcome.at.timestamp_millis(),
        sender_id: sender_id.clone(),
        amount: kept.amount,
        fee_kept: kept.fee,
        reason: REVERSED_BY_BANK.to_string(),
        causation_id: Some(reversal.message_id.clone()),
    };
    let topic = REMITTANCE_REVERSAL;
    Ok(vec![bank_result::event(
        encoders, topic, &sender_id, arrived, &record,
    )?])
}
