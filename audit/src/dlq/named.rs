//! Which message some bytes are: its id, key and content, as its consumer takes them.

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
        Flow::Recharge => asked::<RechargeRequest>(decoding, payload),
        Flow::Remittance => asked::<RemittanceRequest>(decoding, payload),
        Flow::Payment => asked::<PaymentRequest>(decoding, payload),
        Flow::Settlement => asked::<SettlementRequest>(decoding, payload),
        Flow::Firmbanking => asked::<FirmbankingRequest>(decoding, payload),
        Flow::Closing => asked::<ClosingRequest>(decoding, payload),
    }
}

/// A request.
fn asked<R: Request + DeserializeOwned>(
    decoding: &mut Decoding,
    payload: &[u8],
) -> Result<Naming, AuditError> {
    Ok(match decoding.read::<R>(payload)? {
        Ok(request) => naming(request.message_id(), request.key(), request.content_hash()),
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
            naming(&message_id, &request_id, *content.as_bytes())
        }
        Err(why) => Err(why.code()),
    })
}

fn naming(message_id: &str, key: &str, content: [u8; 16]) -> Naming {
    match identity::parse(message_id) {
        Ok(id) => Ok(Named {
            id,
            key: shortened(key),
            content,
        }),
        Err(BadId::NoTime) => Err("id_without_time"),
        Err(BadId::NotUuid) => Err("bad_message_id"),
    }
}
