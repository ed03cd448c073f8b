//! Each rule is shown to hold for the real plan and to fail on a broken one.

mod meaning;

use super::*;
use crate::plan::Profile;
use crate::topic::{Cleanup, Topic};

/// Runs the lints over the real plan with one topic broken; the ids that fired.
fn fired(topic: &str, break_it: impl FnOnce(&mut Topic)) -> Vec<&'static str> {
    let mut plan = Plan::load(Profile::Local).unwrap();
    let topic = plan
        .topics
        .iter_mut()
        .find(|candidate| candidate.name == topic)
        .unwrap();
    break_it(topic);
    ids(&plan)
}

fn ids(plan: &Plan) -> Vec<&'static str> {
    let mut ids: Vec<_> = lint(plan, &known_schemas())
        .into_iter()
        .map(|finding| finding.lint)
        .collect();
    ids.dedup();
    ids
}

const REQUEST: &str = "my.payment.request";
const DEAD_LETTER: &str = "my.payment.request.dlq";

#[test]
fn the_plan_of_this_release_is_clean_in_every_profile() {
    for profile in Profile::ALL {
        let plan = Plan::load(profile).unwrap();
        assert_eq!(lint(&plan, &known_schemas()), [], "{profile}");
    }
}

#[test]
fn no_two_lints_share_an_id() {
    let mut ids: Vec<_> = LINTS.iter().map(|lint| lint.id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), LINTS.len());
}

#[test]
fn money_needs_three_replicas_and_one_to_spare() {
    assert_eq!(
        fired(DEAD_LETTER, |topic| topic.replication_factor = 2),
        ["money-replication", "min-isr-below-rf"]
    );
    assert_eq!(
        fired(DEAD_LETTER, |topic| topic.min_insync_replicas = 1),
        ["money-replication"]
    );
    // One more replica needs one more in sync.
    assert_eq!(
        fired(DEAD_LETTER, |topic| topic.replication_factor = 4),
        ["money-replication"]
    );
}

#[test]
fn one_broker_may_always_restart() {
    let log = |min_isr| {
        fired("my.logging.out.stdout", |topic| {
            topic.min_insync_replicas = min_isr
        })
    };
    assert_eq!(log(2), ["min-isr-below-rf"]);
    assert_eq!(log(0), ["min-isr-below-rf"]);
}

#[test]
fn an_unclean_election_is_never_left_to_the_default() {
    let set = |value: Option<&str>| {
        fired(REQUEST, |topic| {
            topic.config.remove("unclean.leader.election.enable");
            let value = value.map(|value| ("unclean.leader.election.enable".into(), value.into()));
            topic.config.extend(value);
        })
    };
    assert_eq!(set(None), ["clean-election"]);
    assert_eq!(set(Some("true")), ["clean-election"]);
}

#[test]
fn names_say_flow_and_role() {
    for name in [
        "pay.payment.extra.topic",
        "my.logging",
        "my.Logging.out",
        "my.log_ging.out",
        "my..out",
        "my.result.x.request",
        "my.dlq.out",
    ] {
        assert_eq!(
            fired("my.logging.out.stdout", |topic| topic.name = name.into()),
            ["naming"],
            "{name}"
        );
    }
}

#[test]
fn each_request_topic_has_its_dead_letters() {
    let mut plan = Plan::load(Profile::Local).unwrap();
    plan.topics.retain(|topic| topic.name != DEAD_LETTER);
    assert_eq!(ids(&plan), ["dlq-twin"]);
}

#[test]
fn dead_letters_belong_to_a_request_topic() {
    let mut plan = Plan::load(Profile::Local).unwrap();
    let mut orphan = plan.topic(DEAD_LETTER).unwrap().clone();
    orphan.name = "my.refund.request.dlq".into();
    plan.topics.push(orphan);
    assert_eq!(ids(&plan), ["dlq-twin"]);
}

#[test]
fn requests_and_results_of_a_flow_are_alike() {
    assert_eq!(
        fired(REQUEST, |topic| topic.partitions = 12),
        ["co-partitioned"]
    );
    let shorter = |topic: &mut Topic| topic.retention = "14d".parse().unwrap();
    assert_eq!(fired("my.payment.result", shorter), ["co-partitioned"]);
    let mut plan = Plan::load(Profile::Local).unwrap();
    plan.topics
        .retain(|topic| topic.name != "my.payment.result");
    assert!(ids(&plan).contains(&"co-partitioned"));
}

#[test]
fn a_topic_has_partitions() {
    assert_eq!(
        fired(DEAD_LETTER, |topic| topic.partitions = 0),
        ["partitions-positive"]
    );
}

#[test]
fn the_largest_request_fits_into_a_dead_letter() {
    let limit = |topic: &mut Topic| {
        topic
            .config
            .insert("max.message.bytes".into(), "1048588".into());
    };
    assert_eq!(fired(DEAD_LETTER, limit), ["dlq-fits"]);
    assert_eq!(
        fired(DEAD_LETTER, |topic| drop(
            topic.config.remove("max.message.bytes")
        )),
        ["dlq-fits"]
    );
}

#[test]
fn no_request_outlives_the_memory_of_its_id() {
    // Exactly the horizon is too long: the open segment comes on top.
    let both = |retention: &str| {
        let mut plan = Plan::load(Profile::Local).unwrap();
        for topic in plan
            .topics
            .iter_mut()
            .filter(|topic| topic.name.starts_with("my.payment.re"))
        {
            topic.retention = retention.parse().unwrap();
        }
        ids(&plan)
    };
    assert_eq!(both("35d"), ["request-within-horizon"]);
    assert_eq!(both("34d"), <[&str; 0]>::default());
    assert_eq!(both("13d"), ["request-covers-replay", "dlq-covers-replay"]);
}

#[test]
fn dead_letters_last_for_the_replay_window() {
    let shorter = |topic: &mut Topic| topic.retention = "13d".parse().unwrap();
    assert_eq!(fired(DEAD_LETTER, shorter), ["dlq-covers-replay"]);
}

#[test]
fn money_is_never_compacted() {
    for cleanup in [Cleanup::Compact, Cleanup::CompactDelete] {
        assert_eq!(
            fired(REQUEST, |topic| topic.cleanup = cleanup),
            ["delete-only"]
        );
    }
}

#[test]
fn records_age_by_the_brokers_clock() {
    let client_clock = |topic: &mut Topic| {
        topic
            .config
            .insert("message.timestamp.type".into(), "CreateTime".into());
    };
    assert_eq!(fired(REQUEST, client_clock), ["broker-time"]);
}
