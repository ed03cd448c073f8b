//! What is to be done about the messages of one id: a function of them and of
//! what `queue_log` knows.

use mypay_idempotency::queue_log::{Known, Status};

use super::Counts;
use crate::claimable::{Claimable, claimable};
use crate::rows::{Message, Place};

/// Counts the messages of one id, the first one first; gives the one that is
/// put through.
pub(super) fn request(
    messages: &[Message],
    known: Option<&Known>,
    (now, horizon): (i64, i64),
    counts: &mut Counts,
) -> Option<Place> {
    let all = messages.len() as u64;
    let first = messages.first()?;
    // As the consumer will judge it: a message that is put on the topic now.
    let again = Message { at: now, ..*first };
    if claimable(&again, now, horizon) != Claimable::Yes {
        counts.refused_ids += all;
        return None;
    }
    let content = match known {
        Some(known) => {
            <[u8; 16]>::try_from(known.content_hash.as_slice()).map_or(0, u128::from_be_bytes)
        }
        // The first is what a consumer would have handled.
        None => first.content,
    };
    let mut fitting = messages.iter().filter(|message| message.content == content);
    let chosen = fitting.next();
    let repeated = fitting.count() as u64;
    counts.repeated += repeated;
    counts.conflicts += all - repeated - u64::from(chosen.is_some());
    let chosen = chosen?;
    match known.map(|known| known.status) {
        Some(Status::Done) => counts.already_done += 1,
        Some(Status::Processing) => counts.in_progress += 1,
        // Accepted at the edge, and perhaps never seen by a consumer.
        Some(Status::Waiting) | None => counts.never_handled += 1,
    }
    Some(chosen.place)
}

#[cfg(test)]
mod tests {
    use mypay_idempotency::queue_log::Outcome;

    use super::*;
    use crate::rows::{Kind, Source};

    const NOW: i64 = 1_790_000_000_000;

    fn message(offset: i64, content: u128) -> Message {
        Message {
            id: (NOW as u128) << 80,
            content,
            payer: 0,
            payee: 0,
            amount: 1,
            at: NOW,
            place: Place {
                source: Source::Request,
                partition: 0,
                offset,
            },
            bytes: 0,
            kind: Kind::Plain,
        }
    }

    fn known(status: Status, content: u128) -> Known {
        let created_at = chrono::DateTime::UNIX_EPOCH;
        Known {
            status,
            content_hash: content.to_be_bytes().to_vec(),
            place: None,
            created_at,
            outcome: Outcome::processing(created_at),
        }
    }

    fn classified(messages: &[Message], known: Option<Known>) -> (Option<i64>, Counts) {
        let mut counts = Counts::default();
        let place = request(messages, known.as_ref(), (NOW, 0), &mut counts);
        (place.map(|place| place.offset), counts)
    }

    #[test]
    fn each_id_is_put_through_once() {
        let (place, counts) = classified(&[message(3, 1), message(5, 1), message(9, 1)], None);
        assert_eq!(place, Some(3));
        assert_eq!(
            counts,
            Counts {
                never_handled: 1,
                repeated: 2,
                ..Counts::default()
            }
        );
    }

    #[test]
    fn what_is_done_or_in_progress_is_counted_and_put_through() {
        let done = classified(&[message(3, 1)], Some(known(Status::Done, 1)));
        assert_eq!(
            done,
            (
                Some(3),
                Counts {
                    already_done: 1,
                    ..Counts::default()
                }
            )
        );
        let waits = classified(&[message(3, 1)], Some(known(Status::Waiting, 1)));
        assert_eq!(
            waits,
            (
                Some(3),
                Counts {
                    never_handled: 1,
                    ..Counts::default()
                }
            )
        );
        let in_progress = classified(&[message(3, 1)], Some(known(Status::Processing, 1)));
        assert_eq!(
            in_progress,
            (
                Some(3),
                Counts {
                    in_progress: 1,
                    ..Counts::default()
                }
            )
        );
    }

    #[test]
    fn a_conflict_is_left_out_whichever_came_first() {
        let both = [message(3, 2), message(5, 1)];
        let (place, counts) = classified(&both, Some(known(Status::Done, 1)));
        assert_eq!(place, Some(5));
        assert_eq!(
            counts,
            Counts {
                already_done: 1,
                conflicts: 1,
                ..Counts::default()
            }
        );
        let (place, counts) = classified(&both, None);
        assert_eq!(place, Some(3));
        assert_eq!(
            counts,
            Counts {
                never_handled: 1,
                conflicts: 1,
                ..Counts::default()
            }
        );
        let (place, counts) = classified(&both[..1], Some(known(Status::Done, 1)));
        assert_eq!((place, counts.conflicts), (None, 1));
    }

    #[test]
    fn an_id_past_the_horizon_is_refused() {
        let mut counts = Counts::default();
        let messages = [message(3, 1), message(4, 1)];
        assert_eq!(request(&messages, None, (NOW, NOW + 1), &mut counts), None);
        assert_eq!(
            counts,
            Counts {
                refused_ids: 2,
                ..Counts::default()
            }
        );
    }
}
