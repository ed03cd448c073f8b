//! `my.payment.request` and `my.payment.result`.

use serde::{Deserialize, Serialize};

use crate::request::{Canonical, Request, ResultStatus, common_fields};

/// Pay a franchise with my money.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentRequest {
    /// UUID version 7.
    pub message_id: String,
    /// UUID of the first request of the business transaction.
    pub correlation_id: String,
    /// Milliseconds since the epoch.
    pub requested_at: i64,
    /// UUID of the member who pays.
    pub member_id: String,
    /// UUID of the franchise.
    pub franchise_id: String,
    /// The franchise's own order number.
    pub order_ref: String,
    /// Whole won.
    pub amount: i64,
    /// UUID of the message that caused this one.
    #[serde(default)]
    pub causation_id: Option<String>,
}

impl Request for PaymentRequest {
    const RECORD: &'static str = "PaymentRequest";
    common_fields!();
    fn amount(&self) -> Option<i64> {
        Some(self.amount)
    }
    fn key(&self) -> &str {
        &self.member_id
    }
    fn canonical(&self, content: &mut Canonical) {
        content.text(&self.member_id);
        content.text(&self.franchise_id);
        content.text(&self.order_ref);
        content.number(self.amount);
    }
}

/// The one result of a [`PaymentRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentResult {
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
    /// UUID of the member who paid.
    pub member_id: String,
    /// UUID of the franchise.
    pub franchise_id: String,
    /// Copied from the request.
    pub order_ref: String,
    /// Gross, whole won.
    pub amount: i64,
    /// Commission of the slip, whole won.
    pub commission: i64,
    /// What brought the outcome about.
    #[serde(default)]
    pub causation_id: Option<String>,
}
