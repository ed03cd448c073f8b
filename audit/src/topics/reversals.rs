//! The banks' reversals, as the flows that paid out claim them.

use mypay_schemas::Flow;
use mypay_schemas::firmbanking::{PURPOSE_CLOSING, PURPOSE_REMITTANCE, PURPOSE_SETTLEMENT};
use mypay_schemas::identity::{self, BadId};
use mypay_schemas::reversal::FirmbankingReversal;
use rdkafka::message::{BorrowedMessage, Message as _};
use uuid::Uuid;

use super::reader::Reader;
use super::requests::{is_bad_correlation, is_too_large};
use super::{Taken, at, hash_of, uuid};
use crate::error::AuditError;
use crate::rows::{Kind, Message, Place, Poison, ReversalEvent, Source};

/// The flows that pay out.
const PAYING_OUT: [(Flow, &str); 3] = [
    (Flow::Remittance, PURPOSE_REMITTANCE),
    (Flow::Settlement, PURPOSE_SETTLEMENT),
    (Flow::Closing, PURPOSE_CLOSING),
];

/// Reads a reversal.
pub(super) fn read(
    reader: &mut Reader<'_>,
    message: &BorrowedMessage<'_>,
    taken: &mut Taken,
) -> Result<(), AuditError> {
    let payload = message.payload().unwrap_or_default();
    let place = Place {
        source: Source::Reversal,
        partition: message.partition(),
        offset: message.offset(),
    };
    let poison = |reason| Poison {
        place,
        bytes: hash_of(payload),
        at: at(message),
        reason,
    };
    let decoded = reader.decode::<FirmbankingReversal>(payload)?;
    let too_large = is_too_large(message);
    let reversal = match decoded {
        Ok(reversal) if !too_large => reversal,
        other => {
            let reason = match other {
                Err(why) if !too_large => why.code(),
                _ => "too_large",
            };
            let reason = reader.reasons.code(reason);
            taken
                .poison
                .extend(PAYING_OUT.map(|(flow, _)| (flow, poison(reason))));
            return Ok(());
        }
    };
    taken.came_back.push(ReversalEvent {
        origin: uuid(&reversal.request_id),
        message_id: uuid(&reversal.message_id),
        amount: reversal.amount,
        partition: message.partition(),
        offset: message.offset(),
    });
    let of = PAYING_OUT
        .into_iter()
        .find(|(_, purpose)| *purpose == reversal.purpose);
    let Some((flow, _)) = of else { return Ok(()) };
    let parsed = identity::parse(&reversal.message_id);
    let bad = if parsed == Err(BadId::NotUuid) {
        Some("bad_message_id")
    } else if is_bad_correlation(&reversal.correlation_id) {
        Some("bad_correlation_id")
    } else {
        None
    };
    if let Some(reason) = bad {
        taken
            .poison
            .push((flow, poison(reader.reasons.code(reason))));
        return Ok(());
    }
    // One that carries no time is refused, and nobody is told.
    let Ok(id) = parsed else { return Ok(()) };
    let claimed = Message {
        id: id.as_u128(),
        content: identity::derive(Uuid::nil(), &reversal.request_id).as_u128(),
        payer: 0,
        payee: uuid(&reversal.request_id),
        amount: reversal.amount,
        at: at(message),
        place,
        bytes: hash_of(payload),
        kind: Kind::Follows,
    };
    super::messages_of(taken, flow).push(claimed);
    Ok(())
}
