//! What is done to the cluster: one request for each kind of step.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::admin::{NewPartitions, NewTopic, TopicReplication, TopicResult};
use rdkafka::metadata::Metadata;

use super::{Cluster, REQUEST, incremental, options};
use crate::compare::{Comparison, Step};
use crate::error::ClusterError;
use crate::plan::Plan;
use crate::topic::Topic;

/// How long partitions may stay without a leader after their topic was made.
const LEADERS: Duration = Duration::from_secs(30);

impl Cluster {
    /// Creates what is missing, in one request.
    pub(super) async fn create(
        &self,
        plan: &Plan,
        found: &Comparison,
    ) -> Result<bool, ClusterError> {
        const DOING: &str = "create topics";
        let missing = found
            .topics
            .iter()
            .filter(|entry| entry.steps.contains(&Step::Create));
        let missing: Vec<&Topic> = missing
            .filter_map(|entry| plan.topic(&entry.topic))
            .collect();
        if missing.is_empty() {
            return Ok(false);
        }
        let settings: Vec<_> = missing.iter().map(|topic| topic.settings()).collect();
        let new: Vec<NewTopic<'_>> = missing
            .iter()
            .zip(&settings)
            .map(|(topic, settings)| {
                let replication = TopicReplication::Fixed(topic.replication_factor);
                let new = NewTopic::new(&topic.name, topic.partitions, replication);
                settings
                    .iter()
                    .fold(new, |new, (name, value)| new.set(name, value))
            })
            .collect();
        let results = self
            .admin
            .create_topics(&new, &options())
            .await
            .map_err(|source| ClusterError::Request {
                doing: DOING,
                source,
            })?;
        all_done(DOING, results)
    }

    /// Sets what differs, in one request, and nothing else.
    pub(super) async fn set(&self, found: &Comparison) -> Result<bool, ClusterError> {
        let to_set = |entry: &crate::TopicSteps| {
            let settings = entry.steps.iter().filter_map(|step| match step {
                Step::Set { name, to, .. } => Some((name.clone(), to.clone())),
                _ => None,
            });
            incremental::Change {
                topic: entry.topic.clone(),
                settings: settings.collect(),
            }
        };
        let changes = found
            .topics
            .iter()
            .map(to_set)
            .filter(|change| !change.settings.is_empty());
        let changes: Vec<_> = changes.collect();
        if changes.is_empty() {
            return Ok(false);
        }
        let admin = Arc::clone(&self.admin);
        let blocking = move || incremental::alter(admin.inner(), &changes, REQUEST);
        tokio::task::spawn_blocking(blocking)
            .await
            .map_err(|_| ClusterError::Stopped)??;
        Ok(true)
    }

    /// Adds partitions to topics without a key, in one request.
    pub(super) async fn grow(&self, found: &Comparison) -> Result<bool, ClusterError> {
        const DOING: &str = "add partitions";
        let grow = found.topics.iter().flat_map(|entry| {
            entry.steps.iter().filter_map(|step| match step {
                Step::Grow { to, .. } => Some((entry.topic.as_str(), usize::try_from(*to).ok()?)),
                _ => None,
            })
        });
        let grow: Vec<_> = grow
            .map(|(topic, to)| NewPartitions::new(topic, to))
            .collect();
        if grow.is_empty() {
            return Ok(false);
        }
        let results = self
            .admin
            .create_partitions(&grow, &options())
            .await
            .map_err(|source| ClusterError::Request {
                doing: DOING,
                source,
            })?;
        all_done(DOING, results)
    }

    /// Creation returns when the controller has written it down; producers fail
    /// until the brokers know it too.
    pub(super) async fn wait_for_leaders(
        &self,
        plan: &Plan,
        found: &Comparison,
    ) -> Result<(), ClusterError> {
        let changes_shape = |step: &Step| matches!(step, Step::Create | Step::Grow { .. });
        let changed = found
            .topics
            .iter()
            .filter(|entry| entry.steps.iter().any(changes_shape));
        let changed: BTreeSet<&str> = changed.map(|entry| entry.topic.as_str()).collect();
        if changed.is_empty() {
            return Ok(());
        }
        let deadline = Instant::now() + LEADERS;
        loop {
            let metadata = self.metadata(REQUEST).await?;
            let waiting = plan
                .topics
                .iter()
                .filter(|topic| changed.contains(topic.name.as_str()) && !is_led(&metadata, topic));
            let topics: Vec<String> = waiting.map(|topic| topic.name.clone()).collect();
            if topics.is_empty() {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(ClusterError::NoLeader {
                    topics,
                    waited_seconds: LEADERS.as_secs(),
                });
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

fn is_led(metadata: &Metadata, topic: &Topic) -> bool {
    let found = metadata
        .topics()
        .iter()
        .find(|found| found.name() == topic.name);
    found.is_some_and(|found| {
        found.error().is_none()
            && i32::try_from(found.partitions().len()).is_ok_and(|count| count >= topic.partitions)
            && found
                .partitions()
                .iter()
                .all(|part| part.leader() >= 0 && part.error().is_none())
    })
}

fn all_done(doing: &'static str, results: Vec<TopicResult>) -> Result<bool, ClusterError> {
    let failed = results.into_iter().filter_map(Result::err);
    let reasons: Vec<String> = failed
        .map(|(topic, code)| format!("{topic}: {code}"))
        .collect();
    if reasons.is_empty() {
        Ok(true)
    } else {
        Err(ClusterError::Topics { doing, reasons })
    }
}
