//! What can never work has one dead letter with its bytes, and each dead letter
//! has such a message.

use std::collections::HashMap;

use mypay_schemas::Flow;

use crate::claimable::{Claimable, PUT_ASIDE, WITHOUT_REQUEST, claimable};
use crate::data::{Data, FlowData};
use crate::interned::Code;
use crate::report::Check;
use crate::rows::{DeadLetter, Kind, Message, Place, Source, shown};
use crate::sorted::{Cursor, groups};

/// A message that may or must have a dead letter.
#[derive(Clone, Copy)]
struct Expected {
    bytes: u64,
    reason: Code,
    must: bool,
    /// What follows from a request may be dead for having none, too.
    follows: bool,
}

/// Compares dead letters with the messages that they name.
pub(super) fn check(data: &Data) -> Check {
    let mut check = Check::new(
        "dead_letters_match_messages",
        "each message that is no Avro of ours, has no UUID for an id, or the id of another: one dead letter, of the same bytes",
        "the dlq.* headers of the letter, and the message at dlq.topic, dlq.partition, dlq.offset",
    );
    for flow in Flow::ALL {
        let of = data.flow(flow);
        for (place, problem) in &of.strange {
            if place.starts_with(flow.dead_letter_topic()) {
                check.offend(place, "", problem);
            }
        }
        let expected = expected(data, of);
        letters(data, flow, of, &expected, &mut check);
        missing(data, flow, of, &expected, &mut check);
    }
    check
}

/// The messages that must have a dead letter, by place.
fn expected(data: &Data, of: &FlowData) -> HashMap<Place, Expected> {
    let mut expected = HashMap::new();
    for poison in &of.poison {
        let must = of.emitted(&poison.place) && poison.at >= of.dead_letters_floor;
        let (bytes, reason) = (poison.bytes, poison.reason);
        expected.insert(
            poison.place,
            Expected {
                bytes,
                reason,
                must,
                follows: false,
            },
        );
    }
    let conflict = data.reasons.code("id_conflict");
    let mut rows = Cursor::new(&of.rows);
    for occurrences in groups(&of.messages) {
        let Some(row) = rows.of(occurrences[0].id).first() else {
            // Nobody claimed it: the first is parked, and others may conflict.
            let first = occurrences[0].content;
            if occurrences.iter().any(|message| message.content != first) {
                expected.extend(occurrences.iter().map(|message| {
                    let expect = Expected {
                        bytes: message.bytes,
                        reason: conflict,
                        must: false,
                        follows: message.kind == Kind::Follows,
                    };
                    (message.place, expect)
                }));
            }
            continue;
        };
        for message in occurrences
            .iter()
            .filter(|message| message.content != row.content)
        {
            let claimed = claimable(message, data.now, data.horizon) == Claimable::Yes;
            // A bank's result that came before the genuine one told nothing, and
            // was passed over.
            let must = claimed
                && message.place.source == Source::Request
                && of.emitted(&message.place)
                && message.at >= of.dead_letters_floor;
            let expect = Expected {
                bytes: message.bytes,
                reason: conflict,
                must,
                follows: message.kind == Kind::Follows,
            };
            expected.insert(message.place, expect);
        }
    }
    expected
}

