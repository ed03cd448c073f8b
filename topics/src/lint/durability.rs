//! What an acknowledged record survives.

use super::Lint;

pub(super) const MONEY_REPLICATION: Lint = Lint {
    id: "money-replication",
    why: "with RF 3 and min ISR 2 an acknowledged record survives any one broker, and writing goes on without it",
    check: |plan, _| {
        let money = plan.topics.iter().filter(|topic| topic.carries_money());
        let wrong = money.filter(|topic| {
            topic.replication_factor < 3
                || topic.min_insync_replicas != topic.replication_factor - 1
        });
        let problem = |topic: &crate::Topic| {
            (
                topic.name.clone(),
                format!(
                    "RF {} with min ISR {}: a topic that carries money has RF 3 or more and min ISR one less",
                    topic.replication_factor, topic.min_insync_replicas
                ),
            )
        };
        wrong.map(problem).collect()
    },
};

pub(super) const MIN_ISR_BELOW_RF: Lint = Lint {
    id: "min-isr-below-rf",
    why: "with min ISR = RF the restart of a single broker stops all writing",
    check: |plan, _| {
        let wrong = plan.topics.iter().filter(|topic| {
            topic.min_insync_replicas < 1 || topic.min_insync_replicas >= topic.replication_factor
        });
        let problem = |topic: &crate::Topic| {
            (
                topic.name.clone(),
                format!(
                    "min ISR {} must be at least 1 and less than RF {}",
                    topic.min_insync_replicas, topic.replication_factor
                ),
            )
        };
        wrong.map(problem).collect()
    },
};

pub(super) const CLEAN_ELECTION: Lint = Lint {
    id: "clean-election",
    why: "a leader that missed acknowledged records takes them from everybody",
    check: |plan, _| {
        const SETTING: &str = "unclean.leader.election.enable";
        let money = plan.topics.iter().filter(|topic| topic.carries_money());
        let wrong =
            money.filter(|topic| topic.config.get(SETTING).map(String::as_str) != Some("false"));
        wrong
            .map(|topic| {
                (
                    topic.name.clone(),
                    format!("{SETTING} must be stated as \"false\""),
                )
            })
            .collect()
    },
};
