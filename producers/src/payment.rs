//! `POST /payments` and `POST /payments/{id}/cancellations` to `my.payment.request`.

use mypay_decide::cancel::CANCEL_REASON_MAX;
use mypay_decide::payment::ORDER_REF_MAX;
use mypay_schemas::Flow;
use mypay_schemas::payment::PaymentRequest;
use serde::Deserialize;

use crate::request::{Body, Head, Owner, Refusal, amount, text, uuid};

/// Pay a franchise with my money.
#[derive(Debug, Clone, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PaymentBody {
    /// UUID of the member who pays.
    #[schema(format = Uuid, example = "0199a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b")]
    pub member_id: String,
    /// UUID of the franchise.
    #[schema(format = Uuid, example = "0199a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5d")]
    pub franchise_id: String,
    /// The franchise's own order number, at most 64 characters.
    #[schema(example = "2026-000317", min_length = 1, max_length = 64)]
    pub order_ref: String,
    /// Whole won.
    #[schema(example = 12_500, minimum = 1, maximum = 100_000_000_000i64)]
    pub amount: i64,
}

impl Body for PaymentBody {
    const FLOW: Flow = Flow::Payment;
    type Request = PaymentRequest;

    fn owner(&self) -> Option<Owner<'_>> {
        Some(Owner {
            field: "member_id",
            id: &self.member_id,
        })
    }

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

/// Cancel a payment, in whole or in part.
#[derive(Debug, Clone, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CancellationBody {
    /// What is refunded, whole won; all that is left of the payment where absent.
    #[serde(default)]
    #[schema(example = 3_000, minimum = 1, maximum = 100_000_000_000i64)]
    pub amount: Option<i64>,
    /// Why, at most 200 characters.
    #[schema(example = "out of stock", min_length = 1, max_length = 200)]
    pub reason: String,
}

/// A cancellation with what the slip says of its payment: these never change, so
/// that a client's second try is the same request.
#[derive(Debug, Clone, Deserialize)]
pub struct Cancellation {
    /// The payment.
    pub payment_id: String,
    /// The member who paid: the message's key, as the payment's.
    pub member_id: String,
    /// The franchise.
    pub franchise_id: String,
    /// The franchise's own order number.
    pub order_ref: String,
    /// What the client asks for.
    pub asked: CancellationBody,
}

impl Body for Cancellation {
    const FLOW: Flow = Flow::Payment;
    type Request = PaymentRequest;

    // The merchant takes a sale back; the customer asks the merchant to.
    fn owner(&self) -> Option<Owner<'_>> {
        Some(Owner {
            field: "franchise_id",
            id: &self.franchise_id,
        })
    }

    fn into_request(self, head: Head) -> Result<PaymentRequest, Refusal> {
        let reason = text("reason", &self.asked.reason, CANCEL_REASON_MAX)?;
        Ok(PaymentRequest {
            member_id: self.member_id,
            franchise_id: self.franchise_id,
            order_ref: self.order_ref,
            // Not looked up: what is left now may be less when it is handled.
            amount: self.asked.amount.map_or(Ok(0), amount)?,
            message_id: head.message_id,
            correlation_id: head.correlation_id,
            requested_at: head.requested_at,
            causation_id: None,
            cancels: Some(self.payment_id),
            cancel_reason: Some(reason),
            cancels_rest: self.asked.amount.is_none(),
        })
    }
}
