//! Results; the banks' are also messages for the flows that asked for them.

use mypay_schemas::closing::ClosingResult;
use mypay_schemas::decoder::Poison as Why;
use mypay_schemas::firmbanking::{
    FirmbankingResult, PURPOSE_CLOSING, PURPOSE_RECHARGE, PURPOSE_REMITTANCE, PURPOSE_SETTLEMENT,
};
use mypay_schemas::identity::{self, BadId};
use mypay_schemas::payment::PaymentResult;
use mypay_schemas::recharge::RechargeResult;
use mypay_schemas::remittance::RemittanceResult;
use mypay_schemas::settlement::SettlementResult;
use mypay_schemas::{Flow, ResultStatus};
use rdkafka::message::{BorrowedMessage, Headers, Message as _};
use uuid::Uuid;

use super::reader::Reader;
use super::requests::{is_bad_correlation, is_too_large};
use super::{Taken, at, hash_of, uuid};
use crate::at::At;
use crate::error::AuditError;
use crate::produce::REPLAY_OF;
use crate::rows::{Kind, Message, Place, Poison, Repeated, ResultEvent, Source};

/// What an audit reads of any result.
struct AnyResult {
    message_id: String,
    request_id: String,
    correlation_id: String,
    status: ResultStatus,
    reason: Option<String>,
    /// Whole won; 0 where the result has none.
    amount: i64,
    /// The fee of a remittance, the commission of a payment, what a closing paid out.
    extra: i64,
    /// Whole won.
    topped_up: i64,
    /// Of a bank's result.
    purpose: String,
}

/// Takes a result apart; the last four differ from flow to flow.
macro_rules! any_result {
    ($($record:ident, |$it:ident| $amount:expr, $extra:expr, $topped_up:expr, $purpose:expr;)*) => {
        $(impl From<$record> for AnyResult {
            fn from($it: $record) -> Self {
                Self {
                    amount: $amount,
                    extra: $extra,
                    topped_up: $topped_up,
                    purpose: $purpose,
                    message_id: $it.message_id,
                    request_id: $it.request_id,
                    correlation_id: $it.correlation_id,
                    status: $it.status,
                    reason: $it.reason,
                }
            }
        })*
    };
}

any_result! {
    RechargeResult, |it| it.amount, 0, 0, String::new();
    RemittanceResult, |it| it.amount, it.fee, it.topped_up, String::new();
    PaymentResult, |it| it.amount, it.commission, it.topped_up, String::new();
    SettlementResult, |it| it.net, 0, 0, String::new();
    FirmbankingResult, |it| it.amount, it.fee, 0, it.purpose;
    ClosingResult, |it| it.amount, it.amount, 0, String::new();
}

/// Decodes a result of a flow. The decoder goes by the record's name, so each
/// flow's own type is needed.
fn decode(
    reader: &mut Reader<'_>,
    flow: Flow,
    payload: &[u8],
) -> Result<Result<AnyResult, Why>, AuditError> {
    Ok(match flow {
        Flow::Recharge => reader
            .decode::<RechargeResult>(payload)?
            .map(AnyResult::from),
        Flow::Remittance => reader
            .decode::<RemittanceResult>(payload)?
            .map(AnyResult::from),
        Flow::Payment => reader
            .decode::<PaymentResult>(payload)?
            .map(AnyResult::from),
        Flow::Settlement => reader
            .decode::<SettlementResult>(payload)?
            .map(AnyResult::from),
        Flow::Firmbanking => reader
            .decode::<FirmbankingResult>(payload)?
            .map(AnyResult::from),
        Flow::Closing => reader
            .decode::<ClosingResult>(payload)?
            .map(AnyResult::from),
    })
}

/// The flows that wait for banks.
const WAITING_FOR_BANKS: [(Flow, &str); 4] = [
    (Flow::Recharge, PURPOSE_RECHARGE),
    (Flow::Remittance, PURPOSE_REMITTANCE),
    (Flow::Settlement, PURPOSE_SETTLEMENT),
    (Flow::Closing, PURPOSE_CLOSING),
];

/// The flows that wait for top-ups.
const WAITING_FOR_TOP_UPS: [Flow; 2] = [Flow::Remittance, Flow::Payment];

/// The flows that read a flow's results, and what those are to them.
fn read_by(flow: Flow) -> (Source, Vec<Flow>) {
    match flow {
        Flow::Firmbanking => (
            Source::Bank,
            WAITING_FOR_BANKS.map(|(flow, _)| flow).to_vec(),
        ),
        Flow::Recharge => (Source::TopUp, WAITING_FOR_TOP_UPS.to_vec()),
        _ => (Source::Other, Vec::new()),
    }
}

