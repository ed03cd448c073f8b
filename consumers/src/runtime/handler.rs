//! What a flow says about its messages.

use std::time::Duration;

use chrono::{DateTime, Utc};
use mypay_idempotency::queue_log::Outcome;
use mypay_idempotency::transaction::Event;
use mypay_ledger::WriteError;
use mypay_schemas::decoder::{Decoder, Poison};
use mypay_schemas::encoders::EncodersError;
use mypay_schemas::{ContentHash, Flow};
use rdkafka::message::{Headers, OwnedHeaders};
use sqlx::PgConnection;
use uuid::Uuid;

/// A message that was decoded, with where it came from.
#[derive(Debug)]
pub struct Arrived<M> {
    /// Its id.
    pub id: Uuid,
    /// Hash of its canonical content.
    pub content_hash: ContentHash,
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// When it was put on the topic.
    pub created_at: DateTime<Utc>,
    /// W3C trace context, where it had one.
    pub traceparent: Option<String>,
    /// What it says.
    pub message: M,
    /// Its bytes, for the dead letters.
    pub raw: Raw,
}

/// A message's bytes as they came.
#[derive(Debug, Default)]
pub struct Raw {
    /// The record's key.
    pub key: Option<Box<[u8]>>,
    /// The record's value.
    pub payload: Box<[u8]>,
    /// The record's headers.
    pub headers: Option<OwnedHeaders>,
}

impl Raw {
    /// How much memory it holds, headers included.
    pub fn bytes(&self) -> usize {
        let headers = self.headers.iter().flat_map(Headers::iter);
        self.payload.len()
            + self.key.as_ref().map_or(0, |key| key.len())
            + headers
                .map(|header| header.key.len() + header.value.map_or(0, <[u8]>::len))
                .sum::<usize>()
    }
}

/// What a flow makes of a message.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// It is handled, with this outcome: claimed, and answered.
    Handled(Outcome),
    /// It is none of ours to answer, and leaves no trace: claiming its id would
    /// let whoever forged it keep the real message out.
    Ignored,
    /// It can never work, and is not claimed, for the same reason.
    Dead(&'static str),
}

/// What identifies a message.
pub struct Identity<'a> {
    /// As the client wrote it.
    pub message_id: &'a str,
    /// As the client wrote it.
    pub correlation_id: &'a str,
    /// Hash of the canonical content.
    pub content_hash: ContentHash,
}

/// A flow: what happens to its messages.
///
/// `load` and `write` are I/O, once a batch; `decide` and `events` are pure.
pub trait Handler: Send + Sync + 'static {
    /// A decoded message of any of the flow's topics.
    type Message: Send + Sync + 'static;
    /// What was loaded for a batch, and what its decisions change.
    type State: Send;

    /// The flow, whose name is the consumer's in `queue_log`.
    const FLOW: Flow;
    /// Topics besides the flow's requests.
    const OTHER_TOPICS: &'static [&'static str] = &[];
    /// How many messages are decided in one commit at the most.
    const BATCH: usize = 4_000;
    /// How long a commit may take before its connection is given up.
    const PATIENCE: Duration = Duration::from_secs(90);

    /// Reads a message; `None` where the decoder must first fetch its schema.
    /// `Ok(None)`: the message does not concern this flow.
    #[allow(clippy::type_complexity)]
    fn decode(
        decoder: &Decoder,
        topic: &str,
        payload: &[u8],
    ) -> Option<Result<Option<Self::Message>, Poison>>;

    /// What identifies a message.
    fn identity(message: &Self::Message) -> Identity<'_>;

    /// What must be handled in order shares a key.
    fn key(message: &Self::Message) -> &str;

    /// Whether a message follows from an earlier one of ours, as a bank's answer
    /// does. Only such a message may have an id that we derive (version 8), so
    /// that nobody can take the id of one that is to come; and it must not be
    /// turned away for its age, since a bank may take weeks.
    fn follows(message: &Self::Message) -> bool;

    /// Whether a message must be the last of its batch: what comes after it
    /// sees what it wrote.
    fn alone(_message: &Self::Message) -> bool {
        false
    }

    /// Loads what the decisions of a batch need. With `lock`, what they change
    /// stays locked until the commit.
    fn load(
        &self,
        connection: &mut PgConnection,
        batch: &[&Arrived<Self::Message>],
        at: DateTime<Utc>,
        lock: bool,
    ) -> impl Future<Output = Result<Self::State, sqlx::Error>> + Send;

    /// Decides on one message, in the order of the offsets.
    fn decide(
        &self,
        state: &mut Self::State,
        arrived: &Arrived<Self::Message>,
        at: DateTime<Utc>,
    ) -> Verdict;

    /// Writes what the decisions changed.
    fn write(
        &self,
        connection: &mut PgConnection,
        state: Self::State,
        at: DateTime<Utc>,
    ) -> impl Future<Output = Result<(), WriteError>> + Send;

    /// The events that a message and its outcome give: the same two, the same
    /// bytes, however often.
    fn events(
        &self,
        arrived: &Arrived<Self::Message>,
        outcome: &Outcome,
    ) -> Result<Vec<Event>, EncodersError>;
}
