//! Whether what is wanted is still there, and still what it was.

use std::collections::{BTreeMap, HashMap, HashSet};

use rdkafka::message::{Message, OwnedMessage};

use super::choose::{Is, Wanted};
use super::named::Naming;
use super::redrive::LeftOut;
use crate::at::At;

/// A message as it lies on its topic now.
#[derive(Debug)]
pub(super) struct Original {
    /// Its key, bytes and headers.
    pub(super) message: OwnedMessage,
    /// Which message it is.
    pub(super) naming: Naming,
}

/// Gives the messages that can be put through, with their places, in their order;
/// counts the others.
pub(super) fn judge(
    wanted: Vec<Wanted>,
    originals: &HashMap<At<'static>, Original>,
    left_out: &mut BTreeMap<LeftOut, u64>,
) -> Vec<(Wanted, At<'static>)> {
    let (mut stuck, mut taken) = (HashSet::new(), HashSet::new());
    let mut found = Vec::with_capacity(wanted.len());
    for wanted in wanted {
        let judged = if wanted.queue.is_some_and(|queue| stuck.contains(&queue)) {
            // The consumer would not let it pass.
            Err(LeftOut::Behind)
        } else {
            place(&wanted, originals)
        };
        match judged {
            // A message of a result topic can have died in several flows.
            Ok(at) if !taken.insert(at) => {}
            Ok(at) => found.push((wanted, at)),
            Err(reason) => {
                *left_out.entry(reason).or_default() += 1;
                stuck.extend(wanted.queue);
            }
        }
    }
    found
}

/// The first place at which a message lies.
fn place(
    wanted: &Wanted,
    originals: &HashMap<At<'static>, Original>,
) -> Result<At<'static>, LeftOut> {
    let mut missing = LeftOut::Gone;
    for at in &wanted.places {
        let Some(original) = originals.get(at) else {
            continue;
        };
        if !is(original, &wanted.is) {
            // The topic was made anew, and its offsets began anew.
            missing = LeftOut::OtherBytes;
        } else if original.naming.is_err() {
            return Err(LeftOut::Unreadable);
        } else {
            return Ok(*at);
        }
    }
    Err(missing)
}

