//! The three stages of a flow's consumer, put together.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use chrono::Utc;
use mypay_database::standstill;
use mypay_idempotency::horizon::Horizon;
use mypay_idempotency::lane;
use mypay_idempotency::slot::{self, Slot};
use mypay_idempotency::transaction::Event;
use mypay_schemas::decoder::Decoder;
use rdkafka::error::KafkaError;
use sqlx::PgPool;
use tokio::sync::{Semaphore, mpsc, watch};

use super::batch::{self, AttemptError, Fence, Mode, Stage};
use super::emit::{Emission, Emitter, UnderWay};
use super::fetch::{self, Fetcher};
use super::handler::Handler;
use super::intake::{Arrival, Intake, LaneKey, Work};
use super::metrics::{Metrics, Step};

/// How many batches are in the database at once.
///
/// PostgreSQL is the limit, not we: two keep two cores busy while a third waits
/// for its commit, or for rows that one of them has locked.
const WORKERS: usize = 3;
/// How many events of committed batches may wait to be sent. By events and not
/// by batches: while little comes in, batches are small, and one transaction
/// must be able to take all that are there. Enough for two full transactions, so
/// that the database goes on while one is on its way: with room for little more
/// than one, a drain was some 8 % slower. Of large events (dead letters) a KiB
/// counts as one, so that no transaction is too large to be sent in its time.
const EVENTS_WAITING: u32 = 32_000;

/// Every so many seconds it is looked whether another process stands still with
/// rows locked.
const STANDSTILL_EVERY: u64 = 3;

/// Every so many seconds the horizon is read, and the coming partitions of
/// `queue_log` are made; twice within [`mypay_idempotency::horizon::purge::HEARD`].
const HORIZON_EVERY: u64 = 60;

/// How long a stop waits for batches that are under way.
const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// Where the servers are.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The Kafka brokers.
    pub bootstrap: String,
    /// The schema registry.
    pub registry_url: String,
}

