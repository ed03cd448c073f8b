//! Which message some bytes are: its id, key and content, as its consumer takes them.

use mypay_decide::firmbanking::is_reserved;
use mypay_idempotency::parked::shortened;
use mypay_schemas::closing::ClosingRequest;
use mypay_schemas::firmbanking::{FirmbankingRequest, FirmbankingResult};
use mypay_schemas::identity::{self, BadId};
use mypay_schemas::payment::PaymentRequest;
use mypay_schemas::recharge::{RechargeRequest, RechargeResult};
use mypay_schemas::remittance::RemittanceRequest;
use mypay_schemas::reversal::{FIRMBANKING_REVERSAL, FirmbankingReversal};
use mypay_schemas::settlement::SettlementRequest;
use mypay_schemas::{Flow, Request};
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::decoding::Decoding;
use crate::error::AuditError;
use crate::topics::MESSAGE_MAX;

/// What tells a message from others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Named {
    /// Its id.
    pub(super) id: Uuid,
    /// Its key, as parked keys are kept.
    pub(super) key: String,
    /// Hash of its content.
    pub(super) content: [u8; 16],
    /// Whether it follows from a request of ours, and so may be older than one.
    pub(super) follows: bool,
}

/// A message, or the reason that its dead letter would give today.
pub(super) type Naming = Result<Named, &'static str>;

/// Reads what a message of a topic is; `bytes` counts its key, too.
pub(super) fn named(
    decoding: &mut Decoding,
    flow: Flow,
    topic: &str,
    payload: &[u8],
    bytes: usize,
) -> Result<Naming, AuditError> {
    if bytes > MESSAGE_MAX {
        return Ok(Err("too_large"));
    }
    if topic == Flow::Firmbanking.result_topic() {
        let of = |it: FirmbankingResult| (it.message_id, it.request_id);
        return told(decoding, payload, of);
    }
    if topic == Flow::Recharge.result_topic() {
        let of = |it: RechargeResult| (it.message_id, it.request_id);
        return told(decoding, payload, of);
    }
    if topic == FIRMBANKING_REVERSAL {
        let of = |it: FirmbankingReversal| (it.message_id, it.request_id);
        return told(decoding, payload, of);
    }
    match flow {
        // As their consumers tell: what tops up or goes on has an id of ours, and a
        // flow's command a purpose of ours.
        Flow::Recharge => asked(decoding, payload, |it: &RechargeRequest| {
            identity::is_derived(&it.message_id)
        }),
        Flow::Payment => asked(decoding, payload, |it: &PaymentRequest| {
            identity::is_derived(&it.message_id)
        }),
        Flow::Firmbanking => asked(decoding, payload, |it: &FirmbankingRequest| {
            is_reserved(&it.purpose)
        }),
        Flow::Remittance => asked(decoding, payload, |_: &RemittanceRequest| false),
        Flow::Settlement => asked(decoding, payload, |_: &SettlementRequest| false),
        Flow::Closing => asked(decoding, payload, |_: &ClosingRequest| false),
    }
}

/// A request.
fn asked<R: Request + DeserializeOwned>(
    decoding: &mut Decoding,
    payload: &[u8],
    follows: impl Fn(&R) -> bool,
) -> Result<Naming, AuditError> {
    Ok(match decoding.read::<R>(payload)? {
        Ok(request) => naming(
            request.message_id(),
            request.key(),
            request.content_hash(),
            follows(&request),
        ),
        Err(why) => Err(why.code()),
    })
}

/// What is told of a request: by which one, and nothing else.
fn told<T: DeserializeOwned>(
    decoding: &mut Decoding,
    payload: &[u8],
    ids: impl Fn(T) -> (String, String),
) -> Result<Naming, AuditError> {
    Ok(match decoding.read::<T>(payload)?.map(ids) {
        Ok((message_id, request_id)) => {
            let content = identity::derive(Uuid::nil(), &request_id);
            naming(&message_id, &request_id, *content.as_bytes(), true)
        }
        Err(why) => Err(why.code()),
    })
}

fn naming(message_id: &str, key: &str, content: [u8; 16], follows: bool) -> Naming {
    match identity::parse(message_id) {
        Ok(id) => Ok(Named {
            id,
            key: shortened(key),
            content,
            follows,
        }),
        Err(BadId::NoTime) => Err("id_without_time"),
        Err(BadId::NotUuid) => Err("bad_message_id"),
    }
}
