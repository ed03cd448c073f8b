//! Which ids `queue_log` can hold: the rule of design §3, judged from outside.

use mypay_idempotency::horizon::CLOCK_SKEW_MILLIS;
use mypay_schemas::identity;
use uuid::Uuid;

use crate::rows::{Kind, Message};

/// Reasons of rejections that leave no row in `queue_log`.
pub(crate) const REFUSALS: [&str; 3] = ["id_without_time", "past_horizon", "id_from_the_future"];

/// Reasons of dead letters that say nothing about the message itself: a defect
/// of ours, a key that is parked behind one, a schema that was not yet registered.
pub(crate) const PUT_ASIDE: [&str; 3] = ["defect", "parked_behind", "unknown_schema_id"];

/// Reasons of dead letters that only what follows from a request can have: its
/// request is forgotten, or there is none.
pub(crate) const WITHOUT_REQUEST: [&str; 2] = ["past_horizon", "unknown_origin"];

/// How old the id of a client's request may be when it is handled: three weeks.
const REQUEST_AGE_MAX: i64 = 21 * 24 * 3_600_000;

/// Whether an id could be claimed when its message was handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Claimable {
    /// It could.
    Yes,
    /// It was too old when it was put on the topic.
    No,
    /// It depends on when it was handled: it has grown too old since, or lay too
    /// far ahead then.
    Perhaps,
    /// It lies before the oldest partition: if it had a row, that is gone.
    Purged,
}

/// Judges a message, now and by the time at which it was put on the topic.
pub(crate) fn claimable(message: &Message, now: i64, horizon: i64) -> Claimable {
    let id = Uuid::from_u128(message.id);
    let follows = message.kind == Kind::Follows;
    claimable_id(id, follows, message.at, (now, horizon))
}

/// Judges the id of a message that was put on the topic at `at`; `follows`: it
/// follows from a request.
pub(crate) fn claimable_id(
    id: Uuid,
    follows: bool,
    at: i64,
    (now, horizon): (i64, i64),
) -> Claimable {
    let time = identity::time_of(id);
    if time < horizon {
        Claimable::Purged
    } else if time > at + CLOCK_SKEW_MILLIS {
        Claimable::Perhaps
    } else if follows || time >= now - REQUEST_AGE_MAX {
        Claimable::Yes
    } else if time < at - REQUEST_AGE_MAX {
        Claimable::No
    } else {
        Claimable::Perhaps
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::{Place, Source};

    const DAY: i64 = 24 * 3_600_000;
    const NOW: i64 = 1_790_000_000_000;

    fn judged(age: i64, put_before: i64, kind: Kind) -> Claimable {
        let message = Message {
            id: identity::lower_bound(NOW - age).as_u128(),
            content: 0,
            payer: 0,
            payee: 0,
            amount: 0,
            at: NOW - put_before,
            place: Place {
                source: Source::Request,
                partition: 0,
                offset: 0,
            },
            bytes: 0,
            kind,
        };
        claimable(&message, NOW, NOW - 35 * DAY)
    }

    #[test]
    fn ids_that_are_too_old_or_lie_ahead_are_not_claimed() {
        assert_eq!(judged(DAY, 0, Kind::Plain), Claimable::Yes);
        assert_eq!(judged(21 * DAY, 0, Kind::Plain), Claimable::Yes);
        assert_eq!(judged(22 * DAY, 0, Kind::Plain), Claimable::No);
        assert_eq!(judged(22 * DAY, 22 * DAY, Kind::Plain), Claimable::Perhaps);
        assert_eq!(judged(36 * DAY, 0, Kind::Plain), Claimable::Purged);
        assert_eq!(judged(-DAY, 0, Kind::Plain), Claimable::Yes);
        assert_eq!(judged(-DAY - 1, 0, Kind::Plain), Claimable::Perhaps);
    }

    #[test]
    fn what_follows_from_a_request_may_be_as_old_as_the_partitions() {
        assert_eq!(judged(34 * DAY, 0, Kind::Follows), Claimable::Yes);
        assert_eq!(judged(36 * DAY, 0, Kind::Follows), Claimable::Purged);
    }
}
