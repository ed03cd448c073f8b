//! What a consumer counts, and where its time goes, as Prometheus reads it.

use std::collections::HashSet;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mypay_idempotency::requests::Told;
use mypay_schemas::Flow;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::lag::Lag;

type Seconds = Counter<f64, AtomicU64>;

/// A step on the way of a message. Steps of different stages overlap: the three
/// stages work side by side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Fetch stage: waiting for a message of librdkafka.
    Poll,
    /// Fetch stage: reading a message, checking its id, queueing it.
    Decode,
    /// Fetch stage: waiting for room before the database.
    Room,
    /// Database stage: waiting for messages.
    Idle,
    /// Database stage: BEGIN and the lane's fence.
    Fence,
    /// Database stage: looking ids up, and claiming messages in `queue_log`.
    Claim,
    /// Database stage: loading accounts.
    Load,
    /// Database stage: deciding. No I/O.
    Decide,
    /// Database stage: balances, postings and the flow's own rows.
    Write,
    /// Database stage: COMMIT.
    Commit,
    /// Database stage: making the events. No I/O.
    Events,
    /// Emit stage: handing events to librdkafka.
    Send,
    /// Emit stage: acknowledgements, offsets, end of the Kafka transaction.
    End,
}

impl Step {
    /// All steps, in the order of a message's way.
    pub const ALL: [Step; 13] = [
        Step::Poll,
        Step::Decode,
        Step::Room,
        Step::Idle,
        Step::Fence,
        Step::Claim,
        Step::Load,
        Step::Decide,
        Step::Write,
        Step::Commit,
        Step::Events,
        Step::Send,
        Step::End,
    ];

