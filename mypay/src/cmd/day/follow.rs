//! Following the results, as a read_committed client does.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use anyhow::Context;
use hdrhistogram::Histogram;
use mypay_schemas::closing::ClosingResult;
use mypay_schemas::decoder::Decoder;
use mypay_schemas::firmbanking::FirmbankingResult;
use mypay_schemas::payment::PaymentResult;
use mypay_schemas::recharge::RechargeResult;
use mypay_schemas::remittance::RemittanceResult;
use mypay_schemas::settlement::SettlementResult;
use mypay_schemas::{Flow, ResultStatus};
use mypay_stack::Endpoints;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};
use uuid::Uuid;

use super::send::progress_bar;

/// What the results of a flow were.
pub(super) struct FlowDay {
    pub(super) completed: u64,
    pub(super) rejected: HashMap<String, u64>,
    /// Results of requests that this day did not send (payouts, for example).
    pub(super) others: u64,
    /// From sending to seeing the result, microseconds.
    pub(super) latency: Histogram<u64>,
    pub(super) first_sent: Option<Instant>,
    pub(super) last_seen: Option<Instant>,
}

impl Default for FlowDay {
    fn default() -> Self {
        Self {
            completed: 0,
            rejected: HashMap::new(),
            others: 0,
            // Three digits up to an hour; beyond it the histogram is clamped.
            latency: Histogram::new_with_max(3_600_000_000, 3).unwrap_or_else(|_| {
                Histogram::new(1).unwrap_or_else(|_| unreachable!("one digit fits"))
            }),
            first_sent: None,
            last_seen: None,
        }
    }
}

/// What the day's results were.
#[derive(Default)]
pub(super) struct Days {
    pub(super) flows: HashMap<Flow, FlowDay>,
    awaited: HashMap<Uuid, (Flow, Instant)>,
    /// Payments that were completed, and cancels.
    paid: Vec<Uuid>,
}

impl Days {
    /// Requests without a result.
    pub(super) fn unanswered(&self, flow: Flow) -> usize {
        self.awaited.values().filter(|(of, _)| *of == flow).count()
    }
}

/// Tells the follower what was sent.
#[derive(Clone)]
pub(super) struct Watch(Arc<Mutex<Days>>);

impl Watch {
    /// A request is about to be sent.
    pub(super) fn expect(&self, flow: Flow, id: Uuid) {
        let now = Instant::now();
        let mut days = self.lock();
        days.awaited.insert(id, (flow, now));
        days.flows
            .entry(flow)
            .or_default()
            .first_sent
            .get_or_insert(now);
    }

