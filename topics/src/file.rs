//! `topics.yaml` as it is written, before classes and profiles are resolved.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::error::PlanError;
use crate::span::Span;
use crate::topic::{Cleanup, Key};

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct File {
    pub(crate) queue_log_horizon: Span,
    pub(crate) replay_window: Span,
    pub(crate) classes: BTreeMap<String, Class>,
    pub(crate) profiles: BTreeMap<String, Profile>,
    /// Kept raw, so that an error in an entry can be told with the topic's name.
    topics: serde_norway::Mapping,
}

/// What the topics of a class have in common.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Class {
    pub(crate) replication_factor: i32,
    pub(crate) min_insync_replicas: i32,
    pub(crate) retention: Span,
    pub(crate) segment: Span,
    pub(crate) cleanup: Cleanup,
    #[serde(default)]
    pub(crate) config: BTreeMap<String, String>,
}

/// One topic. What the class says holds where the entry is silent.
///
/// `key`, `owner` and `why` may be missing here: that is a lint's business,
/// which has an id and an explanation, and not the parser's.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entry {
    pub(crate) class: String,
    pub(crate) partitions: i32,
    pub(crate) key: Option<Key>,
    pub(crate) schema: Option<String>,
    pub(crate) owner: Option<String>,
    pub(crate) why: Option<String>,
    pub(crate) replication_factor: Option<i32>,
    pub(crate) min_insync_replicas: Option<i32>,
    pub(crate) retention: Option<Span>,
    pub(crate) segment: Option<Span>,
    pub(crate) cleanup: Option<Cleanup>,
    #[serde(default)]
    pub(crate) config: BTreeMap<String, String>,
}

/// What is different in one environment. Replication is not among it: money is
/// as safe on a developer's machine as in production, or the tests show nothing.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Profile {
    #[serde(default)]
    pub(crate) classes: BTreeMap<String, ClassOverride>,
    #[serde(default)]
    pub(crate) topics: BTreeMap<String, TopicOverride>,
}

/// A profile's changes to a class.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClassOverride {
    pub(crate) retention: Option<Span>,
    pub(crate) segment: Option<Span>,
}

/// A profile's changes to a topic.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TopicOverride {
    pub(crate) partitions: Option<i32>,
    pub(crate) retention: Option<Span>,
    pub(crate) segment: Option<Span>,
}

impl File {
    /// Reads the file.
    pub(crate) fn parse(yaml: &str) -> Result<Self, PlanError> {
        serde_norway::from_str(yaml).map_err(PlanError::File)
    }

    /// The topics in the order of the file.
    pub(crate) fn entries(&self) -> Result<Vec<(String, Entry)>, PlanError> {
        let read = |(name, entry): (&serde_norway::Value, &serde_norway::Value)| {
            let topic: String = serde_norway::from_value(name.clone()).map_err(PlanError::File)?;
            let entry =
                serde_norway::from_value(entry.clone()).map_err(|source| PlanError::Topic {
                    topic: topic.clone(),
                    source,
                })?;
            Ok((topic, entry))
        };
        self.topics.iter().map(read).collect()
    }

    /// A class by name, or who asked for it and what there is.
    pub(crate) fn class(&self, name: &str, place: &str) -> Result<&Class, PlanError> {
        self.classes
            .get(name)
            .ok_or_else(|| PlanError::UnknownClass {
                place: place.to_owned(),
                class: name.to_owned(),
                known: self.classes.keys().cloned().collect::<Vec<_>>().join(", "),
            })
    }
}
