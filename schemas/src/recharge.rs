//! `my.recharge.request` and `my.recharge.result`.

use serde::{Deserialize, Serialize};

use crate::request::{Canonical, Request, ResultStatus, common_fields};

/// The id of the recharge that tops up for a request of another flow.
///
/// The flow is part of it: a client may use one id for requests of two flows.
pub fn id_of_top_up(flow: crate::Flow, request: uuid::Uuid) -> uuid::Uuid {
    crate::identity::derive(request, &format!("{flow} top-up"))
}

/// Top up a member's my money from the registered bank account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RechargeRequest {
    /// UUID version 7 from a client, version 8 where it tops up for another flow.
    pub message_id: String,
    /// UUID of the first request of the business transaction.
    pub correlation_id: String,
    /// Milliseconds since the epoch.
    pub requested_at: i64,
    /// UUID of the member.
    pub member_id: String,
    /// Whole won.
    pub amount: i64,
    /// UUID of the message that caused this one.
    #[serde(default)]
    pub causation_id: Option<String>,
}

impl Request for RechargeRequest {
    const RECORD: &'static str = "RechargeRequest";
    common_fields!();
    fn amount(&self) -> Option<i64> {
        Some(self.amount)
    }
    fn key(&self) -> &str {
        &self.member_id
    }
    fn canonical(&self, content: &mut Canonical) {
        content.text(&self.member_id);
        content.number(self.amount);
    }
}

/// The one result of a [`RechargeRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RechargeResult {
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
    /// UUID of the member.
    pub member_id: String,
    /// Whole won.
    pub amount: i64,
    /// What brought the outcome about.
    #[serde(default)]
    pub causation_id: Option<String>,
}
