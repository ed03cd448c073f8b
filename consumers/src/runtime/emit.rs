//! The emit stage: results and input offsets in one Kafka transaction.
//!
//! All batches that wait are merged into one transaction: after a commit the
//! next transaction of the same producer is held up for 20 to 100 ms, so under
//! load few and large ones are cheaper. Several producers take turns, so that
//! at low load none of them is met while it is still held up. Transactions are
//! ended one after the other, in the order of the batches: were a later one of
//! a lane committed first, a crash would lose the results of the earlier one.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use mypay_idempotency::transaction::{Event, Size, TransactionalProducer};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::intake::{Assignment, LaneKey};
use super::metrics::{Metrics, Step};

/// How many producers take turns with small transactions.
///
/// When a commit has been answered, the brokers are still writing the transaction's end to
/// its partitions; the same producer's next one that comes before that is put off, by 20 ms
/// and more. With three, each had its turn again after some 25 ms (a thousand messages a
/// second, warm brokers), and p99 was 140 ms; with six it is 50 to 60.
const SMALL: usize = 6;
/// How many take turns with large ones.
const LARGE: usize = 2;
/// From so many events a transaction is a large one.
const LARGE_FROM: usize = 2_000;
/// How many events one transaction carries at the most, give or take a batch.
const EVENTS_AT_MOST: usize = 40_000;
/// With so many, no more are waited for.
const EVENTS_ENOUGH: usize = 12_000;
/// How long more are waited for while a backlog is worked off.
const GATHER_AT_MOST: Duration = Duration::from_millis(200);
const PATIENCE: Duration = Duration::from_secs(10);

/// A batch that the database has committed.
pub struct Emission {
    /// The assignment that it was fetched under.
    pub assignment: Arc<Assignment>,
    /// Its lane.
    pub lane: LaneKey,
    /// The offset after its last message.
    pub next_offset: i64,
    /// Its events.
    pub events: Vec<Event>,
    /// Moved to `next_offset` when the events are in Kafka.
    pub emitted: Arc<AtomicI64>,
    /// Whether more of the kind is about to come.
    pub more: bool,
    /// Set back when the emitter takes the events up.
    pub waiting: Arc<AtomicBool>,
    /// Its part of what may wait to be sent; given back when it was.
    pub _room: OwnedSemaphorePermit,
}

/// Held while the emitter connects, and dropped when it has.
pub type Connecting = std::sync::mpsc::SyncSender<()>;

/// Whose turn it is, among the producers of each size.
#[derive(Default)]
struct Turns {
    small: usize,
    large: usize,
}

impl Turns {
    /// The place of the producer for so many events.
    fn next(&mut self, events: usize) -> usize {
        if events < LARGE_FROM {
            self.small = (self.small + 1) % SMALL;
            self.small
        } else {
            self.large = (self.large + 1) % LARGE;
            SMALL + self.large
        }
    }
}

/// How many emissions are under way: a revocation waits for them.
#[derive(Default)]
pub struct UnderWay(AtomicUsize);

impl UnderWay {
    /// Whether nothing is being sent.
    pub fn is_idle(&self) -> bool {
        self.0.load(Ordering::Acquire) == 0
    }
}

/// Sends emissions until the channel closes. Blocks its thread.
pub struct Emitter<C: ConsumerContext + 'static> {
    /// The brokers.
    pub bootstrap: String,
    /// The stable name that the transactional ids begin with.
    pub name: String,
    /// The consumer, asked for committed offsets when in doubt.
    pub consumer: Arc<BaseConsumer<C>>,
    /// How many emissions are under way.
    pub under_way: Arc<UnderWay>,
    /// Where the time goes.
    pub metrics: Metrics,
    /// For waiting with a limit.
    pub runtime: tokio::runtime::Handle,
    /// Called when events were taken up.
    pub taken_up: Box<dyn Fn() + Send>,
}

