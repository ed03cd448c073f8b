//! Names, twins and partitions.

use super::{Lint, Problem};
use crate::topic::{Role, Topic};

pub(super) const NAMING: Lint = Lint {
    id: "naming",
    why: "access rules, dashboards and the tools go by the names; `_` and `.` also collide in metric names",
    check: |plan, _| {
        let wrong = plan
            .topics
            .iter()
            .filter(|topic| !is_well_named(&topic.name));
        let problem = |topic: &Topic| {
            (
                topic.name.clone(),
                "a name is my.<flow>.request, .result or .request.dlq, or my.<area>.<word>.., \
                 in lower-case words of a-z"
                    .to_owned(),
            )
        };
        wrong.map(problem).collect()
    },
};

pub(super) const DLQ_TWIN: Lint = Lint {
    id: "dlq-twin",
    why: "without one, a record that can never work stops its partition for ever",
    check: |plan, _| {
        let requests = plan
            .topics
            .iter()
            .filter(|topic| topic.role == Role::Request);
        let lonely = requests.filter(|topic| plan.topic(&format!("{}.dlq", topic.name)).is_none());
        let no_twin = lonely.map(|topic| {
            (
                topic.name.clone(),
                format!("there is no {}.dlq", topic.name),
            )
        });
        let dead_letters = plan
            .topics
            .iter()
            .filter(|topic| topic.role == Role::DeadLetter);
        let orphans = dead_letters.filter(|topic| {
            topic
                .name
                .strip_suffix(".dlq")
                .is_none_or(|request| plan.topic(request).is_none())
        });
        let no_request = orphans.map(|topic| {
            (
                topic.name.clone(),
                "there is no request topic that fills it".to_owned(),
            )
        });
        no_twin.chain(no_request).collect()
    },
};

pub(super) const CO_PARTITIONED: Lint = Lint {
    id: "co-partitioned",
    why: "who joins requests with results reads the partitions of the same number; both go by one key and one clock",
    check: |plan, _| {
        let pairs = plan
            .topics
            .iter()
            .filter(|topic| topic.role == Role::Request)
            .filter_map(|request| {
                let flow = request.name.strip_suffix(".request")?;
                Some((request, plan.topic(&format!("{flow}.result"))))
            });
        pairs
            .flat_map(|(request, result)| unlike(request, result))
            .collect()
    },
};

pub(super) const PARTITIONS_POSITIVE: Lint = Lint {
    id: "partitions-positive",
    why: "a topic has at least one partition",
    check: |plan, _| {
        let wrong = plan.topics.iter().filter(|topic| topic.partitions < 1);
        wrong
            .map(|topic| {
                (
                    topic.name.clone(),
                    format!("{} partitions", topic.partitions),
                )
            })
            .collect()
    },
};

pub(super) const DLQ_FITS: Lint = Lint {
    id: "dlq-fits",
    why: "a dead letter is the whole request with headers; if it does not fit, the partition stops on it",
    check: |plan, _| {
        let requests = plan
            .topics
            .iter()
            .filter(|topic| topic.role == Role::Request);
        let too_small = requests.filter_map(|request| {
            let twin = plan.topic(&format!("{}.dlq", request.name))?;
            let (limit, needed) = (message_limit(twin), message_limit(request));
            (limit <= needed).then(|| {
                let message = format!(
                    "max.message.bytes {limit} leaves no room for the headers over the requests' {needed}"
                );
                (twin.name.clone(), message)
            })
        });
        too_small.collect()
    },
};

/// Kafka's own limit where the plan states none.
const DEFAULT_MAX_MESSAGE_BYTES: u64 = 1_048_588;

fn message_limit(topic: &Topic) -> u64 {
    let stated = topic
        .config
        .get("max.message.bytes")
        .and_then(|text| text.parse().ok());
    stated.unwrap_or(DEFAULT_MAX_MESSAGE_BYTES)
}

fn is_well_named(name: &str) -> bool {
    let words: Vec<&str> = name.split('.').collect();
    let plain =
        |word: &&str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase());
    let reserved = |word: &&str| matches!(*word, "request" | "result" | "dlq");
    words.first() == Some(&"my")
        && words.len() >= 3
        && words.iter().all(plain)
        // A reserved word in any other place reads like a role that the topic has not.
        && match words[2..] {
            ["request"] | ["result"] | ["request", "dlq"] => !reserved(&words[1]),
            _ => !words.iter().any(reserved),
        }
}

fn unlike(request: &Topic, result: Option<&Topic>) -> Vec<Problem> {
    let Some(result) = result else {
        return vec![(
            request.name.clone(),
            "there is no result topic of this flow".to_owned(),
        )];
    };
    let pairs = [
        (
            "partitions",
            request.partitions.to_string(),
            result.partitions.to_string(),
        ),
        (
            "RF",
            request.replication_factor.to_string(),
            result.replication_factor.to_string(),
        ),
        (
            "retention",
            request.retention.to_string(),
            result.retention.to_string(),
        ),
    ];
    let different = pairs.into_iter().filter(|(_, theirs, ours)| theirs != ours);
    different
        .map(|(what, theirs, ours)| {
            let message = format!("{what} {ours}, but {theirs} on {}", request.name);
            (result.name.clone(), message)
        })
        .collect()
}
