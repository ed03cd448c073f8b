//! What a bank's answer means to the flow that asked for it.
//!
//! The flows that wait for a bank (recharge, remittance, settlement) also read
//! `my.firmbanking.result`. Each takes its own by the purpose; to the others a
//! result does not concern them, and they claim nothing.

use mypay_idempotency::queue_log::Outcome;
use mypay_idempotency::transaction::Event;
use mypay_schemas::decoder::{Decoder, Poison};
use mypay_schemas::encoders::{Encoders, EncodersError};
use mypay_schemas::firmbanking::{BankAccount, FirmbankingRequest, FirmbankingResult};
use mypay_schemas::identity::derive;
use mypay_schemas::{Flow, ResultStatus};
use uuid::Uuid;

use crate::runtime::handler::{Arrived, Identity};

/// The topic of the banks' results.
pub const TOPIC: &str = Flow::Firmbanking.result_topic();

/// Identifies a bank's result.
pub fn identity(result: &FirmbankingResult) -> Identity<'_> {
    identity_of_told(
        &result.message_id,
        &result.correlation_id,
        &result.request_id,
    )
}

/// Identifies what is told of a command: by the command, and nothing else. What
/// the message says of the outcome is not believed anyway (see [`Answer`]).
pub(crate) fn identity_of_told<'a>(
    message_id: &'a str,
    correlation_id: &'a str,
    request_id: &str,
) -> Identity<'a> {
    Identity {
        message_id,
        correlation_id,
        content_hash: *derive(Uuid::nil(), request_id).as_bytes(),
    }
}

/// Whether a result has the id that is derived from what it tells of, as ours have.
/// One that has not was forged: it would take the id of another message that is to
/// come, which then would be a conflict.
pub(crate) fn is_told(message_id: &str, request_id: &str) -> bool {
    Uuid::try_parse(message_id) == Ok(result_id(request_id))
}

/// The id of the command that a request asked for, by the result that tells of it.
pub fn command_id(result: &FirmbankingResult) -> Option<Uuid> {
    Uuid::try_parse(&result.request_id).ok()
}

/// Identifies a request.
pub fn identity_of<R: mypay_schemas::Request>(request: &R) -> Identity<'_> {
    Identity {
        message_id: request.message_id(),
        correlation_id: request.correlation_id(),
        content_hash: request.content_hash(),
    }
}

/// Reads a flow's message: its own request, or its own bank results.
#[allow(clippy::type_complexity)]
pub fn decode<R, M>(
    decoder: &Decoder,
    topic: &str,
    payload: &[u8],
    purpose: &str,
    request: fn(R) -> M,
    bank: fn(FirmbankingResult) -> M,
) -> Option<Result<Option<M>, Poison>>
where
    R: serde::de::DeserializeOwned,
{
    if topic == TOPIC {
        let result = decoder.decode_cached::<FirmbankingResult>(payload)?;
        let ours = |result: &FirmbankingResult| {
            result.purpose == purpose && is_told(&result.message_id, &result.request_id)
        };
        return Some(result.map(|result| ours(&result).then(|| bank(result))));
    }
    Some(
        decoder
            .decode_cached::<R>(payload)?
            .map(|decoded| Some(request(decoded))),
    )
}

/// What `queue_log` keeps of an outcome, as the flow's own type.
pub fn kept<T: serde::de::DeserializeOwned>(outcome: &Outcome) -> Option<T> {
    serde_json::from_value(outcome.result.clone()?).ok()
}

/// What came of a command, by the firmbanking consumer's own row in
/// `queue_log`: `None` where the bank did it, else the reason why not.
///
/// The message on the topic only says that there is something to look at.
/// Whoever can write to the topic could forge one, and have money credited that
/// no bank has moved; the row is written in the commit that makes it true,
/// before any genuine message exists.
pub type Answer = Option<String>;

/// Reads an [`Answer`] from its two columns, `processed_status = 'success'` and
/// `reason`.
pub fn answer(success: bool, reason: Option<String>) -> Answer {
    (!success).then(|| reason.unwrap_or_else(|| "refused_by_bank".to_string()))
}

