//! `POST /recharges` to `my.recharge.request`.

use mypay_schemas::Flow;
use mypay_schemas::recharge::RechargeRequest;
use serde::Deserialize;

use crate::request::{Body, Head, Owner, Refusal, amount, uuid};

/// Top up a member's my money from the registered bank account.
#[derive(Debug, Clone, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RechargeBody {
    /// UUID of the member.
    #[schema(format = Uuid, example = "0199a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b")]
    pub member_id: String,
    /// Whole won.
    #[schema(example = 50_000, minimum = 1, maximum = 100_000_000_000i64)]
    pub amount: i64,
}

impl Body for RechargeBody {
    const FLOW: Flow = Flow::Recharge;
    type Request = RechargeRequest;

    fn owner(&self) -> Option<Owner<'_>> {
        Some(Owner {
            field: "member_id",
            id: &self.member_id,
        })
    }

    fn into_request(self, head: Head) -> Result<RechargeRequest, Refusal> {
        Ok(RechargeRequest {
            member_id: uuid("member_id", &self.member_id)?,
            amount: amount(self.amount)?,
            message_id: head.message_id,
            correlation_id: head.correlation_id,
            requested_at: head.requested_at,
            causation_id: None,
        })
    }
}
