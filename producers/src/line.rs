//! A request as a line of a file: the HTTP body, and optionally its id.

use mypay_schemas::Flow;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::accept::{Acceptance, Envelope, PrepareError, Submission};
use crate::closing::ClosingBody;
use crate::firmbanking::FirmbankingBody;
use crate::payment::PaymentBody;
use crate::recharge::RechargeBody;
use crate::remittance::RemittanceBody;
use crate::request::{Body, Refusal};
use crate::settlement::SettlementBody;

/// Checks and encodes a line. One without a `message_id` gets a new one.
pub fn prepare(
    acceptance: &Acceptance,
    flow: Flow,
    line: &[u8],
) -> Result<Submission, PrepareError> {
    let (written, body) = split(line)?;
    let message_id = match written {
        Some(written) => acceptance.check_id(&written)?,
        None => Uuid::now_v7(),
    };
    let envelope = Envelope {
        message_id,
        correlation_id: None,
        traceparent: None,
        requested_by: None,
    };
    match flow {
        Flow::Recharge => acceptance.prepare::<RechargeBody>(envelope, read(body)?),
        Flow::Remittance => acceptance.prepare::<RemittanceBody>(envelope, read(body)?),
        Flow::Payment => acceptance.prepare::<PaymentBody>(envelope, read(body)?),
        Flow::Settlement => acceptance.prepare::<SettlementBody>(envelope, read(body)?),
        Flow::Firmbanking => acceptance.prepare::<FirmbankingBody>(envelope, read(body)?),
        Flow::Closing => acceptance.prepare::<ClosingBody>(envelope, read(body)?),
    }
}

/// The id that a line gives, and the rest of it.
fn split(line: &[u8]) -> Result<(Option<String>, Map<String, Value>), Refusal> {
    let mut body: Map<String, Value> = serde_json::from_slice(line)
        .map_err(|error| Refusal::of_id("malformed_json", format!("not a JSON object: {error}")))?;
    match body.remove("message_id") {
        None => Ok((None, body)),
        Some(Value::String(id)) => Ok((Some(id), body)),
        Some(_) => Err(Refusal::of_id("invalid_id", "message_id: not a string")),
    }
}

fn read<B: Body>(body: Map<String, Value>) -> Result<B, Refusal> {
    serde_json::from_value(Value::Object(body))
        .map_err(|error| Refusal::of_body("wrong_form", error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_may_carry_its_id() {
        let (id, body) = split(br#"{"message_id":"m","amount":1}"#).unwrap();
        assert_eq!((id.as_deref(), body.len()), (Some("m"), 1));
        let (id, _) = split(br#"{"amount":1}"#).unwrap();
        assert_eq!(id, None);
    }

    #[test]
    fn what_is_no_request_is_refused_with_the_reason() {
        for bad in [&b"x"[..], b"[]", b"null", b"{", b"\xff"] {
            assert_eq!(split(bad).unwrap_err().reason, "malformed_json");
        }
        assert_eq!(
            split(br#"{"message_id":7}"#).unwrap_err().reason,
            "invalid_id"
        );
        let (_, body) = split(br#"{"amount":1,"currency":"KRW"}"#).unwrap();
        assert_eq!(read::<RechargeBody>(body).unwrap_err().reason, "wrong_form");
    }
}