/// Why a pipeline ended.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// Kafka has no place for this member.
    #[error("Kafka: {0}")]
    Kafka(#[from] KafkaError),
    /// The database failed at the start.
    #[error("PostgreSQL: {0}")]
    Database(#[from] sqlx::Error),
    /// A stage ended that should not have.
    #[error("the {0} stage ended")]
    Stage(&'static str),
    /// Another process has taken this one's slot.
    #[error("another process has taken this one's slot: this one was silent too long")]
    SlotLost,
}

/// A flow's consumer.
pub struct Pipeline<H: Handler> {
    handler: Arc<H>,
    pool: PgPool,
    settings: Settings,
    metrics: Metrics,
}

impl<H: Handler> Pipeline<H> {
    /// A consumer for a flow.
    pub fn new(handler: H, pool: PgPool, settings: Settings, metrics: Metrics) -> Self {
        Self {
            handler: Arc::new(handler),
            pool,
            settings,
            metrics,
        }
    }

    /// Consumes until `stop` turns true.
    ///
    /// Whatever fails, the pipeline is torn down and built up again: that it
    /// may die between any two steps without harm is what it is made for.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        let backoff = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(200))
            .with_max_delay(Duration::from_secs(5))
            .with_jitter()
            .without_max_times();
        let mut delays = backoff.build();
        while !*stop.borrow() {
            let began = std::time::Instant::now();
            match self.session(stop.clone()).await {
                Ok(()) => return,
                Err(error) => {
                    if began.elapsed() > Duration::from_secs(60) {
                        delays = backoff.build();
                    }
                    let delay = delays.next().unwrap_or(Duration::from_secs(5));
                    tracing::error!(flow = %H::FLOW, %error, ?delay, "the consumer begins anew");
                    // Either ends the wait; the loop looks which it was.
                    let _ = tokio::time::timeout(delay, stop.wait_for(|stop| *stop)).await;
                }
            }
        }
    }

    async fn session(&self, mut stop: watch::Receiver<bool>) -> Result<(), PipelineError> {
        let slot = Slot::take(&self.pool, H::FLOW.name()).await?;
        let name = slot.name();
        let horizon = Arc::new(Horizon::open(&self.pool, Utc::now()).await?);
        let intake: Arc<Intake<H::Message>> = Arc::default();
        let under_way = Arc::new(UnderWay::default());
        let stopping = Arc::new(AtomicBool::new(false));
        let (emissions, queue) = mpsc::unbounded_channel();
        let room = Arc::new(Semaphore::new(EVENTS_WAITING as usize));

        let consumer = Arc::new(fetch::consumer::<H>(
            &self.settings.bootstrap,
            &name,
            &intake,
            &under_way,
            &self.metrics,
        )?);
        let emitter = Emitter {
            bootstrap: self.settings.bootstrap.clone(),
            name: name.clone(),
            consumer: Arc::clone(&consumer),
            under_way: Arc::clone(&under_way),
            metrics: self.metrics.clone(),
            runtime: tokio::runtime::Handle::current(),
            taken_up: Box::new({
                let intake = Arc::clone(&intake);
                move || intake.look_again()
            }),
        };
        let (connecting, emitter_connects) = std::sync::mpsc::sync_channel(1);
        let mut emitting = tokio::task::spawn_blocking(move || emitter.run(queue, connecting));
        let fetcher = Fetcher::<H> {
            consumer,
            intake: Arc::clone(&intake),
            decoder: Decoder::new(&self.settings.registry_url),
            runtime: tokio::runtime::Handle::current(),
            stop: Arc::clone(&stopping),
            held: VecDeque::new(),
            emitter_connects,
            metrics: self.metrics.clone(),
        };
        let mut fetching = tokio::task::spawn_blocking(move || fetcher.run());
        let mut workers = tokio::task::JoinSet::new();
        for _ in 0..WORKERS {
            workers.spawn(work(Worker {
                handler: Arc::clone(&self.handler),
                pool: self.pool.clone(),
                horizon: Arc::clone(&horizon),
                intake: Arc::clone(&intake),
                emissions: emissions.clone(),
                room: Arc::clone(&room),
                metrics: self.metrics.clone(),
            }));
        }
        drop(emissions);
        let upkeep = tokio::spawn(upkeep::<H>(self.pool.clone(), horizon, Arc::clone(&intake)));
        tracing::info!(flow = %H::FLOW, member = name, "consuming");

        let mut fetched = None;
        let ended = tokio::select! {
            _ = stop.wait_for(|stop| *stop) => Ok(()),
            () = slot::until_lost(slot.lost()) => Err(PipelineError::SlotLost),
            ended = &mut fetching => {
                fetched = Some(ended);
                Err(PipelineError::Stage("fetch"))
            }
            _ = workers.join_next() => Err(PipelineError::Stage("database")),
        };
        stopping.store(true, Ordering::Relaxed);
        if ended.is_err() {
            // What is still queued belongs to whoever comes next.
            intake.revoke();
        }
        intake.close();
        upkeep.abort();
        // What is in the database's hands is finished and sent; a database that
        // does not answer is not waited for: the next process takes over.
        let finishing = async { while workers.join_next().await.is_some() {} };
        if tokio::time::timeout(STOP_PATIENCE, finishing)
            .await
            .is_err()
        {
            intake.revoke();
            while workers.join_next().await.is_some() {}
        }
        let fetched = match fetched {
            Some(fetched) => fetched,
            None => fetching.await,
        };
        let emitted = intake.emitted();
        // The emitter ends when the last worker has dropped its sender and all
        // is sent. A consumer that Kafka has put out can commit nothing, and a
        // Kafka that is away is not waited for: what was not sent is made again
        // by whoever has the partitions next.
        if ended.is_err()
            || tokio::time::timeout(STOP_PATIENCE, &mut emitting)
                .await
                .is_err()
        {
            intake.revoke();
            // With Kafka away it ends when nothing of the assignment is left to send.
            let mut emitting = emitting;
            if tokio::time::timeout(STOP_PATIENCE, &mut emitting)
                .await
                .is_err()
            {
                intake.revoke();
                let _ = emitting.await;
            }
        }
        intake.revoke();
        // So that nothing is sent twice should somebody set the group's offsets
        // back while nothing runs.
        note::<H>(&self.pool, emitted, &mut HashMap::new()).await;
        // Under the same name, the next session ends what this one left open.
        if !*slot.lost().borrow() {
            slot.give_back().await?;
        }
        if let Ok(Err(error)) = fetched {
            return Err(error.into());
        }
        ended
    }
}

struct Worker<H: Handler> {
    handler: Arc<H>,
    pool: PgPool,
    horizon: Arc<Horizon>,
    intake: Arc<Intake<H::Message>>,
    emissions: mpsc::UnboundedSender<Emission>,
    /// Bounds what waits in `emissions`.
    room: Arc<Semaphore>,
    metrics: Metrics,
}

async fn work<H: Handler>(worker: Worker<H>) {
    loop {
        let mut watch = worker.metrics.watch();
        let Some(mut work) = worker.intake.take(H::BATCH).await else {
            return;
        };
        watch.was(Step::Idle);
        let Some(events) = worker.handle(&mut work).await else {
            if worker.intake.is_current(&work) {
                // Fenced off while the group still counts on us: the session
                // ends, and the next one raises the epoch again.
                return;
            }
            continue;
        };
        if let Some(last) = work.messages.last() {
            let permits = weight(&events).clamp(1, EVENTS_WAITING);
            let Ok(room) = Arc::clone(&worker.room).acquire_many_owned(permits).await else {
                return;
            };
            work.waiting.store(true, Ordering::Release);
            let emission = Emission {
                assignment: Arc::clone(&work.assignment),
                lane: work.lane,
                next_offset: last.offset() + 1,
                events,
                emitted: Arc::clone(&work.emitted),
                more: work.more,
                waiting: Arc::clone(&work.waiting),
                _room: room,
            };
            if worker.emissions.send(emission).is_err() {
                return;
            }
        }
        worker.intake.done(work);
    }
}

/// How much room events take: one each, and those that are larger, one a KiB.
fn weight(events: &[Event]) -> u32 {
    let bytes: usize = events
        .iter()
        .map(|event| event.key.len() + event.payload.len())
        .sum();
    u32::try_from(events.len().max(bytes / 1024)).unwrap_or(u32::MAX)
}

impl<H: Handler> Worker<H> {
    /// Handles a batch, however long the database is away; `None` where the
    /// partition is no longer ours.
    async fn handle(&self, work: &mut Work<H::Message>) -> Option<Vec<Event>> {
        if work
            .messages
            .iter()
            .all(|message| matches!(message, Arrival::Foreign { .. }))
        {
            return Some(Vec::new());
        }
        let lane = fetch::lane_name(H::FLOW.name(), work.lane);
        let epoch = self.epoch(work, &lane).await?;
        let mut events = Vec::new();
        // Parts of the batch, the next one last. A part that our code cannot
        // handle is halved until the one message is found.
        let mut parts: Vec<_> = commits::<H>(&work.messages)
            .into_iter()
            .rev()
            .map(|range| (range, Mode::default()))
            .collect();
        while let Some((range, mode)) = parts.pop() {
            let part = &work.messages[range.clone()];
            let fence = Fence {
                lane: &lane,
                epoch,
                emitted: work.emitted.load(Ordering::Acquire),
            };
            match self.attempt(&fence, part, work, mode.clone()).await? {
                Ok(made) => {
                    events.extend(made);
                    batch::remember(&mut work.recent, &work.messages[range]);
                }
                // Not even its dead letter can be written; something else is
                // wrong, and a loop without a pause would not mend it.
                Err(defect) if mode.defect.is_some() => {
                    tracing::error!(flow = %H::FLOW, ?lane, offset = part[0].offset(), defect, "a dead letter cannot be written; trying again");
                    tokio::time::sleep(Duration::from_secs(5)).await;
                    parts.push((range, mode));
                }
                Err(defect) if range.len() == 1 => {
                    tracing::error!(flow = %H::FLOW, ?lane, offset = part[0].offset(), defect, "beyond our code: a dead letter, and its key is parked");
                    let mode = Mode {
                        defect: Some(defect),
                        ..Mode::default()
                    };
                    parts.push((range, mode));
                }
                Err(_) => {
                    let middle = range.start + range.len() / 2;
                    parts.push((middle..range.end, Mode::default()));
                    parts.push((range.start..middle, Mode::default()));
                }
            }
        }
        Some(events)
    }

    /// Attempts a part until it is done or found defective.
    async fn attempt(
        &self,
        fence: &Fence<'_>,
        part: &[Arrival<H::Message>],
        work: &Work<H::Message>,
        mut mode: Mode,
    ) -> Option<Result<Vec<Event>, String>> {
        let mut delays = patience();
        let mut agains = 0;
        while work.assignment.is_alive() {
            let stage = Stage {
                handler: &*self.handler,
                pool: &self.pool,
                horizon: &self.horizon,
                metrics: &self.metrics,
            };
            let attempt = batch::attempt(&stage, fence, part, &work.recent, &mode);
            // A commit whose answer was lost is found out by the next attempt:
            // its rows are done, at these very offsets.
            let attempted = tokio::time::timeout(H::PATIENCE, attempt)
                .await
                .unwrap_or(Err(AttemptError::TimedOut(H::PATIENCE)));
            match attempted {
                Ok(events) => return Some(Ok(events)),
                Err(AttemptError::Fenced) => {
                    // Nothing of this assignment may be committed any more, least
                    // of all a later offset of this lane: the batch would be
                    // lost. The consumer joins its group anew.
                    tracing::warn!(flow = %H::FLOW, lane = ?fence.lane, "another process has this lane");
                    work.assignment.end();
                    return None;
                }
                // Each way of trying again is taken once; that one is asked for
                // which was taken already can only be a race, and races pass.
                Err(AttemptError::Again(next)) if agains < 20 => {
                    agains += 1;
                    self.metrics.again.inc();
                    mode = next;
                }
                Err(AttemptError::Again(_)) => {
                    return Some(Err("the batch was to be done again too often".to_string()));
                }
                Err(error @ (AttemptError::Transient(_) | AttemptError::TimedOut(_))) => {
                    let delay = delays.next().unwrap_or(Duration::from_secs(5));
                    tracing::warn!(flow = %H::FLOW, lane = ?fence.lane, %error, ?delay, "the lane waits for the database");
                    tokio::time::sleep(delay).await;
                }
                // Only a defect of ours that shows itself again is one.
                Err(AttemptError::Defect(defect)) => return Some(Err(defect)),
            }
        }
        None
    }

    async fn epoch(&self, work: &mut Work<H::Message>, lane: &lane::Lane) -> Option<i64> {
        let mut delays = patience();
        while work.assignment.is_alive() {
            if let Some(epoch) = work.epoch {
                return Some(epoch);
            }
            match lane::raise(&self.pool, lane, work.first_offset).await {
                Ok(epoch) => work.epoch = Some(epoch),
                Err(error) => {
                    tracing::warn!(?lane, %error, "the lane's epoch could not be raised");
                    tokio::time::sleep(delays.next().unwrap_or(Duration::from_secs(5))).await;
                }
            }
        }
        None
    }
}

/// The parts of a batch that are commits of their own: a message that must be
/// seen by the next ones ends its part.
fn commits<H: Handler>(messages: &[Arrival<H::Message>]) -> Vec<std::ops::Range<usize>> {
    let mut ranges = Vec::new();
    let mut start = 0;
    for (place, arrival) in messages.iter().enumerate() {
        let alone = matches!(arrival, Arrival::Request(arrived) if H::alone(&arrived.message));
        if alone || place + 1 == messages.len() {
            ranges.push(start..place + 1);
            start = place + 1;
        }
    }
    ranges
}

fn patience() -> backon::ExponentialBackoff {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(50))
        .with_max_delay(Duration::from_secs(5))
        .with_jitter()
        .without_max_times()
        .build()
}

