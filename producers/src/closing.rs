//! `POST /members/{id}/closing` to `my.closing.request`.

use mypay_schemas::Flow;
use mypay_schemas::closing::{CLOSING_REASON_MAX, ClosingRequest};
use serde::Deserialize;

use crate::request::{Body, Head, Owner, Refusal, text, uuid};

/// Close a membership.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClosingBody {
    /// UUID of the member or franchise.
    pub member_id: String,
    /// Whether what is left goes to the registered bank account.
    #[serde(default = "yes")]
    pub pays_out: bool,
    /// Why it is closed.
    pub reason: String,
}

pub(crate) const fn yes() -> bool {
    true
}

impl Body for ClosingBody {
    const FLOW: Flow = Flow::Closing;
    type Request = ClosingRequest;

    fn owner(&self) -> Option<Owner<'_>> {
        Some(Owner {
            field: "member_id",
            id: &self.member_id,
        })
    }

    fn into_request(self, head: Head) -> Result<ClosingRequest, Refusal> {
        Ok(ClosingRequest {
            member_id: uuid("member_id", &self.member_id)?,
            pays_out: self.pays_out,
            reason: text("reason", &self.reason, CLOSING_REASON_MAX)?,
            message_id: head.message_id,
            correlation_id: head.correlation_id,
            requested_at: head.requested_at,
            causation_id: None,
        })
    }
}
