//! Results; the banks' are also messages for the flows that asked for them.

use mypay_schemas::firmbanking::{PURPOSE_RECHARGE, PURPOSE_REMITTANCE, PURPOSE_SETTLEMENT};
use mypay_schemas::identity::{self, BadId};
use mypay_schemas::{Flow, ResultStatus};
use rdkafka::message::{BorrowedMessage, Message as _};
use serde::Deserialize;
use uuid::Uuid;

use super::requests::is_bad_correlation;
use super::{Reader, Taken, at, hash_of, uuid};
use crate::data::{Kind, Message, Place, Poison, ResultEvent, Source};
use crate::error::AuditError;

/// What an audit reads of any result; other fields are passed over.
#[derive(Deserialize)]
struct AnyResult {
    message_id: String,
    request_id: String,
    correlation_id: String,
    status: ResultStatus,
    reason: Option<String>,
    #[serde(default)]
    amount: i64,
    #[serde(default)]
    fee: i64,
    #[serde(default)]
    commission: i64,
    #[serde(default)]
    purpose: String,
}

/// The flows that wait for banks.
const WAITING_FOR_BANKS: [(Flow, &str); 3] = [
    (Flow::Recharge, PURPOSE_RECHARGE),
    (Flow::Remittance, PURPOSE_REMITTANCE),
    (Flow::Settlement, PURPOSE_SETTLEMENT),
];

/// Reads a result of a flow.
pub(super) fn read(
    reader: &mut Reader<'_>,
    flow: Flow,
    message: &BorrowedMessage<'_>,
    taken: &mut Taken,
) -> Result<(), AuditError> {
    let payload = message.payload().unwrap_or_default();
    let shown = || format!("{}-{}@{}", message.topic(), message.partition(), message.offset());
    let result = match reader.decode::<AnyResult>(payload)? {
        Ok(result) => result,
        Err(why) => {
            taken.strange.push((shown(), format!("not a result: {why}")));
            if flow == Flow::Firmbanking {
                let reason = reader.reasons.code(why.code());
                for (reading, _) in WAITING_FOR_BANKS {
                    taken.poison.push((reading, poison(message, reason)));
                }
            }
            return Ok(());
        }
    };
    let (request, message_id) = (uuid(&result.request_id), uuid(&result.message_id));
    if request == 0 || message_id == 0 {
        taken.strange.push((shown(), "its message_id or request_id is no UUID".to_string()));
    }
    taken.results.push(ResultEvent {
        request,
        message_id,
        extra: match flow {
            Flow::Payment => result.commission,
            _ => result.fee,
        },
        offset: message.offset(),
        at: at(message),
        partition: message.partition(),
        reason: reader.reasons.optional(result.reason.as_deref()),
        completed: result.status == ResultStatus::Completed,
    });
    if flow == Flow::Firmbanking {
        pass_on(reader, message, &result, taken);
    }
    Ok(())
}

/// A bank's result as the flow that asked for it claims it.
fn pass_on(
    reader: &Reader<'_>,
    message: &BorrowedMessage<'_>,
    result: &AnyResult,
    taken: &mut Taken,
) {
    let Some((flow, _)) =
        WAITING_FOR_BANKS.into_iter().find(|(_, purpose)| *purpose == result.purpose)
    else {
        return;
    };
    let parsed = identity::parse(&result.message_id);
    if parsed == Err(BadId::NotUuid) {
        let reason = reader.reasons.code("bad_message_id");
        taken.poison.push((flow, poison(message, reason)));
        return;
    }
    if is_bad_correlation(&result.correlation_id) {
        let reason = reader.reasons.code("bad_correlation_id");
        taken.poison.push((flow, poison(message, reason)));
        return;
    }
    // One that carries no time is refused, and nobody is told.
    let Ok(id) = parsed else { return };
    let outcome = format!("{} {:?} {:?}", result.request_id, result.status, result.reason);
    let claimed = Message {
        id: id.as_u128(),
        content: identity::derive(Uuid::nil(), &outcome).as_u128(),
        payer: 0,
        payee: uuid(&result.request_id),
        amount: result.amount,
        at: at(message),
        place: place(message),
        bytes: hash_of(message.payload().unwrap_or_default()),
        kind: Kind::Plain,
    };
    super::messages_of(taken, flow).push(claimed);
}

fn place(message: &BorrowedMessage<'_>) -> Place {
    Place { source: Source::Bank, partition: message.partition(), offset: message.offset() }
}

fn poison(message: &BorrowedMessage<'_>, reason: u32) -> Poison {
    let bytes = hash_of(message.payload().unwrap_or_default());
    Poison { place: place(message), bytes, at: at(message), reason }
}
