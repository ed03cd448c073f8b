use super::*;
use crate::plan::Profile;

const KEYED: &str = "my.payment.request";
const UNKEYED: &str = "my.logging.out.stdout";

fn plan() -> Plan {
    Plan::load(Profile::Local).unwrap()
}

/// A cluster that is exactly as planned.
fn as_planned(plan: &Plan) -> Live {
    let found = |topic: &Topic| {
        let settings = topic.settings().into_iter();
        let live = LiveTopic {
            partitions: topic.partitions,
            replicas: BTreeSet::from([topic.replication_factor as usize]),
            settings: settings
                .map(|(name, value)| {
                    (
                        name,
                        LiveValue {
                            value,
                            on_topic: true,
                        },
                    )
                })
                .collect(),
        };
        (topic.name.clone(), live)
    };
    Live {
        brokers: 3,
        topics: plan.topics.iter().map(found).collect(),
    }
}

/// The steps for a topic after the cluster was changed by hand.
fn steps(topic: &str, by_hand: impl FnOnce(&mut LiveTopic)) -> Vec<Step> {
    let plan = plan();
    let mut live = as_planned(&plan);
    by_hand(live.topics.get_mut(topic).unwrap());
    let comparison = compare(&plan, &live);
    let mut changed = comparison
        .topics
        .into_iter()
        .filter(|entry| !entry.steps.is_empty());
    let found = changed.next().map(|entry| {
        assert_eq!(entry.topic, topic);
        entry.steps
    });
    assert_eq!(changed.next(), None, "another topic is said to differ");
    found.unwrap_or_default()
}

fn refused(steps: &[Step], about: &str) -> bool {
    matches!(steps, [Step::Refuse { what, .. }] if what == about)
}

#[test]
fn a_cluster_as_planned_needs_nothing() {
    let plan = plan();
    let comparison = compare(&plan, &as_planned(&plan));
    assert!(comparison.is_as_planned() && !comparison.has_refusals());
    assert_eq!(comparison.topics.len(), plan.topics.len());
}

#[test]
fn an_empty_cluster_gets_every_topic() {
    let plan = plan();
    let comparison = compare(
        &plan,
        &Live {
            brokers: 3,
            topics: BTreeMap::new(),
        },
    );
    assert!(
        comparison
            .topics
            .iter()
            .all(|topic| topic.steps == [Step::Create])
    );
    assert!(!comparison.is_as_planned());
}

#[test]
fn a_topic_is_not_created_on_too_few_brokers() {
    let comparison = compare(
        &plan(),
        &Live {
            brokers: 2,
            topics: BTreeMap::new(),
        },
    );
    for entry in comparison.topics {
        let fits = entry.topic == UNKEYED;
        assert_eq!(entry.steps == [Step::Create], fits, "{}", entry.topic);
    }
}

#[test]
fn only_the_setting_that_differs_is_set() {
    let changed = steps(KEYED, |topic| {
        topic.settings.get_mut("retention.ms").unwrap().value = "1".into();
    });
    let to = (15_u64 * 86_400_000).to_string();
    assert_eq!(
        changed,
        [Step::Set {
            name: "retention.ms".into(),
            from: "1".into(),
            to
        }]
    );
}

#[test]
fn a_setting_that_holds_by_the_brokers_default_is_left_alone() {
    let changed = steps(KEYED, |topic| {
        topic.settings.get_mut("compression.type").unwrap().on_topic = false;
    });
    assert_eq!(changed, []);
}

#[test]
fn a_keyed_topic_does_not_grow() {
    let changed = steps(KEYED, |topic| topic.partitions = 3);
    assert!(refused(&changed, "partitions"), "{changed:?}");
    assert!(changed[0].to_string().contains("keyed"), "{}", changed[0]);
}

#[test]
fn an_unkeyed_topic_grows() {
    let plan = Plan::parse(
        &include_str!("../../topics.yaml").replace(
            "partitions: 1\n    key: none",
            "partitions: 4\n    key: none",
        ),
        Profile::Local,
    )
    .unwrap();
    let mut live = as_planned(&plan);
    live.topics.get_mut(UNKEYED).unwrap().partitions = 1;
    let comparison = compare(&plan, &live);
    let entry = comparison
        .topics
        .iter()
        .find(|entry| entry.topic == UNKEYED)
        .unwrap();
    assert_eq!(entry.steps, [Step::Grow { from: 1, to: 4 }]);
}

#[test]
fn no_topic_shrinks() {
    assert!(refused(
        &steps(KEYED, |topic| topic.partitions = 9),
        "partitions"
    ));
    assert!(refused(
        &steps(UNKEYED, |topic| topic.partitions = 9),
        "partitions"
    ));
}

#[test]
fn another_number_of_replicas_is_told_but_not_changed() {
    assert!(refused(
        &steps(KEYED, |topic| topic.replicas = BTreeSet::from([2])),
        "RF"
    ));
    let half_moved = steps(KEYED, |topic| topic.replicas = BTreeSet::from([2, 3]));
    assert!(
        half_moved[0].to_string().contains("2 and 3 -> 3"),
        "{}",
        half_moved[0]
    );
}

#[test]
fn what_was_set_by_hand_is_told_and_kept() {
    let by_hand = |name: &str, on_topic| {
        let value = LiveValue {
            value: "1000".into(),
            on_topic,
        };
        steps(KEYED, |topic| {
            drop(topic.settings.insert(name.into(), value))
        })
    };
    assert!(refused(
        &by_hand("retention.bytes", true),
        "retention.bytes"
    ));
    assert_eq!(by_hand("retention.bytes", false), []);
    assert_eq!(by_hand("leader.replication.throttled.replicas", true), []);
}

#[test]
fn topics_of_ours_that_nobody_planned_are_told_but_are_no_drift() {
    let plan = plan();
    let mut live = as_planned(&plan);
    live.topics
        .insert("my.bench.out".into(), LiveTopic::default());
    live.topics
        .insert("__consumer_offsets".into(), LiveTopic::default());
    let comparison = compare(&plan, &live);
    assert_eq!(comparison.unplanned, ["my.bench.out"]);
    assert!(comparison.is_as_planned());
}
