//! Produces messages again, as they are.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, DeliveryResult, Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};

use crate::error::AuditError;
use crate::kafka::Span;
use crate::read;

/// The header that names the message which was put through again.
const REPLAY_OF: &str = "replay-of";
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

/// Reads the spans once more and produces the chosen messages; tells how many.
/// Blocks.
pub(super) fn all(
    bootstrap: &str,
    spans: &[Span],
    chosen: &HashSet<(i32, i64)>,
    mut progress: impl FnMut(u64),
) -> Result<u64, AuditError> {
    let failed = Failed::default();
    // Idempotent, so that the producer's own retries double nothing and keep
    // the order; a double of the whole replay the consumers take care of.
    let producer: ThreadedProducer<Failed> = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("client.id", "mypay.replay")
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("compression.type", "lz4")
        .set("linger.ms", "20")
        .set("queue.buffering.max.messages", "100000")
        .create_with_context(failed.clone())?;
    let mut produced = 0;
    for share in read::shares(spans) {
        read::each(bootstrap, &share, |message| {
            if chosen.contains(&(message.partition(), message.offset())) {
                failed.check()?;
                produce(&producer, message)?;
                produced += 1;
                if produced % 1_000 == 0 {
                    progress(produced);
                }
            }
            Ok(())
        })?;
    }
    producer.flush(PATIENCE)?;
    failed.check()?;
    progress(produced);
    Ok(produced)
}

fn produce(
    producer: &ThreadedProducer<Failed>,
    message: &BorrowedMessage<'_>,
) -> Result<(), AuditError> {
    let began = Instant::now();
    let mut record: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(message.topic())
        // Its own partition: the key's order is the partition's.
        .partition(message.partition())
        .headers(headers(message));
    // As they are: a key or a value that is missing is not an empty one.
    (record.key, record.payload) = (message.key(), message.payload());
    loop {
        record = match producer.send(record) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), record))
                if began.elapsed() < PATIENCE =>
            {
                std::thread::sleep(Duration::from_millis(5));
                record
            }
            Err((error, _)) => return Err(error.into()),
        }
    }
}

/// The message's own headers, and which message it was.
fn headers(message: &BorrowedMessage<'_>) -> OwnedHeaders {
    let place = format!(
        "{}-{}@{}",
        message.topic(),
        message.partition(),
        message.offset()
    );
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
