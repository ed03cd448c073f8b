use mypay_schemas::Flow;
use mypay_schemas::reversal::{
    CLOSING_REVERSAL, FIRMBANKING_REVERSAL, REMITTANCE_REVERSAL, SETTLEMENT_REVERSAL,
};

use super::*;
use crate::topic::{Key, Role};

const SMALL: &str = "
queue_log_horizon: 35d
replay_window: 14d
classes:
  request:
    replication_factor: 3
    min_insync_replicas: 2
    retention: 30d
    segment: 1d
    cleanup: delete
    config: { compression.type: producer, max.message.bytes: '1000' }
profiles:
  local:
    classes:
      request: { retention: 15d }
  production:
    topics:
      my.a.request: { partitions: 48, retention: 20d }
topics:
  my.a.request:
    class: request
    partitions: 6
    key: member_id
    config: { max.message.bytes: '2000' }
  my.b.request: { class: request, partitions: 3, retention: 7d }
";

/// The whole chain, as the command line prints it.
fn message(yaml: &str) -> String {
    let error = Plan::parse(yaml, Profile::Local).expect_err("the plan is wrong");
    let cause = std::error::Error::source(&error).map(ToString::to_string);
    format!("{error}: {}", cause.unwrap_or_default())
}

#[test]
fn the_nearest_word_wins() {
    let local = Plan::parse(SMALL, Profile::Local).unwrap();
    let a = local.topic("my.a.request").unwrap();
    assert_eq!(
        (a.partitions, a.retention.to_string()),
        (6, "15d".to_owned())
    );
    assert_eq!(a.config["max.message.bytes"], "2000");
    assert_eq!(a.config["compression.type"], "producer");
    assert_eq!(
        local.topic("my.b.request").unwrap().retention.to_string(),
        "7d"
    );

    let production = Plan::parse(SMALL, Profile::Production).unwrap();
    let a = production.topic("my.a.request").unwrap();
    assert_eq!(
        (a.partitions, a.retention.to_string()),
        (48, "20d".to_owned())
    );
}

#[test]
fn an_error_names_the_topic_and_what_is_wrong() {
    let text = message(&SMALL.replace(
        "class: request, partitions: 3",
        "class: request, partitons: 3",
    ));
    assert!(
        text.contains("my.b.request") && text.contains("partitons"),
        "{text}"
    );
    let text = message(&SMALL.replace("partitions: 6", "partitions: six"));
    assert!(
        text.contains("my.a.request") && text.contains("six"),
        "{text}"
    );
    let text = message(&SMALL.replace("retention: 7d", "retention: 7 days"));
    assert!(
        text.contains("my.b.request") && text.contains("7 days"),
        "{text}"
    );
}

#[test]
fn what_meets_nothing_is_refused() {
    let text = message(&SMALL.replace(
        "class: request, partitions: 3",
        "class: requst, partitions: 3",
    ));
    assert!(
        text.contains("my.b.request") && text.contains("`requst`"),
        "{text}"
    );
    let text = message(&SMALL.replace("      my.a.request: {", "      my.z.request: {"));
    assert!(
        text.contains("production") && text.contains("my.z.request"),
        "{text}"
    );
    let text = message(&SMALL.replace(
        "      request: { retention: 15d }",
        "      reqest: { retention: 15d }",
    ));
    assert!(
        text.contains("profile local") && text.contains("reqest"),
        "{text}"
    );
}

#[test]
fn a_topic_may_not_be_there_twice() {
    let twice = format!("{SMALL}  my.b.request: {{ class: request, partitions: 1 }}\n");
    assert!(
        message(&twice).contains("my.b.request"),
        "{}",
        message(&twice)
    );
}

#[test]
fn the_embedded_plan_holds_every_flow_in_every_profile() {
    for profile in Profile::ALL {
        let plan = Plan::load(profile).unwrap();
        for flow in Flow::ALL {
            for (topic, role) in [
                (flow.request_topic(), Role::Request),
                (flow.result_topic(), Role::Result),
                (flow.dead_letter_topic(), Role::DeadLetter),
            ] {
                assert_eq!(
                    plan.topic(topic).map(|topic| topic.role),
                    Some(role),
                    "{topic}"
                );
            }
        }
        let reversals = [
            FIRMBANKING_REVERSAL,
            REMITTANCE_REVERSAL,
            SETTLEMENT_REVERSAL,
            CLOSING_REVERSAL,
        ];
        for topic in reversals {
            let reversal = plan.topic(topic).unwrap();
            assert_eq!(reversal.role, Role::Reversal, "{topic}");
            assert!(reversal.carries_money(), "{topic}");
        }
        let log = plan.topic("my.logging.out.stdout").unwrap();
        assert_eq!(
            (
                log.partitions,
                log.replication_factor,
                log.min_insync_replicas
            ),
            (1, 2, 1)
        );
        assert_eq!(plan.topics.len(), 3 * Flow::ALL.len() + reversals.len() + 1);
    }
}

#[test]
fn settings_bear_the_names_that_kafka_knows() {
    let plan = Plan::load(Profile::Production).unwrap();
    let settings = plan.topic("my.payment.request").unwrap().settings();
    assert_eq!(settings["retention.ms"], (30_u64 * 86_400_000).to_string());
    assert_eq!(settings["min.insync.replicas"], "2");
    assert_eq!(settings["cleanup.policy"], "delete");
    assert_eq!(settings["unclean.leader.election.enable"], "false");
}

#[test]
fn only_a_topic_that_says_none_has_no_key() {
    let plan = Plan::load(Profile::Local).unwrap();
    assert!(plan.topic("my.payment.request").unwrap().is_keyed());
    assert!(plan.topic("my.payment.request.dlq").unwrap().is_keyed());
    assert!(!plan.topic("my.logging.out.stdout").unwrap().is_keyed());
    let settlement = plan.topic("my.settlement.request").unwrap();
    assert_eq!(settlement.key, Some(Key::Constant("settlement".to_owned())));
}
