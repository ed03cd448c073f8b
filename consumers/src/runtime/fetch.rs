//! The fetch stage: poll and decode, on a thread of its own.
//!
//! librdkafka wants to be polled, whatever happens behind: a consumer that does
//! not poll for `max.poll.interval.ms` is put out of its group. So while the
//! database or the registry is down, the partitions are paused and polling goes
//! on.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use mypay_decide::Reason;
use mypay_idempotency::requests::{self, Requests};
use mypay_schemas::decoder::{DecodeError, Decoder, Poison};
use mypay_schemas::identity::{self, BadId};
use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{Headers, Message, OwnedHeaders, OwnedMessage};
use rdkafka::statistics::Statistics;

use super::dead_letter::Why;
use super::emit::UnderWay;
use super::handler::{Arrived, Handler, Raw};
use super::intake::{Arrival, Intake, LaneKey};
use super::lag;
use super::metrics::{Metrics, Step};

const POLL: Duration = Duration::from_millis(100);
/// One message in so many is timed.
const TIMED: u32 = 64;
/// After so long without room the partitions are paused, and polling goes on.
const PAUSE_AFTER: Duration = Duration::from_secs(20);
/// How long a revocation waits for results that are being sent.
const REVOKE_PATIENCE: Duration = Duration::from_secs(5);

/// The longest correlation id, in bytes. It is kept and repeated in results.
const CORRELATION_ID_MAX: usize = 64;

/// The largest request, key included, in bytes. Ours have a few hundred.
const MESSAGE_MAX: usize = 64 * 1024;

/// Tells the intake what the group gives and takes.
pub struct GroupContext<M> {
    intake: Arc<Intake<M>>,
    under_way: Arc<UnderWay>,
    metrics: Metrics,
    requests: Requests,
}

impl<M: Send + Sync + 'static> ClientContext for GroupContext<M> {
    fn stats(&self, statistics: Statistics) {
        self.requests.take(&statistics);
        let lags = lag::of_all(&statistics, &self.intake.done_to());
        self.metrics.lags(&lags);
    }
}

impl<M: Send + Sync + 'static> ConsumerContext for GroupContext<M> {
    fn pre_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if !matches!(rebalance, Rebalance::Assign(_)) {
            // First the fence, then the good manners: results that are on their
            // way get a moment, so that the next owner need not make them again.
            let began = Instant::now();
            while !self.under_way.is_idle() && began.elapsed() < REVOKE_PATIENCE {
                std::thread::sleep(Duration::from_millis(5));
            }
            self.intake.revoke();
        }
    }

    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Assign(partitions) = rebalance {
            tracing::info!(partitions = partitions.count(), "partitions assigned");
            if let Some(group) = consumer.group_metadata() {
                self.intake.assign(group);
                self.metrics.assigned_now();
            }
        }
    }
}

/// A consumer that [`Fetcher::run`] makes a static member of the flow's group.
pub fn consumer<H: Handler>(
    bootstrap: &str,
    member: &str,
    intake: &Arc<Intake<H::Message>>,
    under_way: &Arc<UnderWay>,
    metrics: &Metrics,
) -> KafkaResult<BaseConsumer<GroupContext<H::Message>>> {
    let context = GroupContext {
        intake: Arc::clone(intake),
        under_way: Arc::clone(under_way),
        metrics: metrics.clone(),
        requests: Requests::new(metrics.fetch_requests()),
    };
    let consumer: BaseConsumer<_> = mypay_kafka::client(bootstrap)
        .set("client.id", format!("mypay.{member}"))
        .set("group.id", group_id(H::FLOW))
        // A static member that is started again takes its partitions back at
        // once; a dynamic one that was killed is waited for until its session
        // ends. (With KIP-848 a static one is waited for too, hence classic.)
        .set("group.instance.id", format!("mypay.{member}"))
        .set("partition.assignment.strategy", "range")
        .set("session.timeout.ms", "6000")
        .set("heartbeat.interval.ms", "1500")
        .set("max.poll.interval.ms", "300000")
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest")
        .set("isolation.level", "read_committed")
        .set("fetch.wait.max.ms", "50")
        .set("fetch.min.bytes", "1")
        .set("fetch.error.backoff.ms", "100")
        .set("queued.min.messages", "20000")
        .set("queued.max.messages.kbytes", "8192")
        .set("statistics.interval.ms", requests::INTERVAL_MS)
        .create_with_context(context)?;
    Ok(consumer)
}

/// Whether partitions are stranded by an error of the consumer's.
///
/// Where the group's coordinator moves while a new assignment's committed offsets
/// are asked for (which takes as long as a dead process's transaction is open),
/// librdkafka 2.12 tells of an answer "for 0 partition(s)" and asks no more: the
/// partitions stay assigned, and nothing is ever fetched from them
/// (`rd_kafka_assignment_handle_OffsetFetch`). So the consumer joins its group anew.
fn strands(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::NotCoordinator
            | RDKafkaErrorCode::CoordinatorLoadInProgress
            | RDKafkaErrorCode::CoordinatorNotAvailable
    )
}

