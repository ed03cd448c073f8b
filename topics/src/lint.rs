//! Checks of a plan against itself and against the schemas. Pure: no cluster.
//!
//! Each lint has an id, which is what a finding and a commit message name.

mod durability;
mod meaning;
mod shape;
mod time;

use std::fmt;

use mypay_schemas::SUBJECTS;
use serde::Serialize;

use crate::plan::Plan;

/// A schema that the release carries, as far as the lints need it.
#[derive(Debug, Clone)]
pub struct KnownSchema {
    /// The topic whose values it describes.
    pub topic: String,
    /// The record's name.
    pub record: String,
    /// The names of its fields.
    pub fields: Vec<String>,
}

/// One broken rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The lint's id.
    pub lint: &'static str,
    /// The topic that breaks it.
    pub topic: String,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}] {}: {}", self.lint, self.topic, self.message)
    }
}

/// A rule.
pub struct Lint {
    /// Its name, stable.
    pub id: &'static str,
    /// Why the rule is there.
    pub why: &'static str,
    check: fn(&Plan, &[KnownSchema]) -> Vec<Problem>,
}

/// A topic and what is wrong with it, before it is known by which rule.
type Problem = (String, String);

/// Every rule.
pub const LINTS: &[Lint] = &[
    durability::MONEY_REPLICATION,
    durability::MIN_ISR_BELOW_RF,
    durability::CLEAN_ELECTION,
    shape::NAMING,
    shape::DLQ_TWIN,
    shape::CO_PARTITIONED,
    shape::PARTITIONS_POSITIVE,
    shape::DLQ_FITS,
    time::REQUEST_WITHIN_HORIZON,
    time::REQUEST_COVERS_REPLAY,
    time::DLQ_COVERS_REPLAY,
    time::DELETE_ONLY,
    time::BROKER_TIME,
    meaning::SCHEMA_PRESENT,
    meaning::KEY_PRESENT,
    meaning::WHY_PRESENT,
    meaning::OWNER_PRESENT,
];

/// Runs every rule over a plan.
pub fn lint(plan: &Plan, schemas: &[KnownSchema]) -> Vec<Finding> {
    let findings_of = |lint: &Lint| {
        let id = lint.id;
        let found = (lint.check)(plan, schemas).into_iter();
        found.map(move |(topic, message)| Finding {
            lint: id,
            topic,
            message,
        })
    };
    LINTS.iter().flat_map(findings_of).collect()
}

/// The schemas of this release.
///
/// An `.avsc` that is no JSON shows as a schema without fields here; what is
/// wrong with it is told by `mypay schemas check`.
pub fn known_schemas() -> Vec<KnownSchema> {
    let fields = |text: &str| -> Option<Vec<String>> {
        let schema: serde_json::Value = serde_json::from_str(text).ok()?;
        let names = schema.get("fields")?.as_array()?.iter();
        Some(
            names
                .filter_map(|field| Some(field.get("name")?.as_str()?.to_owned()))
                .collect(),
        )
    };
    let known = |subject: &mypay_schemas::Subject| KnownSchema {
        topic: subject.topic.to_owned(),
        record: subject.record.to_owned(),
        fields: fields(subject.schema).unwrap_or_default(),
    };
    SUBJECTS.iter().map(known).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
