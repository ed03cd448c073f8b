//! `my.payment.request` and `my.payment.result`.

use serde::{Deserialize, Serialize};

use crate::request::{Canonical, Request, ResultStatus, common_fields};

/// The id of the message that goes on with a payment once it is topped up.
///
/// It lies on the payments' own topic, under the payment's key: a slip has the
/// position of the message that made it.
pub fn id_of_continuation(payment: uuid::Uuid) -> uuid::Uuid {
    crate::identity::derive(payment, "payment topped up")
}

/// Pay a franchise with my money, or cancel such a payment in whole or in part.
///
/// A cancel has its payment's member, and so its key: it is never handled before
/// the payment, and lies in the same lane.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentRequest {
    /// UUID version 7; version 8 where a payment goes on that was topped up.
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
    /// Whole won: what is paid, or refunded (0 where `cancels_rest`).
    pub amount: i64,
    /// UUID of the message that caused this one.
    #[serde(default)]
    pub causation_id: Option<String>,
    /// UUID of the payment that this cancels; `None` for a payment.
    #[serde(default)]
    pub cancels: Option<String>,
    /// Why it is cancelled.
    #[serde(default)]
    pub cancel_reason: Option<String>,
    /// Whether a cancel refunds all that is left.
    #[serde(default)]
    pub cancels_rest: bool,
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
        // A payment's hash is what it was before there were cancels: rows of
        // queue_log outlive releases.
        if let Some(payment_id) = &self.cancels {
            content.text(payment_id);
            content.text(self.cancel_reason.as_deref().unwrap_or(""));
            content.number(self.cancels_rest.into());
        }
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
    /// Whole won: paid, or refunded.
    pub amount: i64,
    /// Commission of the slip, or what of it a cancel gave back; whole won.
    pub commission: i64,
    /// What brought the outcome about.
    #[serde(default)]
    pub causation_id: Option<String>,
    /// UUID of the payment that was cancelled; `None` for a payment.
    #[serde(default)]
    pub cancels: Option<String>,
    /// Whole won recharged from the member's bank account on the way; it stays on
    /// the balance where the payment is rejected all the same.
    #[serde(default)]
    pub topped_up: i64,
}
