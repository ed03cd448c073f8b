//! The bounded queue between fetching and the database, a lane each.
//!
//! A lane's messages are taken when a worker is free, as many as there are up
//! to a batch: so batches are small and quick while little comes in, and large
//! and cheap when much does, with no timer that trades one for the other.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use rdkafka::consumer::ConsumerGroupMetadata;
use tokio::sync::Notify;

use super::dead_letter::Why;
use super::handler::{Arrived, Raw};
use super::recent::Recent;

/// How many messages may wait for the database.
const CAPACITY: usize = 15_000;
/// A batch of so many waits for nothing.
const LARGE_BATCH: usize = 500;
/// How many bytes they may have: messages of a megabyte are few, but a thousand
/// of them would be a gigabyte.
const CAPACITY_BYTES: usize = 32 * 1024 * 1024;

/// One assignment of partitions by the group.
///
/// Its group metadata carries the generation: results that were made under an
/// older assignment cannot be committed under a newer one, because Kafka
/// refuses the generation. So they are never sent with any other.
pub struct Assignment {
    /// Proves to the broker which generation this is.
    pub group: Arc<ConsumerGroupMetadata>,
    alive: AtomicBool,
}

impl Assignment {
    /// Whether the partitions are still ours.
    pub fn is_alive(&self) -> bool {
        self.alive.load(Ordering::Acquire)
    }

    /// Ends it: nothing more of it is sent.
    pub fn end(&self) {
        self.alive.store(false, Ordering::Release);
    }
}

/// A message in a lane's queue.
pub enum Arrival<M> {
    /// To be handled.
    Request(Box<Arrived<M>>),
    /// Can never be handled.
    Dead {
        /// Its offset.
        offset: i64,
        /// Its bytes.
        raw: Raw,
        /// Why.
        why: Why,
    },
    /// Decoded, but its id cannot be claimed.
    Unclaimable {
        /// The message, under an id that stands for it in the result.
        arrived: Box<Arrived<M>>,
        /// Why.
        reason: mypay_decide::Reason,
    },
    /// Does not concern this consumer.
    Foreign {
        /// Its offset.
        offset: i64,
    },
}

impl<M> Arrival<M> {
    /// Its offset.
    pub fn offset(&self) -> i64 {
        match self {
            Arrival::Request(arrived) | Arrival::Unclaimable { arrived, .. } => arrived.offset,
            Arrival::Dead { offset, .. } | Arrival::Foreign { offset } => *offset,
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Arrival::Request(arrived) | Arrival::Unclaimable { arrived, .. } => arrived.raw.bytes(),
            Arrival::Dead { raw, .. } => raw.bytes(),
            Arrival::Foreign { .. } => 0,
        }
    }
}

