//! A transactional producer that is thrown away when in doubt.
//!
//! librdkafka 2.12 has no KIP-890 yet: a transaction whose end timed out may
//! still be ended by a late request, and a new one under the same epoch could
//! be taken for it. So after any error the producer is dropped and made anew,
//! which raises its epoch and ends whatever it left; the caller then reads the
//! committed offsets, and knows what was done.
//!
//! Nor does it keep to its time-outs: while a group's coordinator is away,
//! `send_offsets_to_transaction()` can block for ever (its issues #5456, #5511).
//! So each step is waited for no longer than [`OVERDUE`], and then left behind.

use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::client::ClientContext;
use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use rdkafka::statistics::Statistics;

use crate::requests::{self, Requests, Told};

/// How long a step of a transaction may take before the producer is given up.
const PATIENCE: Duration = Duration::from_secs(15);
/// A step that has not come back by then never will.
const OVERDUE: Duration = Duration::from_secs(20);
/// After so long the broker ends a transaction that nobody ended; until then
/// read_committed readers wait behind it.
const TRANSACTION_TIMEOUT_MS: &str = "20000";

/// A message for a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The topic.
    pub topic: &'static str,
    /// The record's key.
    pub key: Vec<u8>,
    /// The record's value.
    pub payload: Vec<u8>,
    /// W3C trace context, where the cause had one.
    pub traceparent: Option<String>,
    /// More headers: why a dead letter is dead.
    pub headers: Vec<(&'static str, Vec<u8>)>,
}

/// What a producer's transactions are like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// A few messages, for which somebody waits.
    Small,
    /// Thousands.
    Large,
}

impl Size {
    /// How long a message waits for others before it is sent, in milliseconds.
    ///
    /// Few messages go at once. Of many, mostly full batches do: otherwise the
    /// brokers get many small ones, and librdkafka's threads spin while five of
    /// them are on their way to a broker, which took a third of the consumer's
    /// CPU.
    const fn linger_ms(self) -> &'static str {
        match self {
            Size::Small => "0",
            Size::Large => "20",
        }
    }
}

/// Counts a producer's requests. What could not be delivered makes the commit
/// fail, and needs no report of its own.
struct Counting(Requests);

impl ClientContext for Counting {
    fn stats(&self, statistics: Statistics) {
        self.0.take(&statistics);
    }
}

impl ProducerContext for Counting {
    type DeliveryOpaque = ();

    fn delivery(&self, _: &DeliveryResult<'_>, (): ()) {}
}

/// A producer under one transactional id.
pub struct TransactionalProducer {
    producer: Arc<ThreadedProducer<Counting>>,
}

impl TransactionalProducer {
    /// Connects and ends what an earlier producer of this id left hanging.
    ///
    /// Blocks until the brokers answer, at most some seconds. `told` hears of the
    /// requests that it makes.
    pub fn connect(
        bootstrap: &str,
        transactional_id: &str,
        size: Size,
        told: Told,
    ) -> KafkaResult<Self> {
        let producer: ThreadedProducer<Counting> = mypay_kafka::client(bootstrap)
            .set("client.id", transactional_id)
            .set("transactional.id", transactional_id)
            .set("transaction.timeout.ms", TRANSACTION_TIMEOUT_MS)
            // Less than the transaction's, as librdkafka demands.
            .set("message.timeout.ms", "15000")
            .set("acks", "all")
            .set("compression.type", "lz4")
            // A dead letter is a whole request and the headers that explain it.
            .set("message.max.bytes", "2000000")
            .set("linger.ms", size.linger_ms())
            .set("batch.size", "900000")
            // A message that cannot be delivered makes the transaction's end
            // fail; a report of each that was delivered says nothing more.
            .set("delivery.report.only.error", "true")
            .set("queue.buffering.max.messages", "500000")
            .set("queue.buffering.max.kbytes", "262144")
            .set("statistics.interval.ms", requests::INTERVAL_MS)
            .create_with_context(Counting(Requests::new(told)))?;
        let connected = Self {
            producer: Arc::new(producer),
        };
        connected.step(|producer| producer.init_transactions(PATIENCE))?;
        Ok(connected)
    }

    /// Begins a transaction.
    pub fn begin(&self) -> KafkaResult<()> {
        self.producer.begin_transaction()
    }

    /// Sends a message in the transaction; it waits in the producer's queue.
    pub fn send(&self, event: &Event) -> KafkaResult<()> {
        let began = Instant::now();
        loop {
            let mut record = BaseRecord::to(event.topic)
                .key(&event.key)
                .payload(&event.payload);
            if let Some(headers) = headers(event) {
                record = record.headers(headers);
            }
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _))
                    if began.elapsed() < PATIENCE =>
                {
                    std::thread::sleep(Duration::from_millis(2));
                }
                Err((error, _)) => return Err(error),
            }
        }
    }

    /// Commits the messages together with the offsets of a consumer group.
    ///
    /// Fails where one of the messages could not be delivered.
    pub fn commit(
        &self,
        offsets: TopicPartitionList,
        group: &Arc<ConsumerGroupMetadata>,
    ) -> KafkaResult<()> {
        let group = Arc::clone(group);
        self.step(move |producer| {
            producer.send_offsets_to_transaction(&offsets, &group, PATIENCE)?;
            until_delivered(producer)?;
            producer.commit_transaction(PATIENCE)
        })
    }

    /// Takes a step that may block for ever. One that is overdue is left behind
    /// on its thread, and the producer with it: the next one that connects under
    /// this id fences both off.
    fn step(
        &self,
        step: impl FnOnce(&ThreadedProducer<Counting>) -> KafkaResult<()> + Send + 'static,
    ) -> KafkaResult<()> {
        let (tell, told) = mpsc::sync_channel(1);
        let producer = Arc::clone(&self.producer);
        let run = move || {
            // Where nobody waits any more, nobody needs to know.
            let _ = tell.send(step(&producer));
        };
        // A thread a transaction costs some tens of microseconds.
        std::thread::Builder::new()
            .name("transaction".to_string())
            .spawn(run)
            .map_err(|_| KafkaError::Canceled)?;
        told.recv_timeout(OVERDUE)
            .unwrap_or(Err(KafkaError::Flush(RDKafkaErrorCode::OperationTimedOut)))
    }
}

/// Waits until nothing is on its way any more. What could not be delivered makes
/// the commit fail.
///
/// The commit would wait, too, but in steps of 100 ms: rdkafka's flush() waits
/// for an event that our polling thread has taken.
fn until_delivered(producer: &ThreadedProducer<Counting>) -> KafkaResult<()> {
    let began = Instant::now();
    while producer.in_flight_count() > 0 {
        if began.elapsed() > PATIENCE {
            return Err(KafkaError::Flush(RDKafkaErrorCode::OperationTimedOut));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

fn headers(event: &Event) -> Option<OwnedHeaders> {
    if event.traceparent.is_none() && event.headers.is_empty() {
        return None;
    }
    let mut headers = OwnedHeaders::new();
    if let Some(traceparent) = &event.traceparent {
        headers = headers.insert(Header {
            key: "traceparent",
            value: Some(traceparent.as_bytes()),
        });
    }
    for (key, value) in &event.headers {
        headers = headers.insert(Header {
            key,
            value: Some(value),
        });
    }
    Some(headers)
}