/// The consumer group of a flow.
pub fn group_id(flow: mypay_schemas::Flow) -> String {
    format!("mypay.{flow}")
}

/// The fetch stage of a flow.
pub struct Fetcher<H: Handler> {
    /// Its consumer.
    pub consumer: Arc<BaseConsumer<GroupContext<H::Message>>>,
    /// Where messages go.
    pub intake: Arc<Intake<H::Message>>,
    /// Reads them.
    pub decoder: Decoder,
    /// For questions to the registry.
    pub runtime: tokio::runtime::Handle,
    /// Turns true when the process stops.
    pub stop: Arc<AtomicBool>,
    /// Messages that were polled while the partitions were paused, each with
    /// the generation of its assignment: a rebalance gives partitions that
    /// nobody has paused yet, and what they bring must not be lost.
    pub held: VecDeque<(u64, OwnedMessage)>,
    /// Ends when the emitter has connected.
    pub emitter_connects: Receiver<()>,
    /// Where the time goes.
    pub metrics: Metrics,
}

impl<H: Handler> Fetcher<H> {
    /// Polls until it is told to stop, or the group has no place for it.
    pub fn run(mut self) -> KafkaResult<()> {
        // Whoever joins the group can send results: until then the partitions are
        // better left with those who have them.
        while !self.stop.load(Ordering::Relaxed)
            && self.emitter_connects.recv_timeout(POLL) == Err(RecvTimeoutError::Timeout)
        {}
        // From here on librdkafka joins the group by itself.
        let topics: Vec<&str> = std::iter::once(H::FLOW.request_topic())
            .chain(H::OTHER_TOPICS.iter().copied())
            .collect();
        self.consumer.subscribe(&topics)?;
        let mut turn: u32 = 0;
        while !self.stop.load(Ordering::Relaxed) {
            if !self.await_room()? {
                continue;
            }
            if let Some((generation, message)) = self.held.pop_front() {
                self.take(generation, &message)?;
                continue;
            }
            let consumer = Arc::clone(&self.consumer);
            let polled = match consumer.poll(Duration::ZERO) {
                Some(polled) => Some(polled),
                None => {
                    let began = Instant::now();
                    let polled = consumer.poll(POLL);
                    self.metrics.took(Step::Poll, began.elapsed());
                    polled
                }
            };
            // Reading the clock twice costs a tenth of reading a message: one in
            // some is timed, and stands for them all.
            turn = turn.wrapping_add(1);
            let began = turn.is_multiple_of(TIMED).then(Instant::now);
            match polled {
                None => {}
                // Rebalances are served by polling, so none comes between the
                // message and the look at its generation.
                Some(Ok(message)) => self.take(self.intake.generation(), &message)?,
                Some(Err(error)) => self.minor(error)?,
            }
            if let Some(began) = began {
                self.metrics.took(Step::Decode, TIMED * began.elapsed());
            }
        }
        Ok(())
    }

    /// Errors that pass are logged; a fatal one ends the stage.
    fn minor(&self, error: KafkaError) -> KafkaResult<()> {
        match error {
            KafkaError::MessageConsumptionFatal(_) => Err(error),
            KafkaError::MessageConsumption(code) if strands(code) => Err(error),
            other => {
                tracing::warn!(error = %other, "polling");
                Ok(())
            }
        }
    }

    fn await_room(&mut self) -> KafkaResult<bool> {
        if self.intake.wait_for_room(Duration::ZERO) {
            return Ok(true);
        }
        let began = Instant::now();
        while !self.intake.wait_for_room(POLL) {
            if self.stop.load(Ordering::Relaxed) {
                return Ok(false);
            }
            if began.elapsed() > PAUSE_AFTER {
                self.paused(|fetcher| fetcher.intake.wait_for_room(Duration::ZERO))?;
            }
        }
        self.metrics.took(Step::Room, began.elapsed());
        Ok(true)
    }

    /// Pauses the partitions and polls on until `over`.
    fn paused(&mut self, mut over: impl FnMut(&Self) -> bool) -> KafkaResult<()> {
        let consumer = Arc::clone(&self.consumer);
        consumer.pause(&consumer.assignment()?)?;
        tracing::warn!("paused: what comes behind is not moving");
        while !over(self) && !self.stop.load(Ordering::Relaxed) {
            match consumer.poll(POLL) {
                None => {}
                Some(Ok(message)) => {
                    // Of a partition that a rebalance has just given.
                    self.held
                        .push_back((self.intake.generation(), message.detach()));
                    consumer.pause(&consumer.assignment()?)?;
                }
                Some(Err(error)) => self.minor(error)?,
            }
        }
        // After a rebalance the list is another; resuming what is ours suffices.
        consumer.resume(&consumer.assignment()?)
    }

