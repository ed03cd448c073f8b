//! What can go wrong, and who must act.
//!
//! A cause that is a `source` is not repeated in the message: whoever prints the
//! error prints the chain.

use rdkafka::error::KafkaError;

/// The plan cannot be read: whoever edits `topics.yaml` must act.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The file as a whole is no plan.
    #[error("the plan cannot be read")]
    File(#[source] serde_norway::Error),
    /// One topic's entry is wrong.
    #[error("topic {topic}")]
    Topic {
        /// The topic's name.
        topic: String,
        /// What is wrong with its entry.
        #[source]
        source: serde_norway::Error,
    },
    /// A topic, or a profile, names a class that is not there.
    #[error("{place}: there is no class `{class}`; there are: {known}")]
    UnknownClass {
        /// Who names it.
        place: String,
        /// The name.
        class: String,
        /// The classes that there are.
        known: String,
    },
    /// A profile changes a topic that is not in the plan.
    #[error("profile {profile}: there is no topic `{topic}` to override")]
    UnknownTopic {
        /// The profile.
        profile: String,
        /// The topic it names.
        topic: String,
    },
    /// The wanted profile is not in the plan.
    #[error("the plan has no profile `{0}`")]
    UnknownProfile(String),
}

/// The cluster cannot be read or changed: whoever runs it must act.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// The address or a setting was refused before anything was sent.
    #[error("no Kafka client for {bootstrap}")]
    Client {
        /// The bootstrap servers.
        bootstrap: String,
        /// What the client said.
        #[source]
        source: KafkaError,
    },
    /// No broker answered.
    #[error(
        "no Kafka broker answers at {bootstrap} ({reason}); is the stack up? `mypay stack status`; \
         brokers that ask for TLS or a password want a file of properties in {PROPERTIES}",
        PROPERTIES = mypay_kafka::PROPERTIES
    )]
    Unreachable {
        /// The bootstrap servers.
        bootstrap: String,
        /// What the client said.
        reason: String,
    },
    /// A whole request failed.
    #[error("could not {doing}")]
    Request {
        /// What was asked.
        doing: &'static str,
        /// What came back.
        #[source]
        source: KafkaError,
    },
    /// A request failed for some topics; it may have succeeded for others.
    #[error("could not {doing}: {}", reasons.join("; "))]
    Topics {
        /// What was asked.
        doing: &'static str,
        /// `topic: reason` for each that failed.
        reasons: Vec<String>,
    },
    /// The native client could not be used as it is documented.
    #[error("librdkafka: {0}")]
    Native(String),
    /// Topics exist, but nobody leads some of their partitions.
    #[error("after {waited_seconds} s these topics still have partitions without a leader: {}", topics.join(", "))]
    NoLeader {
        /// The topics.
        topics: Vec<String>,
        /// How long was waited.
        waited_seconds: u64,
    },
    /// The blocking part of a request was torn down with the runtime.
    #[error("the runtime stopped before Kafka answered")]
    Stopped,
}
