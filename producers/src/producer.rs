//! All that accepting needs: a slot with a name, the schema ids, the horizon,
//! the batcher, and the relay that sends on what was accepted.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use chrono::Utc;
use mypay_idempotency::horizon::Horizon;
use mypay_idempotency::is_transient;
use mypay_idempotency::relay::Relay;
use mypay_idempotency::slot::Slot;
use mypay_schemas::encoders::{Encoders, EncodersError};
use sqlx::{PgPool, Row};
use tokio::sync::{Notify, watch};
use tokio::task::{JoinHandle, JoinSet};

use crate::accept::{Acceptance, Batcher};
use crate::metrics::Metrics;

/// How often the coming partitions of `queue_log` are made.
const HORIZON_EVERY: Duration = Duration::from_secs(3_600);
/// How often the outbox is looked at while it empties.
const LOOK: Duration = Duration::from_millis(50);

/// What a producer works with.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `host:port,..` of the brokers.
    pub kafka_bootstrap: String,
    /// Base URL of the registry's Confluent-compatible API.
    pub registry_url: String,
    /// The role whose slots it takes: the same program, the same role.
    pub role: &'static str,
    /// How often a neighbour that does not answer at the start is tried again,
    /// ever less often; `None`: for as long as it takes.
    pub tries: Option<usize>,
}

/// How far a producer has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// It waits for the database.
    Database,
    /// It waits for the registry, to learn the ids of its schemas.
    Registry,
    /// It accepts.
    Ready,
    /// It takes in nothing more.
    Stopping,
}

/// Why a producer could not begin.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The database does not answer, or has no tables.
    #[error("PostgreSQL: {0}")]
    Database(#[from] sqlx::Error),
    /// The ids of the schemas could not be learnt.
    #[error(transparent)]
    Registry(#[from] EncodersError),
}

/// Accepts requests and sends them on.
pub struct Producer {
    acceptance: Acceptance,
    pool: PgPool,
    slot: Slot,
    relay_healthy: Arc<AtomicBool>,
    close: watch::Sender<bool>,
    batcher: JoinHandle<()>,
    /// The relay and the upkeep; dropped with it.
    others: JoinSet<()>,
}

impl Producer {
    /// Waits for the neighbours that accepting needs, and begins.
    ///
    /// Kafka is none of them: while it is down, what is accepted waits in the
    /// outbox.
    pub async fn open(
        pool: PgPool,
        settings: &Settings,
        metrics: Arc<Metrics>,
        stage: &watch::Sender<Stage>,
    ) -> Result<Self, OpenError> {
        stage.send_replace(Stage::Database);
        let backoff = backoff(settings.tries);
        let horizon = (|| Horizon::open(&pool, Utc::now()))
            .retry(backoff)
            .when(is_transient)
            .notify(|error, delay| tracing::warn!(%error, ?delay, "waiting for PostgreSQL"))
            .await?;
        let horizon = Arc::new(horizon);
        stage.send_replace(Stage::Registry);
        let encoders = (|| Encoders::look_up(&settings.registry_url))
            .retry(backoff)
            // One that is not registered yet may be before long: the stack is
            // being set up.
            .when(|error| !matches!(error, EncodersError::Avro(_)))
            .notify(
                |error, delay| tracing::warn!(%error, ?delay, "waiting for the schema registry"),
            )
            .await?;
        // The slot comes last: its heartbeat promises that its outbox is served.
        let slot = (|| Slot::take(&pool, settings.role))
            .retry(backoff)
            .when(is_transient)
            .await?;
        let producer = Self::begin(pool, settings, slot, Arc::new(encoders), horizon, metrics);
        stage.send_replace(Stage::Ready);
        tracing::info!(writer = producer.slot.name(), "accepting requests");
        Ok(producer)
    }

    fn begin(
        pool: PgPool,
        settings: &Settings,
        slot: Slot,
        encoders: Arc<Encoders>,
        horizon: Arc<Horizon>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let bell = Arc::new(Notify::new());
        let relay = Relay::new(
            pool.clone(),
            &settings.kafka_bootstrap,
            &slot.name(),
            Arc::clone(&bell),
        );
        let relay_healthy = relay.healthy();
        let (close, closed) = watch::channel(false);
        let batcher = Batcher {
            pool: pool.clone(),
            writer: slot.name(),
            bell,
            metrics,
            closed,
        };
        let renewal = renew(pool.clone(), Arc::clone(&horizon));
        let (acceptance, batcher) = batcher.spawn(encoders, horizon);
        let mut others = JoinSet::new();
        others.spawn(relay.run());
        others.spawn(renewal);
        Self {
            acceptance,
            pool,
            slot,
            relay_healthy,
            close,
            batcher,
            others,
        }
    }

    /// Accepts requests.
    pub fn acceptance(&self) -> &Acceptance {
        &self.acceptance
    }

    /// The name under which it writes.
    pub fn writer(&self) -> String {
        self.slot.name()
    }

    /// Whether the relay's last attempt reached Kafka.
    pub fn relay_healthy(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.relay_healthy)
    }

    /// Turns true when another process has taken the slot: this one must stop.
    pub fn lost(&self) -> watch::Receiver<bool> {
        self.slot.lost()
    }

    /// Takes in nothing more, answers what was taken in, waits until the relay
    /// has sent it or `patience` is over, and gives the slot back.
    ///
    /// Tells how many messages are still in the outbox; the next process of
    /// this role sends them.
    pub async fn close(mut self, patience: Duration) -> Result<i64, sqlx::Error> {
        // Nobody listens where the batcher has ended already.
        let _ = self.close.send(true);
        if let Err(error) = (&mut self.batcher).await {
            tracing::error!(%error, "the batcher did not end well");
        }
        let left = self.drain(patience).await?;
        // Before the slot: whoever takes it next runs the relay.
        self.others.shutdown().await;
        self.slot.give_back().await?;
        Ok(left)
    }

    async fn drain(&self, patience: Duration) -> Result<i64, sqlx::Error> {
        let deadline = tokio::time::Instant::now() + patience;
        while self.has_unsent().await? && tokio::time::Instant::now() < deadline {
            tokio::time::sleep(LOOK).await;
        }
        self.unsent().await
    }

    async fn has_unsent(&self) -> Result<bool, sqlx::Error> {
        sqlx::query("SELECT EXISTS (SELECT 1 FROM outbox WHERE writer = $1)")
            .bind(self.slot.name())
            .fetch_one(&self.pool)
            .await?
            .try_get(0)
    }

    /// How many of its messages are in the outbox.
    pub async fn unsent(&self) -> Result<i64, sqlx::Error> {
        sqlx::query("SELECT count(*) FROM outbox WHERE writer = $1")
            .bind(self.slot.name())
            .fetch_one(&self.pool)
            .await?
            .try_get(0)
    }
}

fn backoff(tries: Option<usize>) -> ExponentialBuilder {
    let backoff = ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(200))
        .with_max_delay(Duration::from_secs(5))
        .with_jitter();
    match tries {
        Some(tries) => backoff.with_max_times(tries),
        None => backoff.without_max_times(),
    }
}

async fn renew(pool: PgPool, horizon: Arc<Horizon>) {
    loop {
        tokio::time::sleep(HORIZON_EVERY).await;
        if let Err(error) = horizon.renew(&pool, Utc::now()).await {
            // Partitions are made weeks ahead: the next hour is early enough.
            tracing::warn!(%error, "the coming partitions of queue_log were not made");
        }
    }
}
