//! Remittances that a bank had paid out, and that came back.

use mypay_idempotency::queue_log::Outcome;
use mypay_idempotency::transaction::Event;
use mypay_schemas::encoders::{Encoders, EncodersError};
use mypay_schemas::reversal::{
    FirmbankingReversal, REMITTANCE_REVERSAL, RemittanceReversal, reason as reversal_reason,
    reversal_id,
};
use serde::{Deserialize, Serialize};
use sqlx::Row;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use crate::bank_result;
use crate::bank_reversal::Payout;
use crate::runtime::handler::Arrived;

/// A remittance to a bank account.
#[derive(Serialize, Deserialize)]
pub(super) struct Remitted {
    reversed: Uuid,
    correlation_id: String,
    pub(super) sender_id: Uuid,
    pub(super) amount: i64,
    fee: i64,
    /// Whether we have brought it back ourselves. (What was kept before has it not.)
    #[serde(default)]
    undone: bool,
}

impl Payout for Remitted {
    const DUE: &'static str = "
        SELECT p.firmbanking_id, r.bank_code, r.undo_id IS NOT NULL, p.remittance_id,
               p.correlation_id, p.sender_id, p.amount, p.fee
          FROM unnest($1::uuid[]) AS c(id)
          JOIN banking.reversal r ON r.firmbanking_id = c.id
          JOIN remittance.payout p ON p.firmbanking_id = c.id
         WHERE p.reversed_at IS NULL";
    const NOTE: &'static str = "
        UPDATE remittance.payout SET reversed_at = $2
         WHERE remittance_id = ANY($1) AND reversed_at IS NULL";

    fn read(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            undone: row.try_get(2)?,
            reversed: row.try_get(3)?,
            correlation_id: row.try_get(4)?,
            sender_id: row.try_get(5)?,
            amount: row.try_get(6)?,
            fee: row.try_get(7)?,
        })
    }

    fn id(&self) -> Uuid {
        self.reversed
    }
}

/// The event of a reversal that was handled.
pub(super) fn events<M>(
    encoders: &Encoders,
    arrived: &Arrived<M>,
    reversal: &FirmbankingReversal,
    outcome: &Outcome,
) -> Result<Vec<Event>, EncodersError> {
    let Some(kept) = bank_result::kept::<Remitted>(outcome) else {
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
        reason: reversal_reason(kept.undone).to_string(),
        causation_id: Some(reversal.message_id.clone()),
    };
    let topic = REMITTANCE_REVERSAL;
    Ok(vec![bank_result::event(
        encoders, topic, &sender_id, arrived, &record,
    )?])
}