/// Notes what is in Kafka while lanes are idle, ends what stands still, and
/// makes coming partitions.
async fn upkeep<H: Handler>(pool: PgPool, horizon: Arc<Horizon>, intake: Arc<Intake<H::Message>>) {
    let mut noted = HashMap::new();
    let mut ticks: u64 = 0;
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        ticks += 1;
        note::<H>(&pool, intake.emitted(), &mut noted).await;
        if ticks.is_multiple_of(STANDSTILL_EVERY) {
            match standstill::end(&pool).await {
                Ok(0) => {}
                Ok(ended) => tracing::warn!(
                    ended,
                    "sessions were ended whose process stands still in the midst of a statement"
                ),
                // The database is away; it will be asked again.
                Err(error) => tracing::debug!(%error, "looking for sessions that stand still"),
            }
        }
        if ticks.is_multiple_of(HORIZON_EVERY)
            && let Err(error) = horizon.renew(&pool, Utc::now()).await
        {
            tracing::error!(%error, "the coming partitions of queue_log could not be made");
        }
    }
}

/// Notes what of each lane is in Kafka, where it has moved since `noted`.
async fn note<H: Handler>(
    pool: &PgPool,
    lanes: Vec<(LaneKey, i64, Arc<AtomicI64>)>,
    noted: &mut HashMap<LaneKey, (i64, i64)>,
) {
    for (key, epoch, emitted) in lanes {
        let emitted = emitted.load(Ordering::Acquire);
        if noted.get(&key) == Some(&(epoch, emitted)) {
            continue;
        }
        let lane = fetch::lane_name(H::FLOW.name(), key);
        // Only a hint: should it fail, the next time tries again.
        if lane::note_emitted(pool, &lane, epoch, emitted)
            .await
            .is_err()
        {
            return;
        }
        noted.insert(key, (epoch, emitted));
    }
}
