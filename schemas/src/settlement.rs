//! `my.settlement.request` and `my.settlement.result`.

use serde::{Deserialize, Serialize};

use crate::request::{Canonical, Request, ResultStatus, common_fields};

/// Settle franchises up to a cut.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettlementRequest {
    /// UUID version 7.
    pub message_id: String,
    /// UUID of the first request of the business transaction.
    pub correlation_id: String,
    /// Milliseconds since the epoch.
    pub requested_at: i64,
    /// Slips up to this instant belong to the run; milliseconds since the epoch.
    pub cut_at: i64,
    /// UUID of the one franchise to settle; all where absent.
    #[serde(default)]
    pub franchise_id: Option<String>,
    /// UUID of the message that caused this one.
    #[serde(default)]
    pub causation_id: Option<String>,
}

impl Request for SettlementRequest {
    const RECORD: &'static str = "SettlementRequest";
    common_fields!();
    fn amount(&self) -> Option<i64> {
        None
    }
    fn key(&self) -> &str {
        // One key for all: runs are cut one after the other.
        "settlement"
    }
    fn canonical(&self, content: &mut Canonical) {
        content.number(self.cut_at);
        content.text(self.franchise_id.as_deref().unwrap_or(""));
    }
}

/// The one result of a [`SettlementRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettlementResult {
    /// Derived from the request's id.
    pub message_id: String,
    /// The request's id.
    pub request_id: String,
    /// Copied from the request.
    pub correlation_id: String,
    /// The outcome.
    pub status: ResultStatus,
    /// Reason code of a rejection.
    #[serde(default)]
    pub reason: Option<String>,
    /// Milliseconds since the epoch.
    pub occurred_at: i64,
    /// Franchises with a net in this run.
    pub franchises: i64,
    /// Slips settled.
    pub slips: i64,
    /// Sum of the slips, whole won.
    pub gross: i64,
    /// Commission with its VAT, whole won.
    pub commission: i64,
    /// Payouts requested of the banks.
    pub payouts: i64,
    /// Sum of the payouts, whole won.
    pub net: i64,
    /// What brought the outcome about.
    #[serde(default)]
    pub causation_id: Option<String>,
    /// Sum of the cancels in the run, whole won.
    #[serde(default)]
    pub cancelled: i64,
}
