//! The topic plan: `topics.yaml`, its lints, and a live cluster compared with it.
//!
//! A topic's shape is decided once and cannot be taken back later: a keyed
//! topic that grows breaks the order of its keys, a retention that is too long
//! outlives the memory of `queue_log`. So topics are designed in one file with
//! their reasons, and this crate alone creates them.
//!
//! * [`Plan`] is the file, resolved for a [`Profile`].
//! * [`lint`] checks a plan against itself and the schemas; no I/O.
//! * [`compare`] says what a cluster lacks; no I/O.
//! * [`Cluster`] reads a cluster and applies what was found lacking.
//!
//! Invariants: nothing on a cluster is ever deleted, and a setting that the plan
//! does not name is never touched.

mod cluster;
mod compare;
mod error;
mod file;
mod lint;
mod plan;
mod span;
mod topic;

pub use cluster::{Applied, Cluster};
pub use compare::{Comparison, Live, LiveTopic, LiveValue, Step, TopicSteps, compare};
pub use error::{ClusterError, PlanError};
pub use lint::{Finding, KnownSchema, LINTS, Lint, known_schemas, lint};
pub use plan::{Plan, Profile};
pub use span::Span;
pub use topic::{Cleanup, Key, Role, Topic};