/// Reads a result of a flow.
pub(super) fn read(
    reader: &mut Reader<'_>,
    flow: Flow,
    message: &BorrowedMessage<'_>,
    taken: &mut Taken,
) -> Result<(), AuditError> {
    let payload = message.payload().unwrap_or_default();
    let shown = || {
        format!(
            "{}-{}@{}",
            message.topic(),
            message.partition(),
            message.offset()
        )
    };
    let result = match decode(reader, flow, payload)? {
        Ok(result) if !is_too_large(message) => result,
        other => {
            let (reason, why) = match other {
                Err(why) if !is_too_large(message) => (why.code(), why.to_string()),
                _ => ("too_large", "too large".to_string()),
            };
            let strange = format!("not a result: {why}");
            taken.strange.push((shown(), strange));
            let (source, reading) = read_by(flow);
            let reason = reader.reasons.code(reason);
            for flow in reading {
                taken.poison.push((flow, poison(message, source, reason)));
            }
            return Ok(());
        }
    };
    let (request, message_id) = (uuid(&result.request_id), uuid(&result.message_id));
    if request == 0 || message_id == 0 {
        taken.strange.push((
            shown(),
            "its message_id or request_id is no UUID".to_string(),
        ));
    }
    let event = ResultEvent {
        request,
        message_id,
        extra: result.extra,
        topped_up: result.topped_up,
        offset: message.offset(),
        partition: message.partition(),
        reason: reader.reasons.optional(result.reason.as_deref()),
        completed: result.status == ResultStatus::Completed,
    };
    match repeats(message) {
        Some(of) => taken.repeated.push(Repeated { event, of }),
        None => taken.results.push(event),
    }
    let (source, reading) = read_by(flow);
    for reading in reading {
        if concerns(reading, source, &result) {
            pass_on(reader, message, &result, (reading, source), taken);
        }
    }
    Ok(())
}

/// The offset of the message that one repeats which was put through again: an earlier
/// one of its own partition, or it is not believed.
fn repeats(message: &BorrowedMessage<'_>) -> Option<i64> {
    let mut headers = message.headers()?.iter();
    let header = headers.find(|header| header.key == REPLAY_OF)?;
    let named = std::str::from_utf8(header.value?).ok()?;
    let offset: i64 = named.rsplit_once('@')?.1.parse().ok()?;
    let place = At {
        offset,
        ..At::of(message)
    };
    (offset < message.offset() && place.to_string() == named).then_some(offset)
}

/// Whether a result is one that a flow looks at: a bank's for its purpose, a
/// recharge's that tops up.
fn concerns(flow: Flow, source: Source, result: &AnyResult) -> bool {
    if source == Source::TopUp {
        return identity::is_derived(&result.request_id);
    }
    WAITING_FOR_BANKS.contains(&(flow, result.purpose.as_str()))
}

/// A result as a flow that waits for it claims it.
fn pass_on(
    reader: &Reader<'_>,
    message: &BorrowedMessage<'_>,
    result: &AnyResult,
    (flow, source): (Flow, Source),
    taken: &mut Taken,
) {
    let parsed = identity::parse(&result.message_id);
    if parsed == Err(BadId::NotUuid) {
        let reason = reader.reasons.code("bad_message_id");
        taken.poison.push((flow, poison(message, source, reason)));
        return;
    }
    if is_bad_correlation(&result.correlation_id) {
        let reason = reader.reasons.code("bad_correlation_id");
        taken.poison.push((flow, poison(message, source, reason)));
        return;
    }
    // One that carries no time is refused, and nobody is told.
    let Ok(id) = parsed else { return };
    let claimed = Message {
        id: id.as_u128(),
        // Which command or recharge it tells of; what came of it is not believed.
        content: identity::derive(Uuid::nil(), &result.request_id).as_u128(),
        payer: 0,
        payee: uuid(&result.request_id),
        amount: result.amount,
        at: at(message),
        place: place(message, source),
        bytes: hash_of(message.payload().unwrap_or_default()),
        kind: Kind::Follows,
    };
    super::messages_of(taken, flow).push(claimed);
}

fn place(message: &BorrowedMessage<'_>, source: Source) -> Place {
    Place {
        source,
        partition: message.partition(),
        offset: message.offset(),
    }
}

fn poison(message: &BorrowedMessage<'_>, source: Source, reason: u32) -> Poison {
    let bytes = hash_of(message.payload().unwrap_or_default());
    Poison {
        place: place(message, source),
        bytes,
        at: at(message),
        reason,
    }
}
