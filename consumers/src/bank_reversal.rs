//! What a bank's reversal, or an undo of ours, means to the flow whose payout came back.
//!
//! The flows that pay out (remittance, settlement, closing) also read
//! `my.firmbanking.reversal`. As with results, the message only says that there
//! is something to look at; what is believed is the row `banking.reversal`.
//!
//! A reversal may be read before the result of the same command: the two come on
//! two topics. So it neither waits for the result nor changes the payout's state:
//! the confirmation (in transit -> corporate cash) and the reversal (corporate
//! cash -> whose money it was) are entries of their own, and commute.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use mypay_idempotency::queue_log::Outcome;
use mypay_ledger::WriteError;
use mypay_schemas::decoder::{Decoder, Poison};
use mypay_schemas::reversal::{FIRMBANKING_REVERSAL, FirmbankingReversal, reversal_id};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use crate::bank_result;
use crate::runtime::handler::{Identity, Verdict};

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
    let ours = |reversal: &FirmbankingReversal| {
        // As of a result: with another id it was forged (`bank_result::is_told`).
        let derived = Uuid::try_parse(&reversal.request_id).map(reversal_id);
        reversal.purpose == purpose
            && derived.is_ok_and(|derived| Uuid::try_parse(&reversal.message_id) == Ok(derived))
    };
    Some(reversal.map(|reversal| ours(&reversal).then(|| message(reversal))))
}

/// Identifies a reversal: by which command came back, and nothing else.
pub fn identity(reversal: &FirmbankingReversal) -> Identity<'_> {
    bank_result::identity_of_told(
        &reversal.message_id,
        &reversal.correlation_id,
        &reversal.request_id,
    )
}

/// The id of the command that came back.
pub fn command_id(reversal: &FirmbankingReversal) -> Option<Uuid> {
    Uuid::try_parse(&reversal.request_id).ok()
}

/// A payout that comes back, as its flow keeps it in `queue_log` for the event.
pub trait Payout: serde::Serialize + Sized {
    /// Selects the payouts of the commands `$1` that `banking.reversal` says came
    /// back, and that no one has posted: command, the bank that the money is at again,
    /// then what `read` reads.
    const DUE: &'static str;
    /// Notes that the payouts `$1` came back at `$2`, where nobody has before.
    const NOTE: &'static str;

    /// Reads a payout of `DUE`, from the third column on: that is, whether we have
    /// brought it back ourselves.
    fn read(row: &PgRow) -> Result<Self, sqlx::Error>;

    /// The payout's id.
    fn id(&self) -> Uuid;
}

/// Payouts whose reversal a batch may bring, by command, and those it brought.
pub struct Reversals<P> {
    due: HashMap<Uuid, (String, P)>,
    made: Vec<P>,
}

impl<P> Default for Reversals<P> {
    fn default() -> Self {
        Self {
            due: HashMap::new(),
            made: Vec::new(),
        }
    }
}

impl<P: Payout> Reversals<P> {
    /// Loads the payouts of these commands that came back.
    pub async fn load(
        connection: &mut PgConnection,
        commands: &[Uuid],
    ) -> Result<Self, sqlx::Error> {
        if commands.is_empty() {
            return Ok(Self::default());
        }
        let rows = sqlx::query(P::DUE)
            .bind(commands)
            .fetch_all(connection)
            .await?;
        let due = rows
            .iter()
            .map(|row| Ok((row.try_get(0)?, (row.try_get(1)?, P::read(row)?))))
            .collect::<Result<_, sqlx::Error>>()?;
        Ok(Self {
            due,
            made: Vec::new(),
        })
    }

    /// The payouts that may come back in this batch.
    pub fn due(&self) -> impl Iterator<Item = &P> {
        self.due.values().map(|(_, payout)| payout)
    }

    /// The payouts that came back in this batch.
    pub fn made(&self) -> impl Iterator<Item = &P> {
        self.made.iter()
    }

    /// A payout has come back: `post` makes its entry, with the entry's id and the
    /// bank that the money is at again: the one that had paid it, or, where we have
    /// brought it back, the receiver's.
    pub fn decide(
        &mut self,
        reversal: &FirmbankingReversal,
        at: DateTime<Utc>,
        post: impl FnOnce(Uuid, &str, &P),
    ) -> Verdict {
        let due = command_id(reversal).and_then(|id| self.due.remove(&id));
        let Some((bank, payout)) = due else {
            // Posted before, or forged: no bank has given this back.
            return Verdict::Ignored;
        };
        post(reversal_id(payout.id()), &bank, &payout);
        let outcome = Outcome::success(at).with_result(serde_json::json!(payout));
        self.made.push(payout);
        Verdict::Handled(outcome)
    }

    /// Notes that the money is back.
    pub async fn note(
        &self,
        connection: &mut PgConnection,
        at: DateTime<Utc>,
    ) -> Result<(), WriteError> {
        if self.made.is_empty() {
            return Ok(());
        }
        let ids: Vec<Uuid> = self.made.iter().map(P::id).collect();
        let noted = sqlx::query(P::NOTE)
            .bind(&ids)
            .bind(at)
            .execute(connection)
            .await?
            .rows_affected();
        if noted < ids.len() as u64 {
            // Another lane was faster: load again, and see.
            return Err(WriteError::Shortfall);
        }
        Ok(())
    }
}
