//! What flows tell of payouts that came back.

use mypay_schemas::Flow;
use mypay_schemas::decoder::Poison as Why;
use mypay_schemas::reversal::{ClosingReversal, RemittanceReversal, SettlementReversal};
use rdkafka::message::{BorrowedMessage, Message as _};

use super::reader::Reader;
use super::{Taken, uuid};
use crate::at::At;
use crate::error::AuditError;
use crate::rows::ReversalEvent;

/// What came back, the event's id, and how much.
type Told = (String, String, i64);

/// Decodes an event of a flow: the decoder goes by the record's name.
fn decode(
    reader: &mut Reader<'_>,
    flow: Flow,
    payload: &[u8],
) -> Result<Result<Told, Why>, AuditError> {
    Ok(match flow {
        Flow::Settlement => reader
            .decode::<SettlementReversal>(payload)?
            .map(|it| (it.payout_id, it.message_id, it.amount)),
        Flow::Closing => reader
            .decode::<ClosingReversal>(payload)?
            .map(|it| (it.payout_id, it.message_id, it.amount)),
        _ => reader
            .decode::<RemittanceReversal>(payload)?
            .map(|it| (it.request_id, it.message_id, it.amount)),
    })
}

/// Reads an event of a flow.
pub(super) fn read(
    reader: &mut Reader<'_>,
    flow: Flow,
    message: &BorrowedMessage<'_>,
    taken: &mut Taken,
) -> Result<(), AuditError> {
    match decode(reader, flow, message.payload().unwrap_or_default())? {
        Ok((origin, message_id, amount)) => taken.came_back.push(ReversalEvent {
            origin: uuid(&origin),
            message_id: uuid(&message_id),
            amount,
            partition: message.partition(),
            offset: message.offset(),
        }),
        Err(why) => {
            let strange = format!("not an event of what came back: {why}");
            taken.strange.push((At::of(message).to_string(), strange));
        }
    }
    Ok(())
}
