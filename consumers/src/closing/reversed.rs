//! Payouts of closings that a bank had done, and that came back.

use mypay_idempotency::queue_log::Outcome;
use mypay_idempotency::transaction::Event;
use mypay_schemas::encoders::{Encoders, EncodersError};
use mypay_schemas::reversal::{
    CLOSING_REVERSAL, ClosingReversal, FirmbankingReversal, reason as reversal_reason, reversal_id,
};
use serde::{Deserialize, Serialize};
use sqlx::Row;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use crate::bank_result;
use crate::bank_reversal::Payout;
use crate::runtime::handler::Arrived;

/// What a closing has paid out.
#[derive(Serialize, Deserialize)]
pub(super) struct PaidOut {
    reversed: Uuid,
    closing_id: Uuid,
    correlation_id: String,
    pub(super) member_id: Uuid,
    pub(super) amount: i64,
    /// Whether we have brought it back ourselves. (What was kept before has it not.)
    #[serde(default)]
    undone: bool,
}

impl Payout for PaidOut {
    const DUE: &'static str = "
        SELECT m.firmbanking_id, r.bank_code, r.undo_id IS NOT NULL, m.payout_id, m.closing_id,
               m.correlation_id, m.member_id, m.amount
          FROM unnest($1::uuid[]) AS c(id)
          JOIN banking.reversal r ON r.firmbanking_id = c.id
          JOIN membership.closing m ON m.firmbanking_id = c.id
         WHERE m.reversed_at IS NULL";
    const NOTE: &'static str = "
        UPDATE membership.closing SET reversed_at = $2
         WHERE payout_id = ANY($1) AND reversed_at IS NULL";

    fn read(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            undone: row.try_get(2)?,
            reversed: row.try_get(3)?,
            closing_id: row.try_get(4)?,
            correlation_id: row.try_get(5)?,
            member_id: row.try_get(6)?,
            amount: row.try_get(7)?,
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
    let member_id = kept.member_id.to_string();
    let record = ClosingReversal {
        message_id: reversal_id(kept.reversed).to_string(),
        request_id: kept.closing_id.to_string(),
        correlation_id: kept.correlation_id,
        occurred_at: outcome.at.timestamp_millis(),
        payout_id: kept.reversed.to_string(),
        member_id: member_id.clone(),
        amount: kept.amount,
        reason: reversal_reason(kept.undone).to_string(),
        causation_id: Some(reversal.message_id.clone()),
    };
    let topic = CLOSING_REVERSAL;
    Ok(vec![bank_result::event(
        encoders, topic, &member_id, arrived, &record,
    )?])
}
