use super::*;
use crate::topic::Key;

#[test]
fn each_schema_is_in_the_release_and_each_topic_of_a_schema_in_the_plan() {
    assert_eq!(
        fired(REQUEST, |topic| topic.schema = None),
        ["schema-present"]
    );
    assert_eq!(
        fired(REQUEST, |topic| topic.schema = Some("Pay".into())),
        ["schema-present"]
    );
    assert_eq!(
        fired(DEAD_LETTER, |topic| topic.schema =
            Some("PaymentRequest".into())),
        ["schema-present"]
    );
    let plan = Plan::load(Profile::Local).unwrap();
    let mut schemas = known_schemas();
    schemas[0].topic = "my.refund.request".into();
    assert!(
        lint(&plan, &schemas)
            .iter()
            .any(|finding| finding.topic == "my.refund.request")
    );
}

#[test]
fn the_key_is_stated_and_is_a_field_of_the_value() {
    assert_eq!(fired(REQUEST, |topic| topic.key = None), ["key-present"]);
    assert_eq!(
        fired(REQUEST, |topic| topic.key = Some(Key::None)),
        ["key-present"]
    );
    assert_eq!(
        fired(REQUEST, |topic| topic.key = Some(Key::Original)),
        ["key-present"]
    );
    assert_eq!(
        fired(REQUEST, |topic| topic.key =
            Some(Key::Field("payer".into()))),
        ["key-present"]
    );
    assert_eq!(
        fired("my.logging.out.stdout", |topic| topic.key = None),
        ["key-present"]
    );
}

#[test]
fn why_is_a_sentence_and_somebody_owns_it() {
    for why in ["", "fast", "because it has to be so"] {
        assert_eq!(
            fired(REQUEST, |topic| topic.why = why.into()),
            ["why-present"],
            "{why}"
        );
    }
    assert_eq!(
        fired(REQUEST, |topic| topic.owner = " ".into()),
        ["owner-present"]
    );
}