/// Looks at each dead letter: has it a message, and only one letter?
fn letters(
    data: &Data,
    flow: Flow,
    of: &FlowData,
    expected: &HashMap<Place, Expected>,
    check: &mut Check,
) {
    let ours = PUT_ASIDE.map(|reason| data.reasons.code(reason));
    let named: Vec<&[DeadLetter]> = of
        .dead_letters
        .chunk_by(|a, b| a.place == b.place)
        .collect();
    let others: Vec<Place> = named
        .iter()
        .map(|letters| letters[0].place)
        .filter(|place| !expected.contains_key(place))
        .collect();
    let messages = messages_at(of, &others);
    for letters in named {
        let (letter, place) = (&letters[0], letters[0].place);
        if place.source != Source::Other && !of.retained(&place) {
            continue;
        }
        check.compare();
        let reason = || data.reasons.text(letter.reason);
        let problem = match (expected.get(&place), messages.get(&place)) {
            _ if letters.len() > 1 => Some(format!("{} dead letters", letters.len())),
            (Some(expected), _) if expected.bytes != letter.bytes => {
                Some("the dead letter has other bytes".to_string())
            }
            (Some(expected), _) => {
                let without = expected.follows && WITHOUT_REQUEST.contains(&reason().as_str());
                let fits = expected.reason == letter.reason || ours.contains(&letter.reason);
                (!fits && !without).then(|| {
                    format!(
                        "dead of {}, not of {}",
                        reason(),
                        data.reasons.text(expected.reason)
                    )
                })
            }
            (None, Some(message)) if message.bytes != letter.bytes => {
                Some("the dead letter has other bytes".to_string())
            }
            (None, Some(message)) => (!may_die(data, message, letter, &ours))
                .then(|| format!("dead of {}, though nothing is wrong with it", reason())),
            (None, None) => Some(format!(
                "dead of {}, but there is no such message",
                reason()
            )),
        };
        if let Some(problem) = problem {
            let id = messages
                .get(&place)
                .map_or_else(String::new, |message| shown(message.id));
            check.offend(id, place.shown(flow), problem);
        }
    }
}

/// Whether a message may have this dead letter though nothing is wrong with it.
fn may_die(data: &Data, message: &Message, letter: &DeadLetter, ours: &[Code]) -> bool {
    let follows = message.kind == Kind::Follows;
    ours.contains(&letter.reason)
        || (follows && WITHOUT_REQUEST.contains(&data.reasons.text(letter.reason).as_str()))
}

/// Looks for the dead letter of each message that must have one.
fn missing(
    data: &Data,
    flow: Flow,
    of: &FlowData,
    expected: &HashMap<Place, Expected>,
    check: &mut Check,
) {
    for (place, expected) in expected.iter().filter(|(_, expected)| expected.must) {
        if of
            .dead_letters
            .binary_search_by_key(place, |letter| letter.place)
            .is_err()
        {
            check.compare();
            let reason = data.reasons.text(expected.reason);
            check.offend(
                "",
                place.shown(flow),
                format!("no dead letter, though {reason}"),
            );
        }
    }
}

/// The messages at some places: few, so the messages are gone through once.
fn messages_at(of: &FlowData, places: &[Place]) -> HashMap<Place, Message> {
    if places.is_empty() {
        return HashMap::new();
    }
    let mut sorted = places.to_vec();
    sorted.sort_unstable();
    of.messages
        .iter()
        .chain(&of.timeless)
        .filter(|message| sorted.binary_search(&message.place).is_ok())
        .map(|message| (message.place, *message))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn a_missing_dead_letter_is_found() {
        let mut data = sample::day();
        assert!(check(&data).ok, "{:?}", check(&data).offenders);
        assert_eq!(check(&data).compared, 2);
        data.flow_mut(Flow::Remittance).dead_letters.clear();
        assert_eq!(check(&data).offenders_total, 2);
    }

    #[test]
    fn a_dead_letter_twice_with_other_bytes_or_of_a_good_message_is_found() {
        let break_it: [fn(&mut FlowData); 4] = [
            |of| of.dead_letters.push(of.dead_letters[1]),
            |of| of.dead_letters[0].bytes ^= 1,
            |of| of.dead_letters[0].place.offset = 0,
            |of| of.dead_letters[0].place.offset = 99,
        ];
        for (number, break_it) in break_it.iter().enumerate() {
            let mut data = sample::day();
            let of = data.flow_mut(Flow::Remittance);
            break_it(of);
            of.dead_letters.sort_unstable_by_key(|letter| letter.place);
            assert!(!check(&data).ok, "{number}");
        }
    }

    #[test]
    fn a_parked_message_may_lie_in_the_dead_letters() {
        let mut data = sample::day();
        let reason = data.reasons.code("parked_behind");
        let of = data.flow_mut(Flow::Payment);
        let message = of.messages[0];
        of.dead_letters.push(sample::letter(&message, reason));
        of.rows.clear();
        assert!(check(&data).ok);
    }
}
