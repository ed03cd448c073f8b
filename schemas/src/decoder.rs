//! Reads what any registered writer wrote.
//!
//! A message names its writer's schema by id. The schema is fetched from the
//! registry once and kept for ever (an id never changes its meaning), and the
//! datum is read by field names straight into our types: fields we do not know
//! are passed over, fields the writer did not know take their defaults.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use schema_registry_converter::async_impl::schema_registry::{SrSettings, get_schema_by_id};
use schema_registry_converter::error::SRCError;
use schema_registry_converter::schema_registry_common::RawError;
use serde::de::DeserializeOwned;

use crate::wire;

/// Why a message could not be decoded.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The message can never be decoded.
    #[error("{0}")]
    Poison(Poison),
    /// The registry could not be asked; the message may be fine.
    #[error("the schema registry does not answer: {0}")]
    Retry(String),
}

/// Why a message can never be decoded: the reason of its dead letter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Poison {
    /// No magic byte or no schema id.
    #[error("not_avro: not in the Confluent wire format")]
    NotWireFormat,
    /// No schema has this id.
    #[error("unknown_schema_id: the registry has no schema {0}")]
    UnknownSchema(u32),
    /// The schema exists, but the datum does not fit it or our record.
    #[error("undecodable: {0}")]
    Undecodable(String),
}

impl Poison {
    /// The reason code, which is the part of the text before the colon.
    pub fn code(&self) -> &'static str {
        match self {
            Poison::NotWireFormat => "not_avro",
            Poison::UnknownSchema(_) => "unknown_schema_id",
            Poison::Undecodable(_) => "undecodable",
        }
    }
}

/// How long an id that the registry does not know is not asked for again.
///
/// A flood of garbage must not become a flood of requests to the registry; yet
/// a schema that is registered a moment later must be found.
const UNKNOWN_IS_REMEMBERED: Duration = Duration::from_secs(5);

/// The registry's own code for "no such schema".
const SCHEMA_NOT_FOUND: u32 = 40403;
/// How many unknown ids are remembered at the most.
const UNKNOWN_IDS_AT_MOST: usize = 10_000;

/// How long the registry is waited for before the message is tried again.
const PATIENCE: Duration = Duration::from_secs(3);

/// Fetches writers' schemas and reads their data.
pub struct Decoder {
    registry: SrSettings,
    readers: HashMap<u32, GenericDatumReader<'static>>,
    unknown: HashMap<u32, Instant>,
}

impl Decoder {
    /// A decoder over the registry at `registry_url`.
    pub fn new(registry_url: &str) -> Self {
        // A datum that claims to be larger than any of our messages may be is
        // refused before it is allocated for.
        apache_avro::util::max_allocation_bytes(2 * 1024 * 1024);
        Self {
            registry: SrSettings::new(registry_url.trim_end_matches('/').to_string()),
            readers: HashMap::new(),
            unknown: HashMap::new(),
        }
    }

    /// Reads a message, with the schema from memory or from the registry.
    pub async fn decode<T: DeserializeOwned>(&mut self, payload: &[u8]) -> Result<T, DecodeError> {
        loop {
            match self.decode_cached(payload) {
                Some(decoded) => return decoded.map_err(DecodeError::Poison),
                None => self.learn_schema_of(payload).await?,
            }
        }
    }

    /// Fetches the schema that a message was written with.
    pub async fn learn_schema_of(&mut self, payload: &[u8]) -> Result<(), DecodeError> {
        let (schema_id, _) =
            wire::split(payload).map_err(|_| DecodeError::Poison(Poison::NotWireFormat))?;
        self.fetch(schema_id).await
    }

    /// Reads a message whose schema is in memory; `None` where it is not.
    pub fn decode_cached<T: DeserializeOwned>(&self, payload: &[u8]) -> Option<Result<T, Poison>> {
        let Ok((schema_id, mut datum)) = wire::split(payload) else {
            return Some(Err(Poison::NotWireFormat));
        };
        let reader = self.readers.get(&schema_id)?;
        let decoded = reader.read_deser::<T>(&mut datum);
        Some(match decoded {
            Ok(_) if !datum.is_empty() => Err(Poison::Undecodable(format!(
                "{} bytes are left over behind the record",
                datum.len()
            ))),
            Ok(record) => Ok(record),
            Err(error) => Err(Poison::Undecodable(short(&error))),
        })
    }

    /// Learns a schema under its id, without the registry.
    pub fn learn(&mut self, schema_id: u32, schema: &str) -> Result<(), Poison> {
        let undecodable = |error: apache_avro::Error| Poison::Undecodable(short(&error));
        // Leaked on purpose: a registry has tens of schemas, and each is used
        // until the process ends.
        let schema: &'static Schema =
            Box::leak(Box::new(Schema::parse_str(schema).map_err(undecodable)?));
        let reader = GenericDatumReader::builder(schema)
            .human_readable(true)
            .build()
            .map_err(undecodable)?;
        self.readers.insert(schema_id, reader);
        Ok(())
    }

    async fn fetch(&mut self, schema_id: u32) -> Result<(), DecodeError> {
        if let Some(asked) = self.unknown.get(&schema_id)
            && asked.elapsed() < UNKNOWN_IS_REMEMBERED
        {
            return Err(DecodeError::Poison(Poison::UnknownSchema(schema_id)));
        }
        let answer = tokio::time::timeout(PATIENCE, get_schema_by_id(schema_id, &self.registry))
            .await
            .map_err(|_| DecodeError::Retry(format!("no answer in {PATIENCE:?}")))?;
        match answer {
            Ok(schema) => self
                .learn(schema_id, &schema.schema)
                .map_err(DecodeError::Poison),
            // The registry answered, and its answer was no: 404 with an error
            // code of its own. Anything else says nothing about the message.
            Err(error) if says_not_found(&error) => {
                if self.unknown.len() >= UNKNOWN_IDS_AT_MOST {
                    self.unknown.clear();
                }
                self.unknown.insert(schema_id, Instant::now());
                Err(DecodeError::Poison(Poison::UnknownSchema(schema_id)))
            }
            Err(error) => Err(DecodeError::Retry(error.to_string())),
        }
    }
}

/// Whether the registry itself says that it has no such schema.
///
/// By its own error code, not by HTTP's 404 and never by the text: a proxy
/// without a backend says 404 too, and a text holds addresses and ids.
fn says_not_found(error: &SRCError) -> bool {
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        if let Some(answer) = error.downcast_ref::<RawError>() {
            return answer.error_code == SCHEMA_NOT_FOUND;
        }
        cause = error.source();
    }
    false
}

/// Avro's errors print whole schemas; a dead letter's reason is a line.
fn short(error: &apache_avro::Error) -> String {
    let text = error.to_string();
    match text.char_indices().nth(300) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}
