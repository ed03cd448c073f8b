//! Why an audit or a replay could not be done at all.

use mypay_schemas::decoder::DecodeError;
use rdkafka::error::KafkaError;

/// Nothing was found out: neither clean nor broken.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// Kafka failed.
    #[error("Kafka: {0}")]
    Kafka(#[from] KafkaError),
    /// The database failed.
    #[error("PostgreSQL: {0}")]
    Database(#[from] sqlx::Error),
    /// The database sent a COPY that is not what was asked for.
    #[error("PostgreSQL's COPY cannot be read: {0}")]
    Copy(&'static str),
    /// The registry did not answer, so that messages cannot be told from garbage.
    #[error("the schema registry: {0}")]
    Registry(String),
    /// A transaction of a producer stayed open: what lies behind it is not decided.
    #[error(
        "{topic}-{partition} has a transaction that stays open: offsets from {at} to {wanted} are not decided; is a consumer or an edge stuck?"
    )]
    OpenTransaction {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The last stable offset.
        at: i64,
        /// The high watermark.
        wanted: i64,
    },
    /// A partition stopped giving messages.
    #[error("{topic} gave no message for {seconds} s, though offsets up to its end are missing")]
    Silent {
        /// The topic.
        topic: String,
        /// How long it was waited for.
        seconds: u64,
    },
    /// A task was cut off.
    #[error("a task of the audit ended: {0}")]
    Task(#[from] tokio::task::JoinError),
    /// A thread of the audit panicked.
    #[error("a thread of the audit panicked")]
    Panicked,
    /// Not a topic that can be replayed.
    #[error("'{topic}' is no request topic; replay takes one of {}", .known.join(", "))]
    NotARequestTopic {
        /// What was asked for.
        topic: String,
        /// What there is.
        known: Vec<&'static str>,
    },
    /// No dead letter is meant.
    #[error("no dead letter {0}; `mypay dlq groups` lists those that there are")]
    NoSuchLetter(String),
    /// A message that is in no queue cannot be taken out of it.
    #[error(
        "{flow} has no parked message {message_id}; `mypay dlq groups` lists what is parked, and `mypay trace {message_id}` tells what became of it"
    )]
    NotParked {
        /// The flow.
        flow: mypay_schemas::Flow,
        /// The message.
        message_id: uuid::Uuid,
    },
    /// A key under which nothing waits.
    #[error(
        "{flow} has nothing parked under the key {key}; `mypay dlq groups` lists what is parked"
    )]
    KeyNotParked {
        /// The flow.
        flow: mypay_schemas::Flow,
        /// The key.
        key: String,
    },
    /// What was asked for is not complete.
    #[error("{0}")]
    Invalid(String),
    /// The range holds no instant.
    #[error("the range ends before it begins")]
    EmptyRange,
}

impl AuditError {
    /// A message could not be decoded because the registry could not be asked.
    pub(crate) fn registry(error: DecodeError) -> Self {
        Self::Registry(error.to_string())
    }
}
