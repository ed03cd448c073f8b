//! How long records stay, against how long ids are known.

use super::Lint;
use crate::topic::{Cleanup, Role, Topic};

pub(super) const REQUEST_WITHIN_HORIZON: Lint = Lint {
    id: "request-within-horizon",
    why: "a request that is read again after queue_log has forgotten its id could move the money twice",
    check: |plan, _| {
        // Kafka deletes whole closed segments by their youngest record, so the
        // oldest record of a segment lives for retention + segment.
        let wrong = with_role(&plan.topics, Role::Request)
            .filter(|topic| topic.retention + topic.segment > plan.queue_log_horizon);
        let problem = |topic: &Topic| {
            (
                topic.name.clone(),
                format!(
                    "retention {} and an open segment of {} may outlive queue_log_horizon {}",
                    topic.retention, topic.segment, plan.queue_log_horizon
                ),
            )
        };
        wrong.map(problem).collect()
    },
};

pub(super) const REQUEST_COVERS_REPLAY: Lint = Lint {
    id: "request-covers-replay",
    why: "a replay can only read what the topic still has",
    check: |plan, _| shorter_than_window(plan, Role::Request),
};

pub(super) const DLQ_COVERS_REPLAY: Lint = Lint {
    id: "dlq-covers-replay",
    why: "a dead letter must still be there when its cause has been mended",
    check: |plan, _| shorter_than_window(plan, Role::DeadLetter),
};

pub(super) const DELETE_ONLY: Lint = Lint {
    id: "delete-only",
    why: "compaction keeps the last record of a key, and a member's requests share a key",
    check: |plan, _| {
        let wrong = plan
            .topics
            .iter()
            .filter(|topic| topic.carries_money() && topic.cleanup != Cleanup::Delete);
        let problem = |topic: &Topic| {
            let message = format!(
                "cleanup {} would lose records; use delete",
                topic.cleanup.name()
            );
            (topic.name.clone(), message)
        };
        wrong.map(problem).collect()
    },
};

pub(super) const BROKER_TIME: Lint = Lint {
    id: "broker-time",
    why: "retention goes by the record's timestamp; with the client's clock a record may never expire, or at once",
    check: |plan, _| {
        const SETTING: &str = "message.timestamp.type";
        let wrong = plan.topics.iter().filter(|topic| {
            topic.carries_money()
                && topic.config.get(SETTING).map(String::as_str) != Some("LogAppendTime")
        });
        wrong
            .map(|topic| {
                (
                    topic.name.clone(),
                    format!("{SETTING} must be LogAppendTime"),
                )
            })
            .collect()
    },
};

fn with_role(topics: &[Topic], role: Role) -> impl Iterator<Item = &Topic> {
    topics.iter().filter(move |topic| topic.role == role)
}

fn shorter_than_window(plan: &crate::Plan, role: Role) -> Vec<super::Problem> {
    let wrong = with_role(&plan.topics, role).filter(|topic| topic.retention < plan.replay_window);
    let problem = |topic: &Topic| {
        let message = format!(
            "retention {} is shorter than replay_window {}",
            topic.retention, plan.replay_window
        );
        (topic.name.clone(), message)
    };
    wrong.map(problem).collect()
}