/// A lane's name within the consumer.
pub type LaneKey = (&'static str, i32);

/// A batch of a lane; the lane gives out no other until it is done.
pub struct Work<M> {
    /// The lane.
    pub lane: LaneKey,
    /// The assignment under which it was fetched.
    pub assignment: Arc<Assignment>,
    /// The messages, by ascending offset.
    pub messages: Vec<Arrival<M>>,
    /// The first offset that Kafka gave out in this assignment.
    pub first_offset: i64,
    /// The epoch, once it was raised for this assignment.
    pub epoch: Option<i64>,
    /// Ids seen lately.
    pub recent: Recent,
    /// The offset up to which results are in Kafka; the emitter moves it.
    pub emitted: Arc<AtomicI64>,
    /// Whether at least as much again waits in the lanes.
    pub more: bool,
    /// Whether the lane's last events still wait for the emitter: until it has
    /// taken them up, the lane gives out no small batch. So batches grow with
    /// the time that a Kafka transaction takes, and each transaction finds one
    /// batch of each lane: more and smaller ones would cost the database, and
    /// bring no result earlier.
    pub waiting: Arc<AtomicBool>,
}

struct LaneQueue<M> {
    messages: VecDeque<Arrival<M>>,
    busy: bool,
    first_offset: i64,
    epoch: Option<i64>,
    recent: Recent,
    emitted: Arc<AtomicI64>,
    waiting: Arc<AtomicBool>,
}

impl<M> LaneQueue<M> {
    fn is_ready(&self) -> bool {
        let waiting = self.waiting.load(Ordering::Acquire) && self.messages.len() < LARGE_BATCH;
        !self.busy && !self.messages.is_empty() && !waiting
    }
}

struct State<M> {
    assignment: Option<Arc<Assignment>>,
    generation: u64,
    lanes: HashMap<LaneKey, LaneQueue<M>>,
    queued: usize,
    bytes: usize,
    closed: bool,
}

impl<M> State<M> {
    fn is_full(&self) -> bool {
        self.queued >= CAPACITY || self.bytes >= CAPACITY_BYTES
    }
}

/// The queues of all lanes.
pub struct Intake<M> {
    state: Mutex<State<M>>,
    ready: Notify,
    room: Condvar,
}

impl<M> Default for Intake<M> {
    fn default() -> Self {
        Self {
            state: Mutex::new(State {
                assignment: None,
                generation: 0,
                lanes: HashMap::new(),
                queued: 0,
                bytes: 0,
                closed: false,
            }),
            ready: Notify::new(),
            room: Condvar::new(),
        }
    }
}

impl<M> Intake<M> {
    fn lock(&self) -> MutexGuard<'_, State<M>> {
        self.state
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Begins a new assignment; what was queued under the old one is dropped.
    pub fn assign(&self, group: ConsumerGroupMetadata) {
        self.revoke();
        let mut state = self.lock();
        let group = Arc::new(group);
        state.assignment = Some(Arc::new(Assignment {
            group,
            alive: AtomicBool::new(true),
        }));
    }

    /// Ends the assignment: nothing that was fetched under it takes effect
    /// beyond what the database has already committed.
    pub fn revoke(&self) {
        let mut state = self.lock();
        if let Some(assignment) = state.assignment.take() {
            assignment.alive.store(false, Ordering::Release);
        }
        state.generation += 1;
        state.lanes.clear();
        state.queued = 0;
        state.bytes = 0;
        self.room.notify_all();
    }

    /// Counts the assignments. A message is pushed under the generation that it
    /// was polled in.
    pub fn generation(&self) -> u64 {
        self.lock().generation
    }

    /// Puts a message in its lane's queue.
    ///
    /// One that was polled under an earlier assignment is dropped: the new one
    /// begins at the committed offsets, and fetches it again if it is ours. In
    /// the new lane it would pass for the first of its assignment, whose offset
    /// says what is in Kafka.
    pub fn push(&self, generation: u64, lane: LaneKey, arrival: Arrival<M>) {
        let mut state = self.lock();
        if state.assignment.is_none() || state.generation != generation {
            return;
        }
        let (offset, bytes) = (arrival.offset(), arrival.bytes());
        let queue = state.lanes.entry(lane).or_insert_with(|| LaneQueue {
            messages: VecDeque::new(),
            busy: false,
            first_offset: offset,
            epoch: None,
            recent: Recent::default(),
            emitted: Arc::new(AtomicI64::new(offset)),
            waiting: Arc::default(),
        });
        queue.messages.push_back(arrival);
        // A lane that waits for the emitter rings again when its batch is large.
        let ring = !queue.busy && matches!(queue.messages.len(), 1 | LARGE_BATCH);
        state.queued += 1;
        state.bytes += bytes;
        drop(state);
        if ring {
            self.ready.notify_one();
        }
    }

    /// Waits until there is room, at most for `patience`; tells whether there is.
    pub fn wait_for_room(&self, patience: Duration) -> bool {
        let state = self.lock();
        let (state, _) = self
            .room
            .wait_timeout_while(state, patience, |state| state.is_full() && !state.closed)
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        !state.is_full()
    }

    /// The next batch: of the idle lane with most waiting. `None` when closed.
    pub async fn take(&self, at_most: usize) -> Option<Work<M>> {
        loop {
            let ready = self.ready.notified();
            {
                let mut state = self.lock();
                if state.closed {
                    return None;
                }
                if let Some(work) = take_fullest(&mut state, at_most) {
                    if state.lanes.values().any(LaneQueue::is_ready) {
                        self.ready.notify_one();
                    }
                    self.room.notify_all();
                    return Some(work);
                }
            }
            ready.await;
        }
    }

    /// Ends a batch: its lane may give out the next.
    pub fn done(&self, work: Work<M>) {
        let mut state = self.lock();
        let current = state
            .assignment
            .as_ref()
            .is_some_and(|assignment| Arc::ptr_eq(assignment, &work.assignment));
        if !current {
            return;
        }
        if let Some(queue) = state.lanes.get_mut(&work.lane) {
            queue.busy = false;
            queue.epoch = work.epoch;
            queue.recent = work.recent;
            if !queue.messages.is_empty() {
                drop(state);
                self.ready.notify_one();
            }
        }
    }

    /// Whether a batch belongs to the assignment that the group counts on.
    pub fn is_current(&self, work: &Work<M>) -> bool {
        let state = self.lock();
        !state.closed
            && state
                .assignment
                .as_ref()
                .is_some_and(|assignment| Arc::ptr_eq(assignment, &work.assignment))
    }

    /// The lanes with their epochs, and where it stands what of each is in Kafka.
    pub fn emitted(&self) -> Vec<(LaneKey, i64, Arc<AtomicI64>)> {
        let state = self.lock();
        state
            .lanes
            .iter()
            .filter_map(|(lane, queue)| Some((*lane, queue.epoch?, Arc::clone(&queue.emitted))))
            .collect()
    }

    /// Up to which offset each lane is done with, its results in Kafka.
    pub fn done_to(&self) -> HashMap<LaneKey, i64> {
        let state = self.lock();
        let done_to = |queue: &LaneQueue<M>| queue.emitted.load(Ordering::Acquire);
        let lanes = state.lanes.iter();
        lanes.map(|(lane, queue)| (*lane, done_to(queue))).collect()
    }

    /// The emitter has taken events up: their lanes may have batches ready.
    pub fn look_again(&self) {
        self.ready.notify_one();
    }

    /// Ends the intake: workers get no more batches.
    pub fn close(&self) {
        self.lock().closed = true;
        self.ready.notify_waiters();
        self.room.notify_all();
    }
}

fn take_fullest<M>(state: &mut State<M>, at_most: usize) -> Option<Work<M>> {
    let assignment = Arc::clone(state.assignment.as_ref()?);
    let (lane, queue) = state
        .lanes
        .iter_mut()
        .filter(|(_, queue)| queue.is_ready())
        .max_by_key(|(_, queue)| queue.messages.len())?;
    let count = queue.messages.len().min(at_most);
    let messages: Vec<_> = queue.messages.drain(..count).collect();
    queue.busy = true;
    let work = Work {
        lane: *lane,
        assignment,
        messages,
        first_offset: queue.first_offset,
        epoch: queue.epoch,
        recent: std::mem::take(&mut queue.recent),
        emitted: Arc::clone(&queue.emitted),
        waiting: Arc::clone(&queue.waiting),
        more: state.queued >= 2 * count.max(at_most / 2),
    };
    state.queued -= count;
    state.bytes -= work.messages.iter().map(Arrival::bytes).sum::<usize>();
    Some(work)
}