    /// The payments that were completed so far, cancels among them.
    pub(super) fn paid(&self) -> HashSet<Uuid> {
        self.lock().paid.iter().copied().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Days> {
        self.0
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// Reads all result topics from now on.
pub(super) struct Follower {
    watch: Watch,
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<()>,
}

impl Follower {
    pub(super) fn start(endpoints: &Endpoints) -> anyhow::Result<Self> {
        let consumer: BaseConsumer = mypay_kafka::client(&endpoints.kafka_bootstrap)
            .set("group.id", "mypay.day")
            .set("enable.auto.commit", "false")
            .set("isolation.level", "read_committed")
            .set("fetch.wait.max.ms", "10")
            .create()?;
        assign_ends(&consumer)?;
        let watch = Watch(Arc::default());
        let stop = Arc::new(AtomicBool::new(false));
        let reader = Reader {
            consumer,
            decoder: Decoder::new(&endpoints.registry_url),
            runtime: tokio::runtime::Handle::current(),
            watch: watch.clone(),
            stop: Arc::clone(&stop),
        };
        let thread = std::thread::spawn(move || reader.run());
        Ok(Self {
            watch,
            stop,
            thread,
        })
    }

    pub(super) fn watch(&self) -> Watch {
        self.watch.clone()
    }

    /// Waits until every request that was sent has its result.
    pub(super) async fn until_quiet(
        &self,
        what: &'static str,
        patience: Duration,
    ) -> anyhow::Result<()> {
        let waiting = self.watch.lock().awaited.len();
        let bar = progress_bar(waiting as u64, what);
        let mut best = waiting;
        let mut moved = Instant::now();
        loop {
            let left = self.watch.lock().awaited.len();
            bar.set_position(waiting.saturating_sub(left) as u64);
            if left < best {
                best = left;
                moved = Instant::now();
            }
            if left == 0 || moved.elapsed() > patience {
                bar.finish_and_clear();
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Stops reading; tells what was read.
    pub(super) fn stop(self) -> Days {
        self.stop.store(true, Ordering::Relaxed);
        // A panic of the reader shows as results that are missing.
        let _ = self.thread.join();
        std::mem::take(&mut *self.watch.lock())
    }
}

fn assign_ends(consumer: &BaseConsumer) -> anyhow::Result<()> {
    let patience = Duration::from_secs(10);
    let mut assignment = TopicPartitionList::new();
    for flow in Flow::ALL {
        let topic = flow.result_topic();
        let metadata = consumer
            .fetch_metadata(Some(topic), patience)
            .with_context(|| format!("looking up {topic}"))?;
        for partition in metadata
            .topics()
            .iter()
            .flat_map(|topic| topic.partitions())
        {
            let (_, end) = consumer.fetch_watermarks(topic, partition.id(), patience)?;
            assignment.add_partition_offset(topic, partition.id(), Offset::Offset(end))?;
        }
    }
    consumer.assign(&assignment)?;
    Ok(())
}

struct Reader {
    consumer: BaseConsumer,
    decoder: Decoder,
    runtime: tokio::runtime::Handle,
    watch: Watch,
    stop: Arc<AtomicBool>,
}

impl Reader {
    fn run(mut self) {
        while !self.stop.load(Ordering::Relaxed) {
            match self.consumer.poll(Duration::from_millis(50)) {
                Some(Ok(message)) => {
                    let payload = message.payload().unwrap_or_default();
                    let flow = Flow::ALL
                        .into_iter()
                        .find(|flow| flow.result_topic() == message.topic());
                    let Some(flow) = flow else { continue };
                    let decoder = &mut self.decoder;
                    match self.runtime.block_on(head(decoder, flow, payload)) {
                        Ok(head) => note(&self.watch, flow, head),
                        Err(error) => {
                            tracing::error!(topic = message.topic(), offset = message.offset(), %error, "a result that cannot be read")
                        }
                    }
                }
                Some(Err(error)) => tracing::warn!(%error, "following the results"),
                None => {}
            }
        }
    }
}

struct Head {
    request_id: String,
    status: ResultStatus,
    reason: Option<String>,
}

async fn head(
    decoder: &mut Decoder,
    flow: Flow,
    payload: &[u8],
) -> Result<Head, mypay_schemas::decoder::DecodeError> {
    macro_rules! read {
        ($record:ty) => {{
            let result: $record = decoder.decode(payload).await?;
            Head {
                request_id: result.request_id,
                status: result.status,
                reason: result.reason,
            }
        }};
    }
    Ok(match flow {
        Flow::Recharge => read!(RechargeResult),
        Flow::Remittance => read!(RemittanceResult),
        Flow::Payment => read!(PaymentResult),
        Flow::Settlement => read!(SettlementResult),
        Flow::Firmbanking => read!(FirmbankingResult),
        Flow::Closing => read!(ClosingResult),
    })
}

fn note(watch: &Watch, flow: Flow, head: Head) {
    let now = Instant::now();
    let mut days = watch.lock();
    let id = Uuid::try_parse(&head.request_id).unwrap_or_default();
    let awaited = days.awaited.remove(&id);
    if flow == Flow::Payment && head.status == ResultStatus::Completed {
        days.paid.push(id);
    }
    let day = days.flows.entry(flow).or_default();
    day.last_seen = Some(now);
    match awaited {
        Some((_, sent)) => {
            let micros = now.duration_since(sent).as_micros() as u64;
            day.latency.saturating_record(micros.max(1));
        }
        None => day.others += 1,
    }
    match head.status {
        ResultStatus::Completed => day.completed += 1,
        ResultStatus::Rejected => {
            *day.rejected
                .entry(head.reason.unwrap_or_default())
                .or_default() += 1;
        }
    }
}