    /// Its name, as the label `step` has it.
    pub const fn name(self) -> &'static str {
        match self {
            Step::Poll => "poll",
            Step::Decode => "decode",
            Step::Room => "room",
            Step::Idle => "idle",
            Step::Fence => "fence",
            Step::Claim => "claim",
            Step::Load => "load",
            Step::Decide => "decide",
            Step::Write => "write",
            Step::Commit => "commit",
            Step::Events => "events",
            Step::Send => "send",
            Step::End => "end",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfFlow {
    flow: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfStep {
    flow: &'static str,
    step: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfClient {
    flow: &'static str,
    client: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfPartition {
    flow: &'static str,
    topic: String,
    partition: i32,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfOutcome {
    flow: &'static str,
    outcome: &'static str,
}

/// The metrics of all flows of a process, under their names.
#[derive(Debug, Clone)]
pub struct Families {
    steps: Family<OfStep, Seconds>,
    messages: Family<OfOutcome, Counter>,
    batches: Family<OfFlow, Histogram, fn() -> Histogram>,
    again: Family<OfFlow, Counter>,
    transactions: Family<OfFlow, Histogram, fn() -> Histogram>,
    requests: Family<OfClient, Counter>,
    assigned: Family<OfFlow, Gauge<f64, AtomicU64>>,
    lag: Family<OfPartition, Gauge>,
}

fn counted(requests: &Counter) -> Told {
    let requests = requests.clone();
    Arc::new(move |more| {
        requests.inc_by(more);
    })
}

fn sizes() -> Histogram {
    Histogram::new([
        1.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0, 2_000.0, 5_000.0, 10_000.0,
        20_000.0, 50_000.0,
    ])
}

impl Families {
    /// Puts the metrics' names into a registry.
    pub fn register(registry: &mut Registry) -> Self {
        let families = Self {
            steps: Family::default(),
            messages: Family::default(),
            batches: Family::new_with_constructor(sizes as fn() -> Histogram),
            again: Family::default(),
            transactions: Family::new_with_constructor(sizes as fn() -> Histogram),
            requests: Family::default(),
            assigned: Family::default(),
            lag: Family::default(),
        };
        registry.register(
            "mypay_consumer_step_seconds",
            "Time spent in each step; steps of different stages overlap",
            families.steps.clone(),
        );
        registry.register(
            "mypay_consumer_messages",
            "Messages by what became of them",
            families.messages.clone(),
        );
        registry.register(
            "mypay_consumer_batch_messages",
            "Messages of a PostgreSQL commit",
            families.batches.clone(),
        );
        registry.register(
            "mypay_consumer_batches_again",
            "Batches that were rolled back and done again",
            families.again.clone(),
        );
        registry.register(
            "mypay_consumer_transaction_events",
            "Events of a Kafka transaction",
            families.transactions.clone(),
        );
        registry.register(
            "mypay_consumer_kafka_requests",
            "Requests to the brokers; an idle consumer makes some, an idle producer none",
            families.requests.clone(),
        );
        registry.register(
            "mypay_consumer_assigned_timestamp_seconds",
            "When the group last gave partitions to this consumer",
            families.assigned.clone(),
        );
        registry.register(
            "mypay_consumer_lag_offsets",
            "Offsets of an assigned partition up to its last stable one that are not done with: \
             handled, and their results in Kafka",
            families.lag.clone(),
        );
        families
    }

    /// The metrics of one flow.
    pub fn of(&self, flow: Flow) -> Metrics {
        let name = flow.name();
        let of_flow = OfFlow { flow: name };
        let outcome = |outcome| {
            let of_outcome = OfOutcome {
                flow: name,
                outcome,
            };
            self.messages.get_or_create(&of_outcome).clone()
        };
        let requests = |client| {
            let of_client = OfClient { flow: name, client };
            self.requests.get_or_create(&of_client).clone()
        };
        Metrics {
            steps: Step::ALL.map(|step| {
                let of_step = OfStep {
                    flow: name,
                    step: step.name(),
                };
                self.steps.get_or_create(&of_step).clone()
            }),
            handled: outcome("handled"),
            duplicates: outcome("duplicate"),
            dead_letters: outcome("dead_letter"),
            batches: self.batches.get_or_create(&of_flow).clone(),
            again: self.again.get_or_create(&of_flow).clone(),
            transactions: self.transactions.get_or_create(&of_flow).clone(),
            fetch_requests: requests("consumer"),
            emit_requests: requests("producer"),
            assigned: self.assigned.get_or_create(&of_flow).clone(),
            lag: Lags {
                flow: name,
                family: self.lag.clone(),
                told: Arc::default(),
            },
        }
    }
}

/// The lags of one flow's partitions, and those that were told last.
#[derive(Debug, Clone)]
struct Lags {
    flow: &'static str,
    family: Family<OfPartition, Gauge>,
    told: Arc<Mutex<HashSet<OfPartition>>>,
}

/// The metrics of one flow. Clones count into the same numbers.
#[derive(Debug, Clone)]
pub struct Metrics {
    steps: [Seconds; Step::ALL.len()],
    /// Messages handled for the first time.
    pub handled: Counter,
    /// Messages that were known already.
    pub duplicates: Counter,
    /// Messages that went to the dead letters.
    pub dead_letters: Counter,
    /// Messages of a commit.
    pub batches: Histogram,
    /// Batches that were rolled back and done again.
    pub again: Counter,
    /// Events of a Kafka transaction.
    pub transactions: Histogram,
    fetch_requests: Counter,
    emit_requests: Counter,
    assigned: Gauge<f64, AtomicU64>,
    lag: Lags,
}

impl Metrics {
    /// Metrics that nobody reads.
    pub fn unread(flow: Flow) -> Self {
        Families::register(&mut Registry::default()).of(flow)
    }

    /// Adds to the time of a step.
    pub fn took(&self, step: Step, time: Duration) {
        self.steps[step as usize].inc_by(time.as_secs_f64());
    }

    /// Hears of the consumer's requests to the brokers.
    pub fn fetch_requests(&self) -> Told {
        counted(&self.fetch_requests)
    }

    /// Hears of the producers' requests to the brokers.
    pub fn emit_requests(&self) -> Told {
        counted(&self.emit_requests)
    }

    /// Notes that the group gave us partitions now.
    pub fn assigned_now(&self) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        self.assigned
            .set(now.map_or(0.0, |since| since.as_secs_f64()));
    }

    /// Tells how far each partition is behind. One that is not among them is another
    /// consumer's now, and told no more.
    pub(super) fn lags(&self, lags: &[Lag]) {
        let Lags { flow, family, told } = &self.lag;
        let mut now = HashSet::with_capacity(lags.len());
        for (topic, partition, lag) in lags {
            let of_partition = OfPartition {
                flow,
                topic: topic.clone(),
                partition: *partition,
            };
            family.get_or_create(&of_partition).set(*lag);
            now.insert(of_partition);
        }
        let mut told = told.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        for gone in told.difference(&now) {
            family.remove(gone);
        }
        *told = now;
    }

    /// Tells what is told only when it happens, too.
    #[cfg(test)]
    pub(crate) fn tell_all(&self) {
        self.lags(&[(self.lag.flow.to_owned(), 0, 0)]);
    }

    /// A stop watch over successive steps.
    pub fn watch(&self) -> Watch<'_> {
        Watch {
            metrics: self,
            since: Instant::now(),
        }
    }
}

/// Times successive steps of one task.
pub struct Watch<'a> {
    metrics: &'a Metrics,
    since: Instant,
}

impl Watch<'_> {
    /// The time since the last call, or since the beginning, was this step's.
    pub fn was(&mut self, step: Step) {
        let now = Instant::now();
        self.metrics.took(step, now - self.since);
        self.since = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_can_be_read() {
        let mut registry = Registry::default();
        let metrics = Families::register(&mut registry).of(Flow::Payment);
        metrics.took(Step::Commit, Duration::from_millis(1_500));
        metrics.handled.inc_by(3);
        metrics.batches.observe(3.0);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).expect("text");
        for line in [
            "mypay_consumer_step_seconds_total{flow=\"payment\",step=\"commit\"} 1.5\n",
            "mypay_consumer_messages_total{flow=\"payment\",outcome=\"handled\"} 3\n",
            "mypay_consumer_batch_messages_count{flow=\"payment\"} 1\n",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn the_lag_of_a_partition_that_is_gone_is_told_no_more() {
        let mut registry = Registry::default();
        let metrics = Families::register(&mut registry).of(Flow::Payment);
        let read = || {
            let mut text = String::new();
            prometheus_client::encoding::text::encode(&mut text, &registry).expect("text");
            text
        };
        let topic = || Flow::Payment.request_topic().to_owned();
        let line = |partition, lag| {
            format!(
                "mypay_consumer_lag_offsets{{flow=\"payment\",topic=\"my.payment.request\",\
                 partition=\"{partition}\"}} {lag}\n"
            )
        };
        metrics.lags(&[(topic(), 0, 7), (topic(), 1, 0)]);
        assert!(read().contains(&line(0, 7)) && read().contains(&line(1, 0)));
        metrics.clone().lags(&[(topic(), 1, 9)]);
        assert!(!read().contains("partition=\"0\"") && read().contains(&line(1, 9)));
    }

    #[test]
    fn a_step_is_at_its_own_place() {
        for (place, step) in Step::ALL.into_iter().enumerate() {
            assert_eq!(step as usize, place, "{step:?}");
        }
    }
}
