//! What is to become of each message of a batch, before any is decided on: which
//! are new, which are known, which wait behind another, and which can never work.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use mypay_decide::Reason;
use mypay_idempotency::horizon::{Beyond, Horizon};
use mypay_idempotency::lane::{Before, Lane};
use mypay_idempotency::parked::{self, Member};
use mypay_idempotency::queue_log::{self, Known, Outcome, Status};
use mypay_schemas::ContentHash;
use mypay_schemas::identity::IdHash;
use sqlx::PgConnection;
use uuid::Uuid;

use super::batch::Mode;
use super::dead_letter::Why;
use super::handler::{Arrived, Handler};
use super::intake::Arrival;
use super::queues::{Queues, Turn};
use super::recent::Recent;

/// What is to become of a message.
pub(super) enum Fate {
    /// Handled now.
    Fresh,
    /// Handled before, at this very offset: its events are made again.
    Again(Outcome),
    /// Known from another offset, or its events are in Kafka already.
    Nothing,
    /// Known from another offset.
    Duplicate,
    /// To the dead letters.
    Dead(Why),
    /// Rejected without a claim.
    Unclaimable(Reason),
}

/// Looks up what may be known: in a careful attempt every id, else those for
/// which something speaks.
pub(super) async fn look_up<H: Handler>(
    connection: &mut PgConnection,
    lane: &Lane,
    horizon: &Horizon,
    before: &Before,
    batch: &[Arrival<H::Message>],
    recent: &Recent,
    mode: &Mode,
) -> Result<Seen, sqlx::Error> {
    let queues = if before.parked {
        Queues::load(connection, lane.consumer, keys::<H>(batch)).await?
    } else {
        Queues::default()
    };
    // What is known of a message goes before its place in a queue.
    let is_parked = |arrived: &Arrived<H::Message>| {
        !queues.is_empty() && queues.is_parked(&parked::shortened(H::key(&arrived.message)))
    };
    // The first and the last tell whether the batch comes from the edge, which
    // puts a waiting row before each message.
    let (first, last) = (0, batch.len() - 1);
    let suspects: Vec<Uuid> = batch
        .iter()
        .enumerate()
        .filter_map(|(place, arrival)| match arrival {
            Arrival::Request(arrived) => Some((place, arrived)),
            _ => None,
        })
        .filter(|(place, arrived)| {
            // One that is too old to be taken may have been handled in its time.
            mode.careful
                || *place == first
                || *place == last
                || arrived.offset < before.next_offset
                || recent.contains(&arrived.id)
                || horizon
                    .check(arrived.id, before.at, arrived.created_at, false)
                    .is_err()
                || is_parked(arrived)
        })
        .map(|(_, arrived)| arrived.id)
        .collect();
    let known = queue_log::known(connection, lane.consumer, &suspects).await?;
    let waiting = known.values().any(|known| known.status == Status::Waiting);
    Ok(Seen {
        known,
        waiting,
        queues,
        rivals: false,
        first_in_batch: HashMap::with_capacity_and_hasher(batch.len(), IdHash::default()),
    })
}

fn keys<H: Handler>(batch: &[Arrival<H::Message>]) -> impl Iterator<Item = String> {
    batch.iter().filter_map(|arrival| match arrival {
        Arrival::Request(arrived) => Some(parked::shortened(H::key(&arrived.message))),
        _ => None,
    })
}

/// What became of a batch's messages.
pub(super) struct Fates {
    /// Of each message, in their order.
    pub(super) fates: Vec<Fate>,
    /// Whether some of the new ones have the same id.
    pub(super) rivals: bool,
    /// What the batch does to the queues of parked keys.
    pub(super) queues: Queues,
}

/// Finds out which messages are new, which are known, and which can never work.
pub(super) fn fates<H: Handler>(
    mut seen: Seen,
    lane: &Lane,
    horizon: &Horizon,
    before: &Before,
    batch: &[Arrival<H::Message>],
    mode: &Mode,
) -> Fates {
    let fates = batch
        .iter()
        .map(|arrival| {
            let fate = match arrival {
                Arrival::Dead { why, .. } => Fate::Dead(why.clone()),
                Arrival::Foreign { .. } => Fate::Nothing,
                Arrival::Unclaimable { reason, .. } => Fate::Unclaimable(*reason),
                Arrival::Request(arrived) => seen.fate::<H>(arrived, lane, horizon, before, mode),
            };
            match fate {
                // In Kafka for certain: somebody has set the offsets back. (What
                // was claimed is told apart by its row.)
                Fate::Dead(_) | Fate::Unclaimable(_)
                    if arrival.offset() < before.emitted_offset =>
                {
                    Fate::Nothing
                }
                fate => fate,
            }
        })
        .collect();
    Fates {
        fates,
        rivals: seen.rivals,
        queues: seen.queues,
    }
}

/// What is known while the messages of a batch are looked at in their order.
pub(super) struct Seen {
    known: HashMap<Uuid, Known>,
    /// Whether one of those waits, put there by the edge.
    pub(super) waiting: bool,
    queues: Queues,
    /// Whether new messages have the same id with different contents. Which of them
    /// is the first is known when those before it are decided on: what is not
    /// claimed must not keep out what is.
    rivals: bool,
    first_in_batch: HashMap<Uuid, ContentHash, IdHash>,
}

