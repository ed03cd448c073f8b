//! The relay: outbox rows to Kafka, each exactly once.
//!
//! Its position is the committed offset of a consumer group of its own, and is
//! committed in the same Kafka transaction as the messages: so position and
//! messages cannot differ, whenever the process dies.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use backon::{BackoffBuilder, ExponentialBuilder};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};
use sqlx::PgPool;
use tokio::sync::Notify;

use crate::outbox;
use crate::transaction::{Event, Size, TransactionalProducer};

/// Offsets can only be committed for a topic that exists; the relay's position
/// is kept beside this one's, in a group that nobody else uses.
const POSITION_TOPIC: &str = "my.logging.out.stdout";
const POSITION_PARTITION: i32 = 0;
/// How many messages one Kafka transaction carries at the most.
const BATCH: i64 = 5_000;
/// From so many messages a second on, messages gather for a transaction: each
/// costs the brokers appends to every partition that it touches, to the offsets
/// and to the transaction log, and their replication, however few it carries.
const BUSY: f64 = 2_000.0;
/// From one transaction's begin to the next one's, while it is so.
const GATHER: Duration = Duration::from_millis(80);
/// How long a message that was sent lies in the outbox at the most, while more is sent:
/// the age of the oldest one tells whether anybody relays.
const FORGET: Duration = Duration::from_secs(5);
/// How long the relay sleeps when nobody rings.
const IDLE: Duration = Duration::from_millis(250);
const KAFKA_PATIENCE: Duration = Duration::from_secs(10);

/// Why the relay had to begin anew.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// Kafka failed.
    #[error("Kafka: {0}")]
    Kafka(#[from] KafkaError),
    /// The database failed.
    #[error("PostgreSQL: {0}")]
    Database(#[from] sqlx::Error),
    /// A blocking task was cut off.
    #[error("the relay's task ended: {0}")]
    Task(#[from] tokio::task::JoinError),
}

/// Sends one writer's outbox on.
pub struct Relay {
    pool: PgPool,
    bootstrap: String,
    writer: String,
    bell: Arc<Notify>,
    healthy: Arc<AtomicBool>,
}

impl Relay {
    /// A relay for a writer; `bell` is rung when something was written.
    pub fn new(pool: PgPool, bootstrap: &str, writer: &str, bell: Arc<Notify>) -> Self {
        Self {
            pool,
            bootstrap: bootstrap.to_string(),
            writer: writer.to_string(),
            bell,
            healthy: Arc::new(AtomicBool::new(false)),
        }
    }

    /// Whether the last attempt reached Kafka.
    pub fn healthy(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.healthy)
    }

    /// Relays for ever; after an error it begins anew, ever less often.
    pub async fn run(self) {
        let backoff = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(100))
            .with_max_delay(Duration::from_secs(5))
            .with_jitter()
            .without_max_times();
        let mut delays = backoff.build();
        loop {
            let mut progressed = false;
            let error = match self.session(&mut progressed).await {
                Ok(never) => match never {},
                Err(error) => error,
            };
            self.healthy.store(false, Ordering::Relaxed);
            if progressed {
                delays = backoff.build();
            }
            let delay = delays.next().unwrap_or(Duration::from_secs(5));
            tracing::warn!(writer = self.writer, %error, ?delay, "the relay begins anew");
            tokio::time::sleep(delay).await;
        }
    }

    async fn session(&self, progressed: &mut bool) -> Result<std::convert::Infallible, RelayError> {
        let (bootstrap, writer) = (self.bootstrap.clone(), self.writer.clone());
        let mut kafka =
            tokio::task::spawn_blocking(move || KafkaSide::connect(&bootstrap, &writer)).await??;
        // What an earlier session sent and did not delete is deleted first.
        let (mut forgotten, mut forgotten_at) = (0, Instant::now());
        let mut read_at = Instant::now();
        loop {
            self.healthy.store(true, Ordering::Relaxed);
            let mut connection = self.pool.acquire().await?;
            let messages =
                outbox::read(&mut connection, &self.writer, kafka.position, BATCH).await?;
            if messages.is_empty() {
                if forgotten < kafka.position {
                    outbox::forget(&mut connection, &self.writer, kafka.position).await?;
                    forgotten = kafka.position;
                }
                forgotten_at = Instant::now();
                drop(connection);
                // No answer in time means only that nobody rang.
                let _ = tokio::time::timeout(IDLE, self.bell.notified()).await;
                continue;
            }
            drop(connection);
            let count = messages.len();
            kafka = tokio::task::spawn_blocking(move || kafka.send(&messages)).await??;
            *progressed = true;
            let (begun, now) = (read_at, Instant::now());
            // A full one says that more waits already.
            let full = count as i64 == BATCH;
            if !full && count as f64 >= BUSY * (now - begun).as_secs_f64() {
                tokio::time::sleep_until((begun + GATHER).into()).await;
            }
            read_at = Instant::now();
            if kafka.position - forgotten >= 4 * BATCH || forgotten_at.elapsed() >= FORGET {
                let mut connection = self.pool.acquire().await?;
                outbox::forget(&mut connection, &self.writer, kafka.position).await?;
                (forgotten, forgotten_at) = (kafka.position, Instant::now());
            }
        }
    }
}

/// The relay's producer and position; its calls block.
struct KafkaSide {
    producer: TransactionalProducer,
    group: BaseConsumer,
    position: i64,
}

impl KafkaSide {
    fn connect(bootstrap: &str, writer: &str) -> Result<Self, KafkaError> {
        let group_id = format!("mypay.relay.{writer}");
        // First the producer: it ends what an earlier relay of this writer left
        // open, and only then does the position say what was sent.
        let producer =
            TransactionalProducer::connect(bootstrap, &group_id, Size::Small, Arc::new(|_| {}))?;
        let group: BaseConsumer = mypay_kafka::client(bootstrap)
            .set("group.id", &group_id)
            .set("enable.auto.commit", "false")
            // Waits for offsets of a transaction that is not yet decided.
            .set("isolation.level", "read_committed")
            .create()?;
        let mut wanted = TopicPartitionList::new();
        wanted.add_partition(POSITION_TOPIC, POSITION_PARTITION);
        let committed = group.committed_offsets(wanted, KAFKA_PATIENCE)?;
        let position = match committed.elements().first().map(|element| element.offset()) {
            Some(Offset::Offset(position)) => position,
            // A new writer; or its group was idle so long that Kafka forgot the
            // offset, by when all that was sent is long forgotten here too.
            _ => 0,
        };
        Ok(Self {
            producer,
            group,
            position,
        })
    }

    fn send(mut self, messages: &[(i64, Event)]) -> Result<Self, KafkaError> {
        let Some((last, _)) = messages.last() else {
            return Ok(self);
        };
        let next = last + 1;
        self.producer.begin()?;
        for (_, event) in messages {
            self.producer.send(event)?;
        }
        let mut offsets = TopicPartitionList::new();
        offsets.add_partition_offset(POSITION_TOPIC, POSITION_PARTITION, Offset::Offset(next))?;
        let group = self.group.group_metadata().ok_or(KafkaError::Canceled)?;
        self.producer.commit(offsets, &Arc::new(group))?;
        self.position = next;
        Ok(self)
    }
}
