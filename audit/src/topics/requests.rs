//! Requests: what a consumer has to claim, refuse or put aside.

use mypay_decide::firmbanking::is_reserved;
use mypay_schemas::closing::ClosingRequest;
use mypay_schemas::firmbanking::FirmbankingRequest;
use mypay_schemas::identity::{self, BadId};
use mypay_schemas::payment::PaymentRequest;
use mypay_schemas::recharge::RechargeRequest;
use mypay_schemas::remittance::{Receiver, RemittanceRequest};
use mypay_schemas::settlement::SettlementRequest;
use mypay_schemas::{Flow, Request};
use rdkafka::message::{BorrowedMessage, Message as _};
use serde::de::DeserializeOwned;

use super::reader::Reader;
use super::{Taken, at, hash_of, uuid};
use crate::error::AuditError;
use crate::rows::{Kind, Message, Place, Poison, Source};

/// The largest request, key included, in bytes; a larger one is garbage.
pub(crate) const MESSAGE_MAX: usize = 64 * 1024;
/// The longest correlation id, in bytes; a longer one is garbage.
const CORRELATION_ID_MAX: usize = 64;

/// Reads a request of a flow.
pub(super) fn read(
    reader: &mut Reader<'_>,
    flow: Flow,
    message: &BorrowedMessage<'_>,
    taken: &mut Taken,
) -> Result<(), AuditError> {
    match flow {
        Flow::Recharge => take::<RechargeRequest>(reader, flow, message, taken, |request| {
            let kind = kind_of(&request.message_id, Kind::Plain);
            (uuid(&request.member_id), 0, kind)
        }),
        Flow::Remittance => take::<RemittanceRequest>(reader, flow, message, taken, |request| {
            let (receiver, kind) = match &request.receiver {
                Receiver::MemberReceiver(member) => (uuid(&member.member_id), Kind::ToMember),
                Receiver::BankReceiver(_) => (0, Kind::ToBank),
            };
            (uuid(&request.sender_id), receiver, kind)
        }),
        Flow::Payment => take::<PaymentRequest>(reader, flow, message, taken, |request| {
            (
                uuid(&request.member_id),
                uuid(&request.franchise_id),
                match request.cancels {
                    Some(_) => kind_of(&request.message_id, Kind::Cancel),
                    None => kind_of(&request.message_id, Kind::Plain),
                },
            )
        }),
        Flow::Settlement => {
            take::<SettlementRequest>(reader, flow, message, taken, |_| (0, 0, Kind::Plain))
        }
        Flow::Closing => take::<ClosingRequest>(reader, flow, message, taken, |request| {
            (uuid(&request.member_id), 0, Kind::Plain)
        }),
        Flow::Firmbanking => take::<FirmbankingRequest>(reader, flow, message, taken, |request| {
            let of_a_flow = is_reserved(&request.purpose);
            (
                0,
                0,
                if of_a_flow {
                    Kind::Follows
                } else {
                    Kind::Plain
                },
            )
        }),
    }
}

/// Recharges and payments under ids of ours follow from a request: they top up,
/// or go on.
fn kind_of(message_id: &str, of_clients: Kind) -> Kind {
    if identity::is_derived(message_id) {
        Kind::Follows
    } else {
        of_clients
    }
}

fn take<R: Request + DeserializeOwned>(
    reader: &mut Reader<'_>,
    flow: Flow,
    message: &BorrowedMessage<'_>,
    taken: &mut Taken,
    parties: impl Fn(&R) -> (u128, u128, Kind),
) -> Result<(), AuditError> {
    let payload = message.payload().unwrap_or_default();
    let bytes = hash_of(payload);
    let place = Place {
        source: Source::Request,
        partition: message.partition(),
        offset: message.offset(),
    };
    let mut poison = |reason| {
        let poison = Poison {
            place,
            bytes,
            at: at(message),
            reason,
        };
        taken.poison.push((flow, poison));
    };
    if is_too_large(message) {
        poison(reader.reasons.code("too_large"));
        return Ok(());
    }
    let request = match reader.decode::<R>(payload)? {
        Ok(request) => request,
        Err(why) => {
            poison(reader.reasons.code(why.code()));
            return Ok(());
        }
    };
    // The order of the consumer's own rules: which one a message breaks first
    // is the reason that its dead letter gives.
    let (payer, payee, kind) = parties(&request);
    let parsed = identity::parse(request.message_id());
    // Version 8 is ours to give: to what follows from a request.
    let forged = parsed.is_ok_and(|id| id.get_version_num() == 8) && kind != Kind::Follows;
    if parsed == Err(BadId::NotUuid) || forged {
        poison(reader.reasons.code("bad_message_id"));
        return Ok(());
    }
    if is_bad_correlation(request.correlation_id()) {
        poison(reader.reasons.code("bad_correlation_id"));
        return Ok(());
    }
    let claimed = Message {
        id: parsed.map_or_else(|_| uuid(request.message_id()), |id| id.as_u128()),
        content: u128::from_be_bytes(request.content_hash()),
        payer,
        payee,
        amount: request.amount().unwrap_or_default(),
        at: at(message),
        place,
        bytes,
        kind,
    };
    if parsed.is_err() {
        taken.timeless.push(claimed);
    } else {
        super::messages_of(taken, flow).push(claimed);
    }
    Ok(())
}

/// Whether a message is larger than any of ours.
pub(crate) fn is_too_large(message: &BorrowedMessage<'_>) -> bool {
    let length = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len);
    length(message.payload()) + length(message.key()) > MESSAGE_MAX
}

/// Whether a correlation id is garbage.
pub(crate) fn is_bad_correlation(correlation_id: &str) -> bool {
    correlation_id.len() > CORRELATION_ID_MAX || correlation_id.contains(char::is_control)
}
