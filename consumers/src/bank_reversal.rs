//! What a bank's reversal means to the flow whose payout came back.
//!
//! The flows that pay out (remittance, settlement) also read
//! `my.firmbanking.reversal`. As with results, the message only says that there
//! is something to look at; what is believed is the row `banking.reversal`.
//!
//! A reversal may be read before the result of the same command: the two come on
//! two topics. So it neither waits for the result nor changes the payout's state:
//! the confirmation (in transit -> corporate cash) and the reversal (corporate
//! cash -> whose money it was) are entries of their own, and commute.

use mypay_schemas::decoder::{Decoder, Poison};
use mypay_schemas::identity::derive;
use mypay_schemas::reversal::{FIRMBANKING_REVERSAL, FirmbankingReversal};
use uuid::Uuid;

use crate::runtime::handler::Identity;

/// The topic of the banks' reversals.
pub const TOPIC: &str = FIRMBANKING_REVERSAL;

/// Reads a reversal, if it is one of this purpose.
#[allow(clippy::type_complexity)]
pub fn decode<M>(
    decoder: &Decoder,
    payload: &[u8],
    purpose: &str,
    message: fn(FirmbankingReversal) -> M,
) -> Option<Result<Option<M>, Poison>> {
    let reversal = decoder.decode_cached::<FirmbankingReversal>(payload)?;
    Some(reversal.map(|reversal| (reversal.purpose == purpose).then(|| message(reversal))))
}

/// Identifies a reversal: by which command came back, and nothing else.
pub fn identity(reversal: &FirmbankingReversal) -> Identity<'_> {
    Identity {
        message_id: &reversal.message_id,
        correlation_id: &reversal.correlation_id,
        content_hash: *derive(Uuid::nil(), &reversal.request_id).as_bytes(),
    }
}

/// The id of the command that came back.
pub fn command_id(reversal: &FirmbankingReversal) -> Option<Uuid> {
    Uuid::try_parse(&reversal.request_id).ok()
}