    fn take(&mut self, generation: u64, message: &impl Message) -> KafkaResult<()> {
        let lane = (self.topic(message.topic()), message.partition());
        let payload = message.payload().unwrap_or_default();
        let began = Instant::now();
        let decoded = loop {
            if let Some(decoded) = H::decode(&self.decoder, lane.0, payload) {
                break decoded;
            }
            match self.fetch_schema(payload) {
                Ok(()) => {}
                Err(DecodeError::Poison(poison)) => break Err(poison),
                Err(DecodeError::Retry(why)) => {
                    tracing::warn!(why, "a message waits for the schema registry");
                    if self.stop.load(Ordering::Relaxed) {
                        return Ok(());
                    }
                    if began.elapsed() > PAUSE_AFTER {
                        let again = Instant::now() + Duration::from_secs(2);
                        self.paused(|_| Instant::now() >= again)?;
                    } else {
                        std::thread::sleep(Duration::from_millis(500));
                    }
                }
            }
        };
        self.intake
            .push(generation, lane, arrival::<H>(message, decoded));
        Ok(())
    }

    fn fetch_schema(&mut self, payload: &[u8]) -> Result<(), DecodeError> {
        let runtime = self.runtime.clone();
        runtime.block_on(self.decoder.learn_schema_of(payload))
    }

    fn topic(&self, name: &str) -> &'static str {
        std::iter::once(H::FLOW.request_topic())
            .chain(H::OTHER_TOPICS.iter().copied())
            .find(|topic| *topic == name)
            .unwrap_or(H::FLOW.request_topic())
    }
}

fn arrival<H: Handler>(
    message: &impl Message,
    decoded: Result<Option<H::Message>, Poison>,
) -> Arrival<H::Message> {
    let offset = message.offset();
    let dead = |reason, detail| Arrival::Dead {
        offset,
        raw: raw(message),
        why: Why { reason, detail },
    };
    let bytes = message.payload().map_or(0, <[u8]>::len) + message.key().map_or(0, <[u8]>::len);
    if bytes > MESSAGE_MAX {
        // Its answer would repeat its fields, and might fit no topic: an event
        // that cannot be sent holds up everything behind it.
        return dead(
            "too_large",
            format!("{bytes} bytes; a request has at most {MESSAGE_MAX}"),
        );
    }
    let decoded = match decoded {
        Ok(Some(decoded)) => decoded,
        Ok(None) => return Arrival::Foreign { offset },
        Err(poison) => return dead(poison.code(), poison.to_string()),
    };
    let identity = H::identity(&decoded);
    let (id, unclaimable) = match identity::parse(identity.message_id) {
        Ok(id) if id.get_version_num() == 8 && !H::follows(&decoded) => {
            return dead(
                "bad_message_id",
                format!("message_id {id} is of version 8, which are ours to give; use version 7"),
            );
        }
        Ok(id) => (id, None),
        Err(BadId::NoTime) => (uuid::Uuid::nil(), Some(Reason::IdWithoutTime)),
        Err(BadId::NotUuid) => {
            let shown: String = identity.message_id.chars().take(64).collect();
            return dead(
                "bad_message_id",
                format!("message_id '{shown}' is no UUID; a UUID version 7 is needed"),
            );
        }
    };
    let correlation_id = identity.correlation_id;
    if correlation_id.len() > CORRELATION_ID_MAX || correlation_id.contains(char::is_control) {
        return dead(
            "bad_correlation_id",
            format!(
                "correlation_id has {} bytes or a control character; a UUID is meant",
                correlation_id.len()
            ),
        );
    }
    let content_hash = identity.content_hash;
    let arrived = Box::new(Arrived {
        id,
        content_hash,
        partition: message.partition(),
        offset,
        created_at: created_at(message),
        traceparent: traceparent(message),
        message: decoded,
        raw: raw(message),
    });
    match unclaimable {
        None => Arrival::Request(arrived),
        Some(reason) => Arrival::Unclaimable { arrived, reason },
    }
}

fn raw(message: &impl Message) -> Raw {
    Raw {
        key: message.key().map(Into::into),
        payload: message.payload().unwrap_or_default().into(),
        headers: message.headers().map(|headers| {
            headers.iter().fold(
                OwnedHeaders::new_with_capacity(headers.count()),
                OwnedHeaders::insert,
            )
        }),
    }
}

/// When the broker took it; the epoch where the topic does not say, which none of ours
/// leaves out (`mypay topics lint`).
fn created_at(message: &impl Message) -> DateTime<Utc> {
    message
        .timestamp()
        .to_millis()
        .and_then(DateTime::from_timestamp_millis)
        .unwrap_or_default()
}

fn traceparent(message: &impl Message) -> Option<String> {
    let headers = message.headers()?;
    headers
        .iter()
        .find(|header| header.key == "traceparent")
        .and_then(|header| String::from_utf8(header.value?.to_vec()).ok())
        .and_then(|value| mypay_schemas::trace::traceparent(&value))
}

/// The name of a lane, for those outside.
pub fn lane_name(consumer: &'static str, key: LaneKey) -> mypay_idempotency::lane::Lane {
    mypay_idempotency::lane::Lane {
        consumer,
        topic: key.0.to_string(),
        partition: key.1,
    }
}
