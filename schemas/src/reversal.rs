//! `my.firmbanking.reversal`, `my.remittance.reversal`, `my.settlement.reversal`,
//! `my.closing.reversal`: what a bank had done, and it or we have undone.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::identity::derive;

/// The topic of commands that came back.
pub const FIRMBANKING_REVERSAL: &str = "my.firmbanking.reversal";
/// The topic of remittances that came back.
pub const REMITTANCE_REVERSAL: &str = "my.remittance.reversal";
/// The topic of settlement payouts that came back.
pub const SETTLEMENT_REVERSAL: &str = "my.settlement.reversal";

/// The topic of payouts of closings that came back.
pub const CLOSING_REVERSAL: &str = "my.closing.reversal";

/// The reason code of what a bank has undone.
pub const REVERSED_BY_BANK: &str = "reversed_by_bank";
/// The reason code of what a transfer of ours has brought back.
pub const UNDONE: &str = "undone";

/// The reason code of what came back: by a transfer of ours, or by the bank's doing.
pub const fn reason(undone: bool) -> &'static str {
    if undone { UNDONE } else { REVERSED_BY_BANK }
}

/// The id of the event that tells that `request` came back, and of the journal
/// entry that undoes it.
pub fn reversal_id(request: Uuid) -> Uuid {
    derive(request, "reversal")
}

/// A command that the bank had done has come back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirmbankingReversal {
    /// Derived from the command's id.
    pub message_id: String,
    /// The command.
    pub request_id: String,
    /// Copied from the request.
    pub correlation_id: String,
    /// Milliseconds since the epoch.
    pub occurred_at: i64,
    /// Copied from the request.
    pub purpose: String,
    /// The request of another flow that asked for it.
    #[serde(default)]
    pub origin_id: Option<String>,
    /// Whole won.
    pub amount: i64,
    /// The bank that was commanded.
    pub bank_code: String,
    /// `YYYY-MM-DD` in Korea.
    pub business_date: String,
    /// Our number of the command.
    pub transaction_number: i64,
    /// `YYYY-MM-DD` in Korea; where we have undone it, our transfer's business date.
    pub notice_date: String,
    /// The bank's number of the notice; 0 where we have undone it.
    pub notice_number: i64,
    /// Milliseconds since the epoch, by the bank's clock; where we have undone it, by ours.
    pub reversed_at: i64,
    /// The command that undid it. None: a bank's notice is no message.
    #[serde(default)]
    pub causation_id: Option<String>,
}

/// A remittance to a bank account has come back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemittanceReversal {
    /// Derived from the request's id.
    pub message_id: String,
    /// The remittance.
    pub request_id: String,
    /// Copied from the request.
    pub correlation_id: String,
    /// Milliseconds since the epoch.
    pub occurred_at: i64,
    /// Whose money it is again.
    pub sender_id: String,
    /// Whole won.
    pub amount: i64,
    /// The remittance fee that is not given back, whole won.
    pub fee_kept: i64,
    /// [`REVERSED_BY_BANK`] or [`UNDONE`].
    pub reason: String,
    /// The [`FirmbankingReversal`].
    #[serde(default)]
    pub causation_id: Option<String>,
}

/// A payout of a settlement has come back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettlementReversal {
    /// Derived from the payout's id.
    pub message_id: String,
    /// The run.
    pub request_id: String,
    /// Copied from the request.
    pub correlation_id: String,
    /// Milliseconds since the epoch.
    pub occurred_at: i64,
    /// The payout.
    pub payout_id: String,
    /// Who is owed it again.
    pub franchise_id: String,
    /// Whole won.
    pub amount: i64,
    /// [`REVERSED_BY_BANK`] or [`UNDONE`].
    pub reason: String,
    /// The [`FirmbankingReversal`].
    #[serde(default)]
    pub causation_id: Option<String>,
}

/// What was paid out at a closing has come back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClosingReversal {
    /// Derived from the payout's id.
    pub message_id: String,
    /// The closing.
    pub request_id: String,
    /// Copied from the request.
    pub correlation_id: String,
    /// Milliseconds since the epoch.
    pub occurred_at: i64,
    /// The payout.
    pub payout_id: String,
    /// For whom it is kept.
    pub member_id: String,
    /// Whole won.
    pub amount: i64,
    /// [`REVERSED_BY_BANK`] or [`UNDONE`].
    pub reason: String,
    /// The [`FirmbankingReversal`].
    #[serde(default)]
    pub causation_id: Option<String>,
}
