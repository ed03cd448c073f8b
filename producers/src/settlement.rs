//! `POST /settlements` to `my.settlement.request`.

use chrono::{DateTime, Utc};
use mypay_decide::Reason;
use mypay_schemas::settlement::SettlementRequest;
use mypay_schemas::{Flow, identity};
use serde::Deserialize;
use uuid::Uuid;

use crate::request::{Body, Head, Owner, Refusal, uuid};

/// Settle franchises up to a cut.
#[derive(Debug, Clone, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SettlementBody {
    /// Slips made up to this instant belong to the run; RFC 3339, to the
    /// millisecond, not in the future.
    pub cut_at: DateTime<Utc>,
    /// UUID of the one franchise to settle; all where absent.
    #[serde(default)]
    #[schema(format = Uuid)]
    pub franchise_id: Option<String>,
}

impl Body for SettlementBody {
    const FLOW: Flow = Flow::Settlement;
    type Request = SettlementRequest;

    fn owner(&self) -> Option<Owner<'_>> {
        None
    }

    fn into_request(self, head: Head) -> Result<SettlementRequest, Refusal> {
        let cut_at = self.cut_at.timestamp_millis();
        if cut_at < 0 {
            let detail = "an instant of the years 1970 to 9999";
            return Err(Refusal::of_field("date_out_of_range", "cut_at", detail));
        }
        if cut_at > head.requested_at {
            // Slips would be made after the run that settles up to then.
            let reason = Reason::CutInTheFuture.code();
            return Err(Refusal::of_field(reason, "cut_at", "lies in the future"));
        }
        let franchise_id = self
            .franchise_id
            .map(|written| uuid("franchise_id", &written))
            .transpose()?;
        Ok(SettlementRequest {
            cut_at,
            franchise_id,
            message_id: head.message_id,
            correlation_id: head.correlation_id,
            requested_at: head.requested_at,
            causation_id: None,
        })
    }
}

/// Settle one franchise now: what it is owed from refused or held payouts, and
/// what has come since.
///
/// The cut is the instant that the request's id carries, so that a second try is
/// the same request.
#[derive(Debug, Clone, Deserialize)]
pub struct Retry {
    /// The franchise.
    pub franchise_id: Uuid,
}

impl Body for Retry {
    const FLOW: Flow = Flow::Settlement;
    type Request = SettlementRequest;

    fn owner(&self) -> Option<Owner<'_>> {
        None
    }

    fn into_request(self, head: Head) -> Result<SettlementRequest, Refusal> {
        let cut_at = identity::parse(&head.message_id)
            .ok()
            .map(identity::time_of)
            .and_then(DateTime::from_timestamp_millis)
            .ok_or_else(|| Refusal::of_id(Reason::IdWithoutTime.code(), "the id has no time"))?;
        SettlementBody {
            cut_at,
            franchise_id: Some(self.franchise_id.to_string()),
        }
        .into_request(head)
        .map_err(|refusal| Refusal {
            detail: format!("the time of the Idempotency-Key: {}", refusal.detail),
            // There is no body whose field it could be.
            field: None,
            ..refusal
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_in_the_future_is_refused() {
        let head = Head {
            message_id: "m".into(),
            correlation_id: "c".into(),
            requested_at: 1_000,
        };
        let at = |millis| SettlementBody {
            cut_at: DateTime::from_timestamp_millis(millis).unwrap(),
            franchise_id: None,
        };
        assert!(at(1_000).into_request(head.clone()).is_ok());
        let refusal = at(1_001).into_request(head).unwrap_err();
        assert_eq!(refusal.reason, "cut_in_the_future");
    }
}
