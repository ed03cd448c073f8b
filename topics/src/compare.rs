//! What a cluster lacks to be as planned. Pure: both sides are given.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;

use crate::plan::Plan;
use crate::topic::Topic;

/// A cluster as it was found.
#[derive(Debug, Clone, Default)]
pub struct Live {
    /// The number of brokers that are up.
    pub brokers: usize,
    /// Every topic.
    pub topics: BTreeMap<String, LiveTopic>,
}

/// A topic as it was found.
#[derive(Debug, Clone, Default)]
pub struct LiveTopic {
    /// Number of partitions.
    pub partitions: i32,
    /// The different numbers of replicas that its partitions have; more than one
    /// while, or after, somebody moved only some of them.
    pub replicas: BTreeSet<usize>,
    /// Its settings; empty where they were not asked for.
    pub settings: BTreeMap<String, LiveValue>,
}

/// A setting as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveValue {
    /// What holds.
    pub value: String,
    /// Whether it was set on the topic itself, rather than on the brokers.
    pub on_topic: bool,
}

/// One thing to do, or not to be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum Step {
    /// The topic is not there.
    Create,
    /// A setting differs.
    Set {
        /// Kafka's name for it.
        name: String,
        /// What holds on the cluster.
        from: String,
        /// What the plan says.
        to: String,
    },
    /// The topic has no key, so it can grow.
    Grow {
        /// Partitions on the cluster.
        from: i32,
        /// Partitions in the plan.
        to: i32,
    },
    /// Different, but not to be changed by a tool.
    Refuse {
        /// What differs.
        what: String,
        /// What is on the cluster.
        from: String,
        /// What the plan says.
        to: String,
        /// Why it is refused, and what a human can do.
        reason: String,
    },
}

/// The steps for one topic; none where it is as planned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TopicSteps {
    /// Its name.
    pub topic: String,
    /// What to do.
    pub steps: Vec<Step>,
}

/// A plan set against a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Comparison {
    /// Every topic of the plan, in its order.
    pub topics: Vec<TopicSteps>,
    /// Topics of ours (`my.`) on the cluster that the plan does not know. They
    /// are told, never touched, and are no drift: a bench makes some of its own.
    pub unplanned: Vec<String>,
}

impl Comparison {
    /// Whether the cluster is as planned.
    pub fn is_as_planned(&self) -> bool {
        self.topics.iter().all(|topic| topic.steps.is_empty())
    }

    /// Whether something differs that a tool must not change.
    pub fn has_refusals(&self) -> bool {
        let mut steps = self.topics.iter().flat_map(|topic| &topic.steps);
        steps.any(|step| matches!(step, Step::Refuse { .. }))
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Create => write!(f, "create"),
            Step::Set { name, from, to } => write!(f, "set {name}: {from} -> {to}"),
            Step::Grow { from, to } => write!(f, "grow partitions: {from} -> {to}"),
            Step::Refuse {
                what,
                from,
                to,
                reason,
            } => {
                write!(f, "refused {what}: {from} -> {to}: {reason}")
            }
        }
    }
}

/// Compares a plan with a cluster.
pub fn compare(plan: &Plan, live: &Live) -> Comparison {
    let steps = |topic: &Topic| TopicSteps {
        topic: topic.name.clone(),
        steps: match live.topics.get(&topic.name) {
            Some(found) => differences(topic, found),
            None => vec![creation(topic, live.brokers)],
        },
    };
    let ours = live.topics.keys().filter(|name| name.starts_with("my."));
    Comparison {
        topics: plan.topics.iter().map(steps).collect(),
        unplanned: ours
            .filter(|name| plan.topic(name).is_none())
            .cloned()
            .collect(),
    }
}

fn creation(topic: &Topic, brokers: usize) -> Step {
    // Kafka would refuse it too, but with a code and no word of what to do.
    if (brokers as i64) < i64::from(topic.replication_factor) {
        return Step::Refuse {
            what: "creation".to_owned(),
            from: format!("{brokers} brokers up"),
            to: format!("RF {}", topic.replication_factor),
            reason: "start the missing brokers first".to_owned(),
        };
    }
    Step::Create
}

fn differences(topic: &Topic, found: &LiveTopic) -> Vec<Step> {
    let planned = topic.settings();
    let settings = planned.iter().filter_map(|(name, to)| {
        let from = found
            .settings
            .get(name)
            .map_or("", |live| live.value.as_str());
        (from != to).then(|| Step::Set {
            name: name.clone(),
            from: from.to_owned(),
            to: to.clone(),
        })
    });
    let foreign = found
        .settings
        .iter()
        .filter(|(name, live)| live.on_topic && !planned.contains_key(*name) && !is_passing(name));
    let by_hand = foreign.map(|(name, live)| Step::Refuse {
        what: name.clone(),
        from: live.value.clone(),
        to: "not in the plan".to_owned(),
        reason: format!(
            "set by hand; add it to topics.yaml, or take it off with \
             `kafka-configs.sh --alter --topic {} --delete-config {name}`",
            topic.name
        ),
    });
    let shape = partitions(topic, found)
        .into_iter()
        .chain(replication(topic, found));
    shape.chain(settings).chain(by_hand).collect()
}

fn partitions(topic: &Topic, found: &LiveTopic) -> Option<Step> {
    let refuse = |reason: &str| Step::Refuse {
        what: "partitions".to_owned(),
        from: found.partitions.to_string(),
        to: topic.partitions.to_string(),
        reason: reason.to_owned(),
    };
    match found.partitions.cmp(&topic.partitions) {
        std::cmp::Ordering::Equal => None,
        std::cmp::Ordering::Greater => Some(refuse(
            "Kafka cannot take partitions away; make a new topic and move the readers over",
        )),
        std::cmp::Ordering::Less if topic.is_keyed() => Some(refuse(
            "its records are keyed: with more partitions the later records of a key would lie \
             elsewhere and overtake the earlier ones; make a new topic and drain this one first",
        )),
        std::cmp::Ordering::Less => Some(Step::Grow {
            from: found.partitions,
            to: topic.partitions,
        }),
    }
}

fn replication(topic: &Topic, found: &LiveTopic) -> Option<Step> {
    let planned = BTreeSet::from([usize::try_from(topic.replication_factor).unwrap_or(0)]);
    let list = |counts: &BTreeSet<usize>| {
        counts
            .iter()
            .map(usize::to_string)
            .collect::<Vec<_>>()
            .join(" and ")
    };
    (found.replicas != planned).then(|| Step::Refuse {
        what: "RF".to_owned(),
        from: list(&found.replicas),
        to: topic.replication_factor.to_string(),
        reason: "moving replicas copies whole partitions and wants a throttle; \
                 use `kafka-reassign-partitions.sh`"
            .to_owned(),
    })
}

/// Settings that Kafka's own tools put on a topic while they move replicas.
fn is_passing(name: &str) -> bool {
    matches!(
        name,
        "leader.replication.throttled.replicas" | "follower.replication.throttled.replicas"
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
