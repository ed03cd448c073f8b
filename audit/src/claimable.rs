//! Which ids `queue_log` can hold: the rule of design §3, judged from outside.

use mypay_idempotency::horizon::CLOCK_SKEW_MILLIS;
use mypay_schemas::identity;
use uuid::Uuid;

/// Reasons of rejections that leave no row in `queue_log`.
pub(crate) const REFUSALS: [&str; 3] = ["id_without_time", "past_horizon", "id_from_the_future"];

/// Reasons of dead letters that say nothing about the message itself: a defect
/// of ours, a key that is parked behind one, a schema that was not yet registered.
pub(crate) const PUT_ASIDE: [&str; 3] = ["defect", "parked_behind", "unknown_schema_id"];

/// Whether an id could be claimed when its message was handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Claimable {
    /// It could.
    Yes,
    /// It lies before the oldest partition: if it was handled while there was
    /// one, its row was purged; else it was refused.
    Past,
    /// It lay too far ahead when it was put on the topic. It was refused, unless
    /// it was handled so late that its time had come.
    MaybeFuture,
}

/// Judges an id by the time at which its message was put on the topic.
pub(crate) fn claimable(id: u128, at: i64, horizon: i64) -> Claimable {
    let time = identity::time_of(Uuid::from_u128(id));
    if time < horizon {
        Claimable::Past
    } else if time > at + CLOCK_SKEW_MILLIS {
        Claimable::MaybeFuture
    } else {
        Claimable::Yes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_before_the_horizon_or_far_ahead_are_not_claimed() {
        let id = |millis: i64| identity::lower_bound(millis).as_u128();
        let (at, horizon) = (10_000_000_000, 9_000_000_000);
        assert_eq!(claimable(id(at), at, horizon), Claimable::Yes);
        assert_eq!(claimable(id(horizon - 1), at, horizon), Claimable::Past);
        assert_eq!(
            claimable(id(at + CLOCK_SKEW_MILLIS), at, horizon),
            Claimable::Yes
        );
        assert_eq!(
            claimable(id(at + CLOCK_SKEW_MILLIS + 1), at, horizon),
            Claimable::MaybeFuture
        );
    }
}
