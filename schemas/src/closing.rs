//! `my.closing.request` and `my.closing.result`.

use serde::{Deserialize, Serialize};

use crate::request::{Canonical, Request, ResultStatus, common_fields};

/// The longest reason of a closing, in characters.
pub const CLOSING_REASON_MAX: usize = 200;

/// Close a membership.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClosingRequest {
    /// UUID version 7.
    pub message_id: String,
    /// UUID of the first request of the business transaction.
    pub correlation_id: String,
    /// Milliseconds since the epoch.
    pub requested_at: i64,
    /// UUID of the member or franchise.
    pub member_id: String,
    /// Whether what is left goes to the registered bank account.
    pub pays_out: bool,
    /// Why it is closed, for people.
    pub reason: String,
    /// UUID of the message that caused this one.
    #[serde(default)]
    pub causation_id: Option<String>,
}

impl Request for ClosingRequest {
    const RECORD: &'static str = "ClosingRequest";
    common_fields!();
    fn amount(&self) -> Option<i64> {
        None
    }
    fn key(&self) -> &str {
        &self.member_id
    }
    fn canonical(&self, content: &mut Canonical) {
        content.text(&self.member_id);
        content.number(i64::from(self.pays_out));
        content.text(&self.reason);
    }
}

/// The one result of a [`ClosingRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClosingResult {
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
    /// UUID of the member or franchise.
    pub member_id: String,
    /// What was paid out, whole won.
    pub amount: i64,
    /// What brought the outcome about.
    #[serde(default)]
    pub causation_id: Option<String>,
}
