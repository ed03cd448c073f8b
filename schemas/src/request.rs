//! What all requests have in common, and the hash that tells a duplicate from
//! a conflict.

use serde::{Deserialize, Serialize};

/// A 128-bit hash of a request's content.
///
/// 128 bits, because two contents under one id must be told apart even where
/// somebody searches for a collision.
pub type ContentHash = [u8; 16];

/// The outcome that a result event tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ResultStatus {
    /// All effects are committed.
    #[serde(rename = "COMPLETED")]
    Completed,
    /// A business answer; nothing moved.
    #[serde(rename = "REJECTED")]
    Rejected,
}

/// A request as it comes from a topic.
pub trait Request: Sized {
    /// The record's name in the contract.
    const RECORD: &'static str;
    /// `message_id` as the client wrote it.
    fn message_id(&self) -> &str;
    /// `correlation_id` as the client wrote it.
    fn correlation_id(&self) -> &str;
    /// Whole won, where the request has an amount.
    fn amount(&self) -> Option<i64>;
    /// The key of its record: what must be handled in order shares a key.
    fn key(&self) -> &str;
    /// Writes the content that makes two requests the same.
    ///
    /// `requested_at`, `correlation_id` and `causation_id` are left out: a
    /// client that tries again does so at another time and in another trace.
    fn canonical(&self, content: &mut Canonical);

    /// The hash of the canonical content.
    fn content_hash(&self) -> ContentHash {
        let mut content = Canonical::new(Self::RECORD);
        self.canonical(&mut content);
        content.finish()
    }
}

/// Collects a request's content, each field with its length, so that no two
/// different contents give the same bytes.
pub struct Canonical(Vec<u8>);

impl Canonical {
    fn new(record: &'static str) -> Self {
        let mut content = Self(Vec::with_capacity(160));
        content.text(record);
        content
    }

    /// Adds a text field.
    pub fn text(&mut self, value: &str) {
        self.0
            .extend_from_slice(&(value.len() as u64).to_le_bytes());
        self.0.extend_from_slice(value.as_bytes());
    }

    /// Adds a number.
    pub fn number(&mut self, value: i64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    fn finish(self) -> ContentHash {
        let mut hash = [0; 16];
        hash.copy_from_slice(&blake3::hash(&self.0).as_bytes()[..16]);
        hash
    }
}

/// Implements [`Request`]'s accessors for a record with the common fields.
macro_rules! common_fields {
    () => {
        fn message_id(&self) -> &str {
            &self.message_id
        }
        fn correlation_id(&self) -> &str {
            &self.correlation_id
        }
    };
}
pub(crate) use common_fields;