impl<C: ConsumerContext + 'static> Emitter<C> {
    /// Runs the stage; `connected` is dropped when it can send.
    pub fn run(&self, mut queue: mpsc::UnboundedReceiver<Emission>, connected: Connecting) {
        let mut producers = self.connect_all();
        drop(connected);
        let mut turns = Turns::default();
        while let Some(first) = queue.blocking_recv() {
            self.under_way.0.store(1, Ordering::Release);
            let emissions = self.gather(first, &mut queue);
            self.emit(&mut producers, &mut turns, emissions);
            self.under_way.0.store(0, Ordering::Release);
        }
    }

    /// Takes what waits along with the first.
    ///
    /// Where more is about to come (a backlog is worked off, so nobody waits for
    /// this very batch), it is waited for: a transaction costs the brokers some
    /// tens of appends and requests, however few or many events it carries. Where
    /// nothing more waits to be handled, what is there goes at once.
    fn gather(
        &self,
        first: Emission,
        queue: &mut mpsc::UnboundedReceiver<Emission>,
    ) -> Vec<Emission> {
        let take_up = |emission: &Emission| {
            emission.waiting.store(false, Ordering::Release);
            (self.taken_up)();
        };
        take_up(&first);
        let until = tokio::time::Instant::now() + GATHER_AT_MOST;
        let mut events = first.events.len();
        let mut more = first.more;
        let mut emissions = vec![first];
        while events < EVENTS_AT_MOST {
            let next = if more && events < EVENTS_ENOUGH {
                let next = async { tokio::time::timeout_at(until, queue.recv()).await };
                self.runtime.block_on(next).ok().flatten()
            } else {
                queue.try_recv().ok()
            };
            let Some(emission) = next else { break };
            events += emission.events.len();
            more = emission.more;
            take_up(&emission);
            emissions.push(emission);
        }
        emissions
    }

    /// Connects all producers, side by side: one takes the brokers a tenth of a
    /// second, and nothing is emitted before.
    ///
    /// All of a process's ids are initialised at its start, so that nothing an
    /// earlier process left open holds up readers.
    fn connect_all(&self) -> Vec<Option<TransactionalProducer>> {
        let connecting: Vec<_> = (0..SMALL + LARGE)
            .map(|place| self.runtime.spawn_blocking(self.connector(place)))
            .collect();
        let connected = futures::future::join_all(connecting);
        let connected = self.runtime.block_on(connected).into_iter();
        connected.map(|producer| producer.ok().flatten()).collect()
    }

    /// Connects a producer; `None` where the brokers do not answer now.
    fn connect(&self, place: usize) -> Option<TransactionalProducer> {
        self.connector(place)()
    }

    fn connector(
        &self,
        place: usize,
    ) -> impl FnOnce() -> Option<TransactionalProducer> + Send + 'static {
        let (bootstrap, id) = (
            self.bootstrap.clone(),
            format!("mypay.{}.{place}", self.name),
        );
        let told = self.metrics.emit_requests();
        let size = if place < SMALL {
            Size::Small
        } else {
            Size::Large
        };
        move || {
            TransactionalProducer::connect(&bootstrap, &id, size, told)
                .inspect_err(
                    |error| tracing::warn!(id, %error, "the transactional producer did not connect"),
                )
                .ok()
        }
    }

    /// Sends emissions, again and again, until they are in Kafka or their
    /// partitions are somebody else's.
    fn emit(
        &self,
        producers: &mut [Option<TransactionalProducer>],
        turns: &mut Turns,
        mut emissions: Vec<Emission>,
    ) {
        let mut delays = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(20))
            .with_max_delay(Duration::from_secs(2))
            .with_jitter()
            .without_max_times()
            .build();
        loop {
            // Of two assignments only the later can be alive.
            emissions.retain(|emission| emission.assignment.is_alive());
            if emissions.is_empty() {
                return;
            }
            let events = emissions.iter().map(|emission| emission.events.len());
            let turn = turns.next(events.sum());
            let place = &mut producers[turn];
            if place.is_none() {
                *place = self.connect(turn);
            }
            let sent = match place.as_mut() {
                Some(producer) => transact(producer, &emissions, &self.metrics),
                None => Err(KafkaError::Canceled),
            };
            match sent {
                Ok(()) => {
                    for emission in &emissions {
                        emission
                            .emitted
                            .fetch_max(emission.next_offset, Ordering::AcqRel);
                    }
                    return;
                }
                Err(error) => {
                    tracing::warn!(name = self.name, %error, "results were not sent; finding out what was");
                    self.find_out(place, turn, &mut emissions, &mut delays);
                }
            }
        }
    }

    /// After a failure that leaves in doubt what is in Kafka: a new producer of
    /// the *same* id ends whatever the old one left, and only then do the
    /// committed offsets say what was done. No other producer may send before.
    fn find_out(
        &self,
        place: &mut Option<TransactionalProducer>,
        turn: usize,
        emissions: &mut Vec<Emission>,
        delays: &mut impl Iterator<Item = Duration>,
    ) {
        *place = None;
        while emissions
            .iter()
            .any(|emission| emission.assignment.is_alive())
        {
            std::thread::sleep(delays.next().unwrap_or(PATIENCE));
            if place.is_none() {
                *place = self.connect(turn);
            }
            if place.is_some() && self.drop_what_is_committed(emissions) {
                return;
            }
        }
        // Whoever has the partitions now waits for the transaction to be ended.
        if place.is_none() {
            *place = self.connect(turn);
        }
    }

    /// Takes out what is in Kafka already; false where that could not be read.
    fn drop_what_is_committed(&self, emissions: &mut Vec<Emission>) -> bool {
        let mut wanted = TopicPartitionList::new();
        for (topic, partition) in emissions.iter().map(|emission| emission.lane) {
            if wanted.find_partition(topic, partition).is_none() {
                wanted.add_partition(topic, partition);
            }
        }
        // Read with isolation.level=read_committed: waits for a transaction
        // that is not decided yet.
        let committed = match self.consumer.committed_offsets(wanted, PATIENCE) {
            Ok(committed) => committed,
            Err(error) => {
                tracing::warn!(name = self.name, %error, "the committed offsets could not be read");
                return false;
            }
        };
        emissions.retain(|emission| {
            let (topic, partition) = emission.lane;
            let done = committed
                .find_partition(topic, partition)
                .is_some_and(|element| {
                    matches!(element.offset(), Offset::Offset(offset) if offset >= emission.next_offset)
                });
            if done {
                emission.emitted.fetch_max(emission.next_offset, Ordering::AcqRel);
            }
            !done
        });
        true
    }
}

fn transact(
    producer: &mut TransactionalProducer,
    emissions: &[Emission],
    metrics: &Metrics,
) -> KafkaResult<()> {
    let mut watch = metrics.watch();
    let Some(last) = emissions.last() else {
        return Ok(());
    };
    let mut offsets: HashMap<LaneKey, i64> = HashMap::new();
    for emission in emissions {
        let offset = offsets.entry(emission.lane).or_default();
        *offset = (*offset).max(emission.next_offset);
    }
    let mut list = TopicPartitionList::new();
    for ((topic, partition), offset) in offsets {
        list.add_partition_offset(topic, partition, Offset::Offset(offset))?;
    }
    producer.begin()?;
    for event in emissions.iter().flat_map(|emission| &emission.events) {
        producer.send(event)?;
    }
    watch.was(Step::Send);
    producer.commit(list, &last.assignment.group)?;
    watch.was(Step::End);
    let events: usize = emissions.iter().map(|emission| emission.events.len()).sum();
    metrics.transactions.observe(events as f64);
    Ok(())
}
