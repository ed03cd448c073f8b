//! Reads messages as their consumers do, with the schemas they were written with.

use std::time::Duration;

use mypay_schemas::decoder::{DecodeError, Decoder, Poison};
use serde::de::DeserializeOwned;

use crate::error::AuditError;

/// How often the registry is asked before it is given up.
const REGISTRY_ATTEMPTS: usize = 5;

/// A decoder for those that block.
pub(crate) struct Decoding {
    decoder: Decoder,
    runtime: tokio::runtime::Handle,
}

impl Decoding {
    /// A decoder over a registry, with no schema known yet.
    pub(crate) fn new(registry_url: &str, runtime: &tokio::runtime::Handle) -> Self {
        Self {
            decoder: Decoder::new(registry_url),
            runtime: runtime.clone(),
        }
    }

    /// Reads a message. Blocks where its schema is not known yet.
    pub(crate) fn read<T: DeserializeOwned>(
        &mut self,
        payload: &[u8],
    ) -> Result<Result<T, Poison>, AuditError> {
        let mut attempts = 0;
        loop {
            if let Some(decoded) = self.decoder.decode_cached(payload) {
                return Ok(decoded);
            }
            match self.runtime.block_on(self.decoder.learn_schema_of(payload)) {
                Ok(()) => {}
                Err(DecodeError::Poison(why)) => return Ok(Err(why)),
                Err(error) if attempts >= REGISTRY_ATTEMPTS => {
                    return Err(AuditError::registry(error));
                }
                Err(_) => {
                    attempts += 1;
                    std::thread::sleep(Duration::from_millis(500));
                }
            }
        }
    }
}