impl Seen {
    fn fate<H: Handler>(
        &mut self,
        arrived: &Arrived<H::Message>,
        lane: &Lane,
        horizon: &Horizon,
        before: &Before,
        mode: &Mode,
    ) -> Fate {
        let fate = self.known_fate::<H>(arrived, lane, horizon, before);
        let in_kafka = arrived.offset < before.emitted_offset;
        let parked = (!self.queues.is_empty())
            .then(|| member::<H>(arrived))
            .filter(|member| self.queues.is_parked(&member.key));
        let fate = match &parked {
            Some(member) => self.parked_fate(fate, member, before, in_kafka),
            None => fate,
        };
        if !matches!(fate, Fate::Fresh) {
            return fate;
        }
        // Only a message that is to be handled is the first of its id: one that
        // conflicts with a row must not keep the right one out.
        match self.first_in_batch.entry(arrived.id) {
            Entry::Occupied(first) if *first.get() == arrived.content_hash => {
                return Fate::Duplicate;
            }
            Entry::Occupied(_) => self.rivals = true,
            Entry::Vacant(place) => {
                place.insert(arrived.content_hash);
            }
        }
        if let Some(detail) = &mode.defect {
            if !in_kafka {
                self.queues.join(member::<H>(arrived), detail);
            }
            return Fate::Dead(Why {
                reason: "defect",
                detail: detail.clone(),
            });
        }
        if let Some(member) = parked {
            // It has its turn, and whatever is decided on it is its answer.
            self.queues.leave(member);
        }
        Fate::Fresh
    }

    /// What the age of the id and the row of the message tell.
    fn known_fate<H: Handler>(
        &self,
        arrived: &Arrived<H::Message>,
        lane: &Lane,
        horizon: &Horizon,
        before: &Before,
    ) -> Fate {
        let follows = H::follows(&arrived.message);
        match self.known.get(&arrived.id) {
            Some(known) => seen_before(known, arrived, lane, before),
            None => match horizon.check(arrived.id, before.at, arrived.created_at, follows) {
                Ok(()) => Fate::Fresh,
                Err(beyond) => too_old_or_new(beyond, follows),
            },
        }
    }

    /// A message of a parked key: what waits before it?
    fn parked_fate(
        &mut self,
        fate: Fate,
        member: &Member,
        before: &Before,
        in_kafka: bool,
    ) -> Fate {
        match fate {
            Fate::Fresh if self.is_first(member) => Fate::Duplicate,
            // Somebody has set the offsets back. It had its dead letter then, and
            // one that is put through again comes at an offset of its own.
            Fate::Fresh if in_kafka => Fate::Nothing,
            // It was put aside at this offset, and its letter may not be in Kafka. Not
            // its turn, even as the head: a settlement may have been cut behind it.
            Fate::Fresh if member.offset < before.next_offset => parked_behind(),
            Fate::Fresh => match self.queues.turn(member) {
                Turn::Its => Fate::Fresh,
                Turn::Conflict => conflict(),
                Turn::Anothers => {
                    self.queues.join(member.clone(), "parked_behind");
                    parked_behind()
                }
            },
            // It has its answer; nobody waits for it any more.
            Fate::Duplicate | Fate::Dead(_) | Fate::Unclaimable(_) if !in_kafka => {
                self.queues.leave(member.clone());
                fate
            }
            fate => fate,
        }
    }

    /// Whether a message of the batch is handled that is the same.
    fn is_first(&self, member: &Member) -> bool {
        self.first_in_batch.get(&member.message_id) == Some(&member.content_hash)
    }
}

fn member<H: Handler>(arrived: &Arrived<H::Message>) -> Member {
    Member {
        key: parked::shortened(H::key(&arrived.message)),
        message_id: arrived.id,
        content_hash: arrived.content_hash,
        offset: arrived.offset,
    }
}

fn parked_behind() -> Fate {
    Fate::Dead(Why {
        reason: "parked_behind",
        detail: "this message, or an earlier one of its key, awaits a redrive".to_string(),
    })
}

fn too_old_or_new(beyond: Beyond, follows: bool) -> Fate {
    if follows {
        // Never silently: somebody waits for what this message tells.
        return Fate::Dead(Why {
            reason: "past_horizon",
            detail: "the request behind it is older than queue_log remembers".to_string(),
        });
    }
    Fate::Unclaimable(match beyond {
        Beyond::Past => Reason::PastHorizon,
        Beyond::Future => Reason::IdFromTheFuture,
    })
}

pub(super) fn repeated(first: ContentHash, again: ContentHash) -> Fate {
    if first == again {
        Fate::Duplicate
    } else {
        conflict()
    }
}

fn conflict() -> Fate {
    Fate::Dead(Why {
        reason: "id_conflict",
        detail: "this id was used before with other content; give a new request a new id"
            .to_string(),
    })
}

fn seen_before<M>(known: &Known, arrived: &Arrived<M>, lane: &Lane, before: &Before) -> Fate {
    if known.content_hash != arrived.content_hash {
        return conflict();
    }
    if known.status == Status::Waiting {
        return Fate::Fresh;
    }
    let here = known
        .place
        .as_ref()
        .is_some_and(|(topic, partition, offset)| {
            *topic == lane.topic && *partition == lane.partition && *offset == arrived.offset
        });
    if !here {
        Fate::Duplicate
    } else if arrived.offset < before.emitted_offset {
        // Somebody has set the group's offsets back; what Kafka has, it keeps.
        Fate::Nothing
    } else {
        Fate::Again(known.outcome.clone())
    }
}
