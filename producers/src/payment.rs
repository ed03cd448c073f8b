//! `POST /payments` to `my.payment.request`.

use mypay_decide::payment::ORDER_REF_MAX;
use mypay_schemas::Flow;
use mypay_schemas::payment::PaymentRequest;
use serde::Deserialize;

use crate::request::{Body, Head, Refusal, amount, text, uuid};

/// Pay a franchise with my money.
#[derive(Debug, Clone, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PaymentBody {
    /// UUID of the member who pays.
    #[schema(example = "0199a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b")]
    pub member_id: String,
    /// UUID of the franchise.
    #[schema(example = "0199a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5d")]
    pub franchise_id: String,
    /// The franchise's own order number, at most 64 characters.
    #[schema(example = "2026-000317", max_length = 64)]
    pub order_ref: String,
    /// Whole won.
    #[schema(example = 12_500, minimum = 1)]
    pub amount: i64,
}

impl Body for PaymentBody {
    const FLOW: Flow = Flow::Payment;
    type Request = PaymentRequest;

    fn into_request(self, head: Head) -> Result<PaymentRequest, Refusal> {
        Ok(PaymentRequest {
            member_id: uuid("member_id", &self.member_id)?,
            franchise_id: uuid("franchise_id", &self.franchise_id)?,
            order_ref: text("order_ref", &self.order_ref, ORDER_REF_MAX)?,
            amount: amount(self.amount)?,
            message_id: head.message_id,
            correlation_id: head.correlation_id,
            requested_at: head.requested_at,
            causation_id: None,
            cancels: None,
            cancel_reason: None,
            cancels_rest: false,
        })
    }
}
