//! One topic with every setting resolved.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

use crate::error::PlanError;
use crate::file::{Entry, File, Profile};
use crate::span::Span;

/// What a topic is for, told by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// `my.<flow>.request`
    Request,
    /// `my.<flow>.result`
    Result,
    /// `my.<flow>.reversal`
    Reversal,
    /// `my.<flow>.request.dlq`
    DeadLetter,
    /// Anything else: carries no money.
    Other,
}

/// What a record's key is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Key {
    /// The value's field of this name, as its bytes.
    Field(String),
    /// The same text for all records.
    Constant(String),
    /// The key of the record that was put aside.
    Original,
    /// No key: records may lie in any partition.
    None,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Key::Field(name) => name,
            Key::Constant(text) => return write!(f, "={text}"),
            Key::Original => "original",
            Key::None => "none",
        })
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(match text.as_str() {
            "original" => Key::Original,
            "none" => Key::None,
            other => match other.strip_prefix('=') {
                Some(constant) => Key::Constant(constant.to_owned()),
                None => Key::Field(text),
            },
        })
    }
}

/// Kafka's `cleanup.policy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cleanup {
    /// Old segments go.
    #[serde(rename = "delete")]
    Delete,
    /// The last record of each key stays.
    #[serde(rename = "compact")]
    Compact,
    /// Both.
    #[serde(rename = "compact,delete")]
    CompactDelete,
}

impl Cleanup {
    /// The value that Kafka knows.
    pub fn name(self) -> &'static str {
        match self {
            Cleanup::Delete => "delete",
            Cleanup::Compact => "compact",
            Cleanup::CompactDelete => "compact,delete",
        }
    }
}

/// One topic with all that the plan says of it.
#[derive(Debug, Clone, Serialize)]
pub struct Topic {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub role: Role,
    /// Number of partitions.
    pub partitions: i32,
    /// Number of replicas of each partition.
    pub replication_factor: i32,
    /// Replicas that must have a record before it is acknowledged (`acks=all`).
    pub min_insync_replicas: i32,
    /// How long records are kept.
    pub retention: Span,
    /// How long a segment stays open; records may outlive `retention` by this.
    pub segment: Span,
    /// What happens to old records.
    pub cleanup: Cleanup,
    /// What the record's key is; `None` where the plan does not say (a lint).
    pub key: Option<Key>,
    /// The Avro record of the values; `None` for bytes of any kind.
    pub schema: Option<String>,
    /// The service that answers for it.
    pub owner: String,
    /// Why it is what it is.
    pub why: String,
    /// The other Kafka settings.
    pub config: BTreeMap<String, String>,
}

impl Topic {
    /// The nearest word wins: the profile's on the topic, the topic's own, the
    /// profile's on the class, the class's.
    pub(crate) fn resolve(
        file: &File,
        profile: &Profile,
        name: String,
        entry: Entry,
    ) -> Result<Self, PlanError> {
        let class = file.class(&entry.class, &format!("topic {name}"))?;
        let on_class = profile
            .classes
            .get(&entry.class)
            .cloned()
            .unwrap_or_default();
        let on_topic = profile.topics.get(&name).cloned().unwrap_or_default();
        let mut config = class.config.clone();
        config.extend(entry.config);
        Ok(Topic {
            role: Role::of(&name),
            partitions: on_topic.partitions.unwrap_or(entry.partitions),
            replication_factor: entry.replication_factor.unwrap_or(class.replication_factor),
            min_insync_replicas: entry
                .min_insync_replicas
                .unwrap_or(class.min_insync_replicas),
            retention: on_topic
                .retention
                .or(entry.retention)
                .or(on_class.retention)
                .unwrap_or(class.retention),
            segment: on_topic
                .segment
                .or(entry.segment)
                .or(on_class.segment)
                .unwrap_or(class.segment),
            cleanup: entry.cleanup.unwrap_or(class.cleanup),
            key: entry.key,
            schema: entry.schema,
            owner: entry.owner.unwrap_or_default(),
            why: entry.why.unwrap_or_default(),
            config,
            name,
        })
    }

    /// Whether money hangs on its records.
    pub fn carries_money(&self) -> bool {
        self.role != Role::Other
    }

    /// Whether the partition of a record follows from its key, so that another
    /// number of partitions would put a key's later records elsewhere.
    pub fn is_keyed(&self) -> bool {
        !matches!(self.key, Some(Key::None))
    }

    /// Every setting of the topic under Kafka's name for it.
    pub fn settings(&self) -> BTreeMap<String, String> {
        let mut settings = self.config.clone();
        settings.insert("cleanup.policy".into(), self.cleanup.name().into());
        settings.insert(
            "min.insync.replicas".into(),
            self.min_insync_replicas.to_string(),
        );
        settings.insert(
            "retention.ms".into(),
            self.retention.as_millis().to_string(),
        );
        settings.insert("segment.ms".into(), self.segment.as_millis().to_string());
        settings
    }
}

impl Role {
    fn of(name: &str) -> Self {
        match name.split('.').skip(2).collect::<Vec<_>>().as_slice() {
            ["request"] => Role::Request,
            ["result"] => Role::Result,
            ["reversal"] => Role::Reversal,
            ["request", "dlq"] => Role::DeadLetter,
            _ => Role::Other,
        }
    }
}