fn is(original: &Original, is: &Is) -> bool {
    match (is, &original.naming) {
        (Is::Bytes(bytes), _) => bytes.are(original.message.payload().unwrap_or_default()),
        (Is::Message(id, content), Ok(named)) => {
            named.id == *id && content.is_none_or(|content| content == named.content)
        }
        (Is::Message(..), Err(_)) => false,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(super) mod tests {
    use mypay_idempotency::queue_log::{Known, Outcome, Status};
    use mypay_schemas::Flow;
    use rdkafka::Timestamp;
    use uuid::Uuid;

    use super::super::choose::{About, Choice, choose};
    use super::super::letter::{Bytes, Letter};
    use super::super::named::Named;
    use super::super::parked::{Parked, Queues};
    use super::super::redrive::Selector;
    use super::*;

    const TOPIC: &str = "my.remittance.request";

    fn at(offset: i64) -> At<'static> {
        At {
            topic: TOPIC,
            partition: 0,
            offset,
        }
    }

    fn named(id: u128) -> Named {
        Named {
            id: Uuid::from_u128(id),
            key: "a".to_string(),
            content: [id as u8; 16],
            follows: false,
        }
    }

    /// The letter of a message whose bytes are its id.
    pub(in super::super) fn letter(id: u128, offset: i64) -> Letter {
        let bytes = id.to_be_bytes();
        Letter {
            flow: Flow::Remittance,
            place: At {
                topic: "my.remittance.request.dlq",
                ..at(offset)
            },
            at: chrono::DateTime::UNIX_EPOCH,
            of: at(offset),
            reason: "defect".to_string(),
            detail: String::new(),
            fingerprint: "f".to_string(),
            key: Some("a".to_string()),
            message: Ok(named(id)),
            bytes: Bytes::of(&bytes, bytes.len()),
        }
    }

    fn original(id: u128, offset: i64) -> (At<'static>, Original) {
        let payload = id.to_be_bytes().to_vec();
        let original = Original {
            message: OwnedMessage::new(
                Some(payload),
                None,
                TOPIC.to_string(),
                Timestamp::NotAvailable,
                0,
                offset,
                None,
            ),
            naming: Ok(named(id)),
        };
        (at(offset), original)
    }

    fn queue(ids: &[(u128, i64)]) -> Queues {
        let parked = ids.iter().map(|(id, offset)| Parked {
            id: Uuid::from_u128(*id),
            of: at(*offset),
            content: Some([*id as u8; 16]),
        });
        [((Flow::Remittance, "a".to_string()), parked.collect())].into()
    }

    fn all() -> Selector {
        Selector {
            fingerprint: Some("f".to_string()),
            ..Selector::default()
        }
    }

    fn chosen(letters: &[Letter], queues: &Queues, done: &[u128]) -> Choice {
        let known = done.iter().map(|id| {
            let known = Known {
                status: Status::Done,
                content_hash: vec![*id as u8; 16],
                place: None,
                created_at: chrono::DateTime::UNIX_EPOCH,
                outcome: Outcome::success(chrono::DateTime::UNIX_EPOCH),
            };
            ((Flow::Remittance, Uuid::from_u128(*id)), known)
        });
        let about = About {
            queues,
            known: &known.collect(),
            given_up: &HashSet::from([(Flow::Remittance, Uuid::from_u128(99))]),
            clock: (0, 0),
        };
        choose(letters, &all(), &about)
    }

    /// What is put through, by id and offset, and what is left out.
    fn judged(
        choice: Choice,
        originals: &[(u128, i64)],
    ) -> (Vec<(u128, i64)>, BTreeMap<LeftOut, u64>) {
        let originals = originals.iter().map(|(id, offset)| original(*id, *offset));
        let mut left_out = choice.left_out;
        let put = judge(choice.wanted, &originals.collect(), &mut left_out);
        let put = put.iter();
        let put = put.map(|(wanted, at)| (wanted.id.unwrap().as_u128(), at.offset));
        (put.collect(), left_out)
    }

    #[test]
    fn each_message_is_put_through_once_in_the_order_of_the_offsets() {
        let letters = [letter(2, 7), letter(1, 3), letter(2, 5)];
        let choice = chosen(&letters, &Queues::new(), &[]);
        assert_eq!((choice.letters, choice.repeated), (3, 1));
        let (put, left_out) = judged(choice, &[(1, 3), (2, 5), (2, 7)]);
        assert_eq!(put, [(1, 3), (2, 5)]);
        assert!(left_out.is_empty());
    }

    #[test]
    fn a_message_that_died_in_two_flows_is_put_through_once() {
        let mut of_another = letter(1, 3);
        of_another.flow = Flow::Settlement;
        let choice = chosen(&[letter(1, 3), of_another], &Queues::new(), &[]);
        assert_eq!(judged(choice, &[(1, 3)]).0, [(1, 3)]);
    }

    #[test]
    fn what_is_done_given_up_or_a_conflict_is_left_out() {
        let mut conflict = letter(3, 8);
        conflict.message = Ok(Named {
            content: [77; 16],
            ..named(3)
        });
        let letters = [letter(2, 7), letter(99, 3), conflict, letter(4, 9)];
        let (put, left_out) = judged(chosen(&letters, &Queues::new(), &[2, 3]), &[(4, 9)]);
        assert_eq!(put, [(4, 9)]);
        let counted = [LeftOut::Done, LeftOut::Conflict, LeftOut::GivenUp];
        assert_eq!(left_out, counted.map(|reason| (reason, 1)).into());
    }

    #[test]
    fn what_is_gone_or_another_message_or_cannot_be_read_is_left_out() {
        let mut unreadable = letter(4, 9);
        unreadable.message = Err("undecodable");
        let letters = [letter(1, 3), letter(2, 5), letter(3, 7), unreadable];
        let choice = chosen(&letters, &Queues::new(), &[]);
        let mut originals: HashMap<_, _> = [original(9, 5), original(3, 7), original(4, 9)]
            .into_iter()
            .collect();
        originals.get_mut(&at(9)).unwrap().naming = Err("undecodable");
        let mut left_out = choice.left_out;
        let put = judge(choice.wanted, &originals, &mut left_out);
        assert_eq!(put.iter().map(|(_, at)| at.offset).collect::<Vec<_>>(), [7]);
        let counted = [LeftOut::Gone, LeftOut::OtherBytes, LeftOut::Unreadable];
        assert_eq!(left_out, counted.map(|reason| (reason, 1)).into());
    }

    #[test]
    fn a_parked_key_is_put_through_in_the_order_of_its_queue_before_the_others() {
        let mut stranger = letter(7, 1);
        stranger.message = Ok(Named {
            key: "b".to_string(),
            ..named(7)
        });
        // 1 has died twice; of 3 there is no letter any more.
        let letters = [letter(1, 3), letter(2, 5), letter(1, 11), stranger];
        let queues = queue(&[(1, 3), (2, 5), (3, 6)]);
        let choice = chosen(&letters, &queues, &[]);
        assert_eq!(choice.queues, [(Flow::Remittance, "a".to_string())]);
        let (put, left_out) = judged(choice, &[(1, 3), (2, 5), (3, 6), (7, 1), (1, 11)]);
        assert_eq!(put, [(1, 3), (2, 5), (3, 6), (7, 1)]);
        assert!(left_out.is_empty());
    }

    #[test]
    fn a_parked_message_is_put_through_from_a_later_place_where_the_first_is_gone() {
        let letters = [letter(1, 3), letter(1, 11)];
        let (put, _) = judged(chosen(&letters, &queue(&[(1, 3)]), &[]), &[(1, 11)]);
        assert_eq!(put, [(1, 11)]);
    }

    #[test]
    fn nothing_passes_one_that_is_gone_from_its_queue() {
        let letters = [letter(1, 3), letter(2, 5), letter(3, 6)];
        let queues = queue(&[(1, 3), (2, 5), (3, 6)]);
        let (put, left_out) = judged(chosen(&letters, &queues, &[]), &[(1, 3), (3, 6)]);
        assert_eq!(put, [(1, 3)]);
        assert_eq!(left_out, [(LeftOut::Gone, 1), (LeftOut::Behind, 1)].into());
    }

    #[test]
    fn a_message_id_takes_the_queue_that_it_waits_in_though_its_letter_is_gone() {
        let selector = |id| Selector {
            message_id: Some(Uuid::from_u128(id)),
            ..Selector::default()
        };
        let queues = queue(&[(1, 3), (2, 5)]);
        let about = About {
            queues: &queues,
            known: &HashMap::new(),
            given_up: &HashSet::new(),
            clock: (0, 0),
        };
        assert_eq!(choose(&[], &selector(2), &about).wanted.len(), 2);
        assert_eq!(choose(&[], &selector(4), &about).wanted.len(), 0);
    }

    #[test]
    fn what_cannot_be_claimed_any_more_is_left_out_unless_it_is_parked() {
        const AGE: i64 = 22 * 24 * 3_600_000;
        let mut follows = letter(2, 5);
        follows.message = Ok(Named {
            follows: true,
            key: "b".to_string(),
            ..named(2)
        });
        let mut request = letter(3, 7);
        request.message = Ok(Named {
            key: "b".to_string(),
            ..named(3)
        });
        let letters = [letter(1, 3), follows, request];
        let queues = queue(&[(1, 3)]);
        // The ids are of 1970: too old for a request, and then before the horizon.
        for (horizon, put, left_out) in [(0, vec![1, 2], 1), (1, vec![1], 2)] {
            let about = About {
                queues: &queues,
                known: &HashMap::new(),
                given_up: &HashSet::new(),
                clock: (AGE, horizon),
            };
            let choice = choose(&letters, &all(), &about);
            let ids = choice.wanted.iter().map(|it| it.id.unwrap().as_u128());
            assert_eq!(ids.collect::<Vec<_>>(), put);
            assert_eq!(choice.left_out, [(LeftOut::Unclaimable, left_out)].into());
        }
    }
}