/// A command to a bank, as an event of the request that brings it about.
pub struct Command<'a> {
    /// The purpose, which is the flow's.
    pub purpose: &'static str,
    /// The command's id.
    pub id: Uuid,
    /// The request that it is for.
    pub origin_id: &'a str,
    /// Copied from the request.
    pub correlation_id: &'a str,
    /// The account to debit.
    pub from: BankAccount,
    /// The account to credit.
    pub to: BankAccount,
    /// Whose account `to` must be.
    pub to_holder_name: Option<String>,
    /// Whole won.
    pub amount: i64,
    /// The request's instant, milliseconds since the epoch.
    pub requested_at: i64,
}

impl Command<'_> {
    /// The event.
    pub fn event(
        self,
        encoders: &Encoders,
        traceparent: Option<&String>,
    ) -> Result<Event, EncodersError> {
        let topic = Flow::Firmbanking.request_topic();
        let record = FirmbankingRequest {
            message_id: self.id.to_string(),
            correlation_id: self.correlation_id.to_string(),
            requested_at: self.requested_at,
            purpose: self.purpose.to_string(),
            from: self.from,
            to: self.to,
            amount: self.amount,
            to_holder_name: self.to_holder_name,
            causation_id: Some(self.origin_id.to_string()),
        };
        Ok(Event {
            topic,
            key: record.message_id.clone().into_bytes(),
            payload: encoders.encode(topic, &record)?,
            traceparent: traceparent.cloned(),
            headers: Vec::new(),
        })
    }
}

/// What every result event has in common.
pub struct ResultHead {
    /// Derived from the request's id.
    pub message_id: String,
    /// The outcome.
    pub status: ResultStatus,
    /// Reason code of a rejection.
    pub reason: Option<String>,
    /// Milliseconds since the epoch.
    pub occurred_at: i64,
}

impl ResultHead {
    /// The head of the result of a request that was ended, done or not, by the
    /// message that has this outcome.
    pub fn ended(request_id: &str, done: bool, outcome: &Outcome) -> Self {
        Self {
            message_id: result_id(request_id).to_string(),
            status: if done {
                ResultStatus::Completed
            } else {
                ResultStatus::Rejected
            },
            reason: outcome.reason.clone(),
            occurred_at: outcome.at.timestamp_millis(),
        }
    }

    /// The head of the result of a request; `None` while a bank has yet to answer.
    pub fn of(request_id: &str, outcome: &Outcome) -> Option<Self> {
        Some(Self::ended(request_id, outcome.success?, outcome))
    }
}

/// The id of a request's result.
pub fn result_id(request_id: &str) -> Uuid {
    match mypay_schemas::identity::parse(request_id) {
        Ok(id) => derive(id, "result"),
        // An id that carries no time is rejected, yet gets its answer.
        Err(_) => derive(Uuid::nil(), request_id),
    }
}

/// An event on a result topic, with the key and the trace of its cause.
pub fn event<M, T: serde::Serialize>(
    encoders: &Encoders,
    topic: &'static str,
    key: &str,
    arrived: &Arrived<M>,
    record: &T,
) -> Result<Event, EncodersError> {
    Ok(Event {
        topic,
        key: key.as_bytes().to_vec(),
        payload: encoders.encode(topic, record)?,
        traceparent: arrived.traceparent.clone(),
        headers: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_has_the_id_that_is_derived_from_what_it_tells_of() {
        let (one, other) = (Uuid::now_v7().to_string(), Uuid::now_v7().to_string());
        assert!(is_told(&result_id(&one).to_string(), &one));
        assert!(!is_told(&result_id(&other).to_string(), &one));
        assert!(!is_told(&one, &one));
        assert!(!is_told("", &one));
        // Of a request whose id carries no time, and which was rejected for it.
        assert!(is_told(&result_id("x").to_string(), "x"));
    }
}
