//! Produces messages again, as they are.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer as _, ProducerContext, ThreadedProducer};

use crate::at::At;
use crate::error::AuditError;

/// The header that names the message which was put through again.
pub(crate) const REPLAY_OF: &str = "replay-of";
/// How long the brokers may take for what is queued.
const PATIENCE: Duration = Duration::from_secs(60);

/// The first message that the brokers refused.
#[derive(Clone, Default)]
struct Failed(Arc<Mutex<Option<KafkaError>>>);

impl Failed {
    fn check(&self) -> Result<(), AuditError> {
        let failed = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        failed.map_or(Ok(()), |error| Err(error.into()))
    }
}

impl ClientContext for Failed {}

impl ProducerContext for Failed {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            let mut failed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            failed.get_or_insert_with(|| error.clone());
        }
    }
}

/// Puts messages on their own topics and partitions again, in the order in which it
/// is given them. Its methods block.
pub(crate) struct Again {
    producer: ThreadedProducer<Failed>,
    failed: Failed,
    produced: u64,
}

impl Again {
    /// A producer under a name, as brokers log it.
    pub(crate) fn new(bootstrap: &str, client: &str) -> Result<Self, AuditError> {
        let failed = Failed::default();
        // Idempotent, so that the producer's own retries double nothing and keep
        // the order; a double of the whole replay the consumers take care of.
        let producer = mypay_kafka::client(bootstrap)
            .set("client.id", client)
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("compression.type", "lz4")
            .set("linger.ms", "20")
            .set("queue.buffering.max.messages", "100000")
            .create_with_context(failed.clone())?;
        Ok(Self {
            producer,
            failed,
            produced: 0,
        })
    }

    /// Puts a message through again; tells how many there were with it.
    pub(crate) fn put(&mut self, message: &impl Message) -> Result<u64, AuditError> {
        self.failed.check()?;
        let began = Instant::now();
        let mut record: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(message.topic())
            // Its own partition: the key's order is the partition's.
            .partition(message.partition())
            .headers(headers(message));
        // As they are: a key or a value that is missing is not an empty one.
        (record.key, record.payload) = (message.key(), message.payload());
        loop {
            record = match self.producer.send(record) {
                Ok(()) => break,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), record))
                    if began.elapsed() < PATIENCE =>
                {
                    std::thread::sleep(Duration::from_millis(5));
                    record
                }
                Err((error, _)) => return Err(error.into()),
            }
        }
        self.produced += 1;
        Ok(self.produced)
    }

    /// Waits until the brokers have all of them; tells how many there were.
    pub(crate) fn finish(self) -> Result<u64, AuditError> {
        self.producer.flush(PATIENCE)?;
        self.failed.check()?;
        Ok(self.produced)
    }
}

/// The message's own headers, and which message it was.
fn headers(message: &impl Message) -> OwnedHeaders {
    let place = At::of(message).to_string();
    let mut headers = OwnedHeaders::new();
    // One that was itself a replay now names itself; the way back is a chain.
    let own = message.headers().into_iter().flat_map(Headers::iter);
    for header in own.filter(|header| header.key != REPLAY_OF) {
        headers = headers.insert(Header {
            key: header.key,
            value: header.value,
        });
    }
    headers.insert(Header {
        key: REPLAY_OF,
        value: Some(place.as_bytes()),
    })
}
