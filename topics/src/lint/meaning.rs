//! What a reader of the plan must be told.

use super::{KnownSchema, Lint, Problem};
use crate::topic::{Key, Role, Topic};

pub(super) const SCHEMA_PRESENT: Lint = Lint {
    id: "schema-present",
    why: "a topic whose schema is not in the release is one that nobody can read",
    check: |plan, schemas| {
        let stated = plan
            .topics
            .iter()
            .filter_map(|topic| schema_problem(topic, schemas));
        // The other way round: a schema for a topic that nobody plans is dead,
        // or the topic was forgotten.
        let homeless = schemas
            .iter()
            .filter(|schema| plan.topic(&schema.topic).is_none());
        let homeless = homeless.map(|schema| {
            let message = format!(
                "{} is its schema, but the topic is not in the plan",
                schema.record
            );
            (schema.topic.clone(), message)
        });
        stated.chain(homeless).collect()
    },
};

pub(super) const KEY_PRESENT: Lint = Lint {
    id: "key-present",
    why: "the key decides what stays in order and what runs side by side",
    check: |plan, schemas| {
        plan.topics
            .iter()
            .filter_map(|topic| key_problem(topic, schemas))
            .collect()
    },
};

pub(super) const WHY_PRESENT: Lint = Lint {
    id: "why-present",
    why: "a number without a reason is changed by the next one who has another",
    check: |plan, _| {
        let wrong = plan.topics.iter().filter(|topic| !is_sentence(&topic.why));
        let problem = |topic: &Topic| {
            let message = "`why` must be a sentence, with a full stop at its end".to_owned();
            (topic.name.clone(), message)
        };
        wrong.map(problem).collect()
    },
};

pub(super) const OWNER_PRESENT: Lint = Lint {
    id: "owner-present",
    why: "somebody must answer for what lies in it",
    check: |plan, _| {
        let wrong = plan
            .topics
            .iter()
            .filter(|topic| topic.owner.trim().is_empty());
        wrong
            .map(|topic| (topic.name.clone(), "`owner` must name a service".to_owned()))
            .collect()
    },
};

fn is_sentence(why: &str) -> bool {
    why.trim().ends_with('.') && why.split_whitespace().count() >= 4
}

fn schema_problem(topic: &Topic, schemas: &[KnownSchema]) -> Option<Problem> {
    let message = match (&topic.schema, topic.role) {
        (None, role) if topic.carries_money() && role != Role::DeadLetter => {
            "`schema` must name the record".to_owned()
        }
        (None, _) => return None,
        (Some(record), _) => match schemas.iter().find(|schema| schema.topic == topic.name) {
            Some(schema) if schema.record == *record => return None,
            Some(schema) => {
                format!(
                    "`schema` is {record}, but schemas/ has {} for it",
                    schema.record
                )
            }
            None => format!("`schema` is {record}, but schemas/ has nothing for this topic"),
        },
    };
    Some((topic.name.clone(), message))
}

fn key_problem(topic: &Topic, schemas: &[KnownSchema]) -> Option<Problem> {
    let message = match (&topic.key, topic.role) {
        (None, _) => "`key` must say what the record's key is".to_owned(),
        (Some(Key::None), _) if topic.carries_money() => {
            "`key: none` would spread the requests of one account over all lanes".to_owned()
        }
        (Some(Key::Original), role) if role != Role::DeadLetter => {
            "`key: original` is for dead letters".to_owned()
        }
        (Some(Key::Field(field)), _) => {
            let schema = schemas.iter().find(|schema| schema.topic == topic.name)?;
            if schema.fields.contains(field) {
                return None;
            }
            format!("`key` is {field}, which {} does not have", schema.record)
        }
        _ => return None,
    };
    Some((topic.name.clone(), message))
}
