//! Reads messages of any topic, as its consumer does.

use mypay_schemas::Flow;
use mypay_schemas::decoder::Poison as Why;
use rdkafka::message::Message as _;
use serde::de::DeserializeOwned;

use super::{Role, Taken, at, came_back, dead_letters, requests, results, reversals};
use crate::decoding::Decoding;
use crate::error::AuditError;
use crate::interned::Interned;
use crate::read::{self, Share};

/// Reads messages, with schemas of its own.
pub(super) struct Reader<'a> {
    pub(super) decoding: Decoding,
    pub(super) reasons: &'a Interned,
}

impl Reader<'_> {
    pub(super) fn read(
        &mut self,
        bootstrap: &str,
        share: &Share,
        flow: Flow,
        role: Role,
    ) -> Result<Taken, AuditError> {
        let mut taken = Taken::default();
        let lost: Vec<(i32, i64)> = share
            .0
            .iter()
            .filter(|span| span.low > 0)
            .map(|span| (span.partition, span.low))
            .collect();
        read::each(bootstrap, share, |message| {
            taken.read += 1;
            if lost.contains(&(message.partition(), message.offset())) {
                taken.floor = taken.floor.max(at(message));
            }
            match role {
                Role::Request => requests::read(self, flow, message, &mut taken),
                Role::Result => results::read(self, flow, message, &mut taken),
                Role::Reversal => reversals::read(self, message, &mut taken),
                Role::CameBack => came_back::read(self, flow, message, &mut taken),
                Role::DeadLetter => {
                    dead_letters::read(self, flow, message, &mut taken);
                    Ok(())
                }
            }
        })?;
        Ok(taken)
    }

    /// Reads a message as its consumer does.
    pub(super) fn decode<T: DeserializeOwned>(
        &mut self,
        payload: &[u8],
    ) -> Result<Result<T, Why>, AuditError> {
        self.decoding.read(payload)
    }
}
