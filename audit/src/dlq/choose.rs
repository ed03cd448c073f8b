//! Which messages a redrive wants to put through: a function of the letters, of the
//! queues of parked keys, and of what `queue_log` knows.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use mypay_idempotency::queue_log::{Known, Status};
use mypay_schemas::Flow;
use uuid::Uuid;

use super::letter::{Bytes, Letter};
use super::named::Named;
use super::parked::{Parked, Queues};
use super::redrive::{LeftOut, Selector};
use crate::at::At;
use crate::claimable::{Claimable, claimable_id};

/// A message that is wanted.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    /// Whose consumer it is for.
    pub(super) flow: Flow,
    /// Its id, where that can be read.
    pub(super) id: Option<Uuid>,
    /// Where it lies, the first place first: each time that it was put through it has
    /// come to lie at another.
    pub(super) places: Vec<At<'static>>,
    /// What makes a message at such a place the one that is wanted.
    pub(super) is: Is,
    /// Which queue it waits in.
    pub(super) queue: Option<usize>,
}

/// What makes a message the one that is wanted.
#[derive(Debug, Clone)]
pub(super) enum Is {
    /// Its bytes, of which letters tell.
    Bytes(Bytes),
    /// Its id and content, of which its row in the queue tells.
    Message(Uuid, Option<[u8; 16]>),
}

/// What is known of the messages.
pub(super) struct About<'a> {
    /// The queues of parked keys.
    pub(super) queues: &'a Queues,
    /// What `queue_log` has.
    pub(super) known: &'a HashMap<(Flow, Uuid), Known>,
    /// What people have given up.
    pub(super) given_up: &'a HashSet<(Flow, Uuid)>,
    /// Now, and from when on ids are remembered; milliseconds.
    pub(super) clock: (i64, i64),
}

/// What was chosen.
#[derive(Debug, Default)]
pub(super) struct Choice {
    /// How many letters were selected.
    pub(super) letters: u64,
    /// How many of them hold a message that another one holds, too.
    pub(super) repeated: u64,
    /// The parked keys whose queues are put through.
    pub(super) queues: Vec<(Flow, String)>,
    /// The messages, in the order in which they are put through: queue by queue, then
    /// the others by their places.
    pub(super) wanted: Vec<Wanted>,
    /// What is not, and why.
    pub(super) left_out: BTreeMap<LeftOut, u64>,
}

/// Chooses among all letters of the flows that may be concerned.
pub(super) fn choose(letters: &[Letter], selector: &Selector, about: &About<'_>) -> Choice {
    let chosen: Vec<&Letter> = letters.iter().filter(|it| selector.takes(it)).collect();
    let mut choice = Choice {
        letters: chosen.len() as u64,
        queues: keys(&chosen, selector, about.queues).into_iter().collect(),
        ..Choice::default()
    };
    let by_id = by_id(letters);
    for (number, key) in choice.queues.iter().enumerate() {
        let queue = about.queues.get(key).into_iter().flatten();
        choice.wanted.extend(queue.map(|parked| Wanted {
            flow: key.0,
            id: Some(parked.id),
            places: places_of(parked, by_id.get(&(key.0, parked.id))),
            is: Is::Message(parked.id, parked.content),
            queue: Some(number),
        }));
    }
    let originals = by_original(&chosen);
    choice.repeated = choice.letters - originals.len() as u64;
    let mut others = Vec::new();
    for letters in originals {
        let named = letters[0].named();
        if named.is_some_and(|it| waits(letters[0].flow, it, about.queues)) {
            continue;
        }
        match named.and_then(|it| reason_against(letters[0].flow, it, about)) {
            Some(reason) => *choice.left_out.entry(reason).or_default() += 1,
            None => others.push(Wanted {
                flow: letters[0].flow,
                id: named.map(|it| it.id),
                places: letters.iter().map(|letter| letter.of).collect(),
                is: Is::Bytes(letters[0].bytes),
                queue: None,
            }),
        }
    }
    others.sort_by(|a, b| a.places.cmp(&b.places));
    choice.wanted.extend(others);
    choice
}

/// The parked keys that are concerned: those of the letters, and those of which the
/// letters may be gone.
fn keys(chosen: &[&Letter], selector: &Selector, queues: &Queues) -> BTreeSet<(Flow, String)> {
    let of_letters = chosen.iter().filter_map(|letter| {
        let key = (letter.flow, letter.named()?.key.clone());
        queues.contains_key(&key).then_some(key)
    });
    let without = queues
        .iter()
        .filter(|((flow, _), queue)| selector.takes_queue(*flow, queue))
        .map(|(key, _)| key.clone());
    of_letters.chain(without).collect()
}

fn by_id(letters: &[Letter]) -> HashMap<(Flow, Uuid), Vec<&Letter>> {
    let mut by_id: HashMap<_, Vec<&Letter>> = HashMap::new();
    for letter in letters {
        if let Some(named) = letter.named() {
            by_id
                .entry((letter.flow, named.id))
                .or_default()
                .push(letter);
        }
    }
    by_id
}

/// Where a parked message lies: where it first arrived, and where its letters say.
fn places_of(parked: &Parked, letters: Option<&Vec<&Letter>>) -> Vec<At<'static>> {
    let letters = letters.into_iter().flatten();
    let mut others: Vec<At<'static>> = letters
        .filter(|letter| letter.named().is_some_and(|named| is(parked, named)))
        .map(|letter| letter.of)
        .filter(|of| *of != parked.of)
        .collect();
    others.sort_unstable();
    others.dedup();
    others.insert(0, parked.of);
    others
}

/// Letters that hold the same bytes of the same partition hold the same message: it
/// died again each time that it was put through. The first place comes first.
fn by_original<'a>(chosen: &[&'a Letter]) -> Vec<Vec<&'a Letter>> {
    let mut originals: HashMap<_, Vec<&Letter>> = HashMap::new();
    for letter in chosen {
        let original = (
            letter.flow,
            letter.of.topic,
            letter.of.partition,
            letter.bytes,
        );
        originals.entry(original).or_default().push(letter);
    }
    let mut originals: Vec<_> = originals.into_values().collect();
    for letters in &mut originals {
        letters.sort_by_key(|letter| letter.of);
    }
    originals
}

fn is(parked: &Parked, named: &Named) -> bool {
    parked.id == named.id
        && parked
            .content
            .is_none_or(|content| content == named.content)
}

/// Whether a message waits in its key's queue, and so is wanted with that.
fn waits(flow: Flow, named: &Named, queues: &Queues) -> bool {
    let queue = queues.get(&(flow, named.key.clone())).into_iter().flatten();
    queue.into_iter().any(|parked| is(parked, named))
}

/// Why a message that is not parked need not be put through.
fn reason_against(flow: Flow, named: &Named, about: &About<'_>) -> Option<LeftOut> {
    let message = (flow, named.id);
    if about.given_up.contains(&message) {
        return Some(LeftOut::GivenUp);
    }
    let Some(known) = about.known.get(&message) else {
        // As the consumer will judge it: a message that is put on the topic now. One
        // that is parked goes through all the same, since its refusal frees its key.
        let claimable = claimable_id(named.id, named.follows, about.clock.0, about.clock);
        return (claimable != Claimable::Yes).then_some(LeftOut::Unclaimable);
    };
    if known.content_hash != named.content {
        return Some(LeftOut::Conflict);
    }
    match known.status {
        // Put there by the edge; no consumer has handled it.
        Status::Waiting => None,
        Status::Processing | Status::Done => Some(LeftOut::Done),
    }
}
