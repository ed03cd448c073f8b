//! Payouts that a bank had made, and that came back.

use mypay_idempotency::queue_log::Outcome;
use mypay_idempotency::transaction::Event;
use mypay_schemas::encoders::{Encoders, EncodersError};
use mypay_schemas::reversal::{
    FirmbankingReversal, SETTLEMENT_REVERSAL, SettlementReversal, reason as reversal_reason,
    reversal_id,
};
use serde::{Deserialize, Serialize};
use sqlx::Row;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use crate::bank_result;
use crate::bank_reversal::Payout;
use crate::runtime::handler::Arrived;

/// A franchise's payout of a run.
#[derive(Serialize, Deserialize)]
pub(super) struct PaidOut {
    reversed: Uuid,
    run_id: Uuid,
    pub(super) franchise_id: Uuid,
    pub(super) amount: i64,
    /// Whether we have brought it back ourselves. (What was kept before has it not.)
    #[serde(default)]
    undone: bool,
}

impl Payout for PaidOut {
    const DUE: &'static str = "
        SELECT p.firmbanking_id, r.bank_code, r.undo_id IS NOT NULL, p.payout_id, p.run_id,
               p.franchise_id, r.amount
          FROM unnest($1::uuid[]) AS c(id)
          JOIN banking.reversal r ON r.firmbanking_id = c.id
          JOIN settlement.payout p ON p.firmbanking_id = c.id
         WHERE p.reversed_at IS NULL";
    const NOTE: &'static str = "
        UPDATE settlement.payout SET reversed_at = $2
         WHERE payout_id = ANY($1) AND reversed_at IS NULL";

    fn read(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            undone: row.try_get(2)?,
            reversed: row.try_get(3)?,
            run_id: row.try_get(4)?,
            franchise_id: row.try_get(5)?,
            amount: row.try_get(6)?,
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
    let Some(kept) = bank_result::kept::<PaidOut>(outcome) else {
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
        reason: reversal_reason(kept.undone).to_string(),
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
