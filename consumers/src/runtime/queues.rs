//! The queues of parked keys, as a batch meets them.
//!
//! What a message of a parked key may do is decided here, in memory, while the
//! messages of the batch are looked at in their order; what comes of it is written
//! in the batch's own commit. An attempt that is rolled back has changed nothing,
//! and the next one reads the queues anew.

use std::collections::{BTreeMap, HashMap, VecDeque};

use chrono::{DateTime, Utc};
use mypay_idempotency::lane::Lane;
use mypay_idempotency::parked::{self, Member, Queued};
use sqlx::PgConnection;

/// What a message of some key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// Nobody waits before it.
    Its,
    /// Others wait before it.
    Anothers,
    /// One with its id waits, with other content.
    Conflict,
}

/// The queues of a batch's keys, and what the batch does to them.
#[derive(Debug, Default)]
pub(super) struct Queues {
    waiting: HashMap<String, VecDeque<Queued>>,
    joining: Vec<(Member, String)>,
    leaving: Vec<Member>,
}

impl Queues {
    /// Loads the queues of these keys, [`parked::shortened`], each as often as there
    /// are messages of it.
    pub(super) async fn load(
        connection: &mut PgConnection,
        consumer: &str,
        keys: impl Iterator<Item = String>,
    ) -> Result<Self, sqlx::Error> {
        let mut wanted: BTreeMap<String, i64> = BTreeMap::new();
        for key in keys {
            *wanted.entry(key).or_default() += 1;
        }
        let wanted: Vec<(&str, i64)> = wanted
            .iter()
            .map(|(key, messages)| (key.as_str(), *messages))
            .collect();
        let heads = parked::heads(connection, consumer, &wanted).await?;
        Ok(Self::of(heads))
    }

    fn of(heads: Vec<(String, Queued)>) -> Self {
        let mut queues = Self::default();
        for (key, queued) in heads {
            queues.waiting.entry(key).or_default().push_back(queued);
        }
        queues
    }

    /// Whether nothing waits that concerns the batch.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether messages of a key wait.
    pub(super) fn is_parked(&self, key: &str) -> bool {
        self.waiting.get(key).is_some_and(|queue| !queue.is_empty())
    }

    /// Whose turn it is, where a message has come.
    pub(super) fn turn(&self, member: &Member) -> Turn {
        let Some(queue) = self.waiting.get(&member.key) else {
            return Turn::Its;
        };
        let place = queue
            .iter()
            .position(|it| it.message_id == member.message_id);
        match place {
            Some(place) if !is(&queue[place], member) => Turn::Conflict,
            Some(0) => Turn::Its,
            None if queue.is_empty() => Turn::Its,
            Some(_) | None => Turn::Anothers,
        }
    }

    /// Puts a message at the end of its key's queue, unless it waits there.
    pub(super) fn join(&mut self, member: Member, why: &str) {
        let queue = self.waiting.entry(member.key.clone()).or_default();
        if queue.iter().any(|it| it.message_id == member.message_id) {
            return;
        }
        // It may wait further back than was loaded: then its row stays as it is, and
        // no message of this batch finds it at the head.
        queue.push_back(Queued {
            message_id: member.message_id,
            content_hash: Some(member.content_hash),
        });
        self.joining.push((member, why.to_string()));
    }

    /// Takes a message out of its key's queue: it has its answer.
    pub(super) fn leave(&mut self, member: Member) {
        if let Some(queue) = self.waiting.get_mut(&member.key) {
            queue.retain(|it| it.message_id != member.message_id || !is(it, &member));
            self.leaving.push(member);
        }
    }

    /// Writes what the batch has done to the queues.
    pub(super) async fn write(
        &self,
        connection: &mut PgConnection,
        lane: &Lane,
        at: DateTime<Utc>,
    ) -> Result<(), sqlx::Error> {
        parked::join(connection, lane, &self.joining, at).await?;
        // After that: what joined may have had its turn in the same batch.
        parked::leave(connection, lane.consumer, &self.leaving).await
    }
}

/// Whether a message that waits is this one.
fn is(queued: &Queued, member: &Member) -> bool {
    queued.message_id == member.message_id
        && queued
            .content_hash
            .is_none_or(|hash| hash == member.content_hash)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn member(id: u128) -> Member {
        Member {
            key: "a".to_string(),
            message_id: Uuid::from_u128(id),
            content_hash: [1; 16],
            offset: id as i64,
        }
    }

    fn queues(ids: &[u128]) -> Queues {
        let queued = |id: &u128| {
            let queued = Queued {
                message_id: Uuid::from_u128(*id),
                content_hash: Some([1; 16]),
            };
            ("a".to_string(), queued)
        };
        Queues::of(ids.iter().map(queued).collect())
    }

    #[test]
    fn each_has_its_turn_when_those_before_it_have_left() {
        let mut queues = queues(&[1, 2]);
        assert_eq!(queues.turn(&member(2)), Turn::Anothers);
        assert_eq!(queues.turn(&member(1)), Turn::Its);
        queues.leave(member(1));
        assert_eq!(queues.turn(&member(2)), Turn::Its);
        queues.leave(member(2));
        assert!(!queues.is_parked("a"));
        assert_eq!(queues.turn(&member(9)), Turn::Its);
        assert_eq!(queues.leaving.len(), 2);
    }

    #[test]
    fn what_comes_new_waits_behind_all_others_and_once() {
        let mut queues = queues(&[1]);
        assert_eq!(queues.turn(&member(3)), Turn::Anothers);
        queues.join(member(3), "behind");
        queues.join(member(3), "behind");
        assert_eq!(queues.joining.len(), 1);
        queues.leave(member(1));
        assert_eq!(queues.turn(&member(4)), Turn::Anothers);
        assert_eq!(queues.turn(&member(3)), Turn::Its);
    }

    #[test]
    fn a_head_that_dies_again_keeps_its_place() {
        let mut queues = queues(&[1, 2]);
        queues.join(member(1), "still defective");
        assert_eq!(queues.joining, []);
        assert_eq!(queues.turn(&member(1)), Turn::Its);
    }

    #[test]
    fn other_content_under_the_id_of_one_that_waits_does_not_take_its_place() {
        let mut queues = queues(&[1, 2]);
        let other = |id| Member {
            content_hash: [2; 16],
            ..member(id)
        };
        assert_eq!(queues.turn(&other(1)), Turn::Conflict);
        assert_eq!(queues.turn(&other(2)), Turn::Conflict);
        queues.leave(other(1));
        assert_eq!(queues.turn(&member(1)), Turn::Its);
    }

    #[test]
    fn other_keys_are_of_no_concern() {
        let mut queues = queues(&[1]);
        let mut stranger = member(7);
        stranger.key = "b".to_string();
        assert!(!queues.is_parked("b"));
        assert_eq!(queues.turn(&stranger), Turn::Its);
        queues.leave(stranger);
        assert_eq!(queues.leaving, []);
    }
}
