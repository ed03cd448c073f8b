//! What the handlers share.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use mypay_auth::Checker;
use mypay_bank::BankClient;
use sqlx::PgPool;
use tokio::sync::watch;

use super::bank_accounts::asking::Asking;
use super::problem::Problem;
use crate::accept::Acceptance;
use crate::edge::{Bounds, Edge};
use crate::metrics::Metrics;
use crate::producer::{Producer, Stage};

/// What the handlers share.
pub(crate) struct App {
    pub(crate) pool: PgPool,
    pub(crate) bank: BankClient,
    pub(crate) asking: Asking,
    pub(crate) tokens: Arc<Checker>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) kafka_bootstrap: String,
    pub(crate) bounds: Bounds,
    stage: watch::Receiver<Stage>,
    brokers: AtomicBool,
    door: OnceLock<Door>,
}

/// There once the edge accepts.
struct Door {
    acceptance: Acceptance,
    relay_healthy: Arc<AtomicBool>,
}

impl App {
    pub(crate) fn new(edge: &Edge, stage: watch::Receiver<Stage>, metrics: Arc<Metrics>) -> Self {
        Self {
            pool: edge.pool.clone(),
            bank: edge.bank.clone(),
            asking: Asking::of(edge.bank.table()),
            tokens: Arc::clone(&edge.tokens),
            metrics,
            kafka_bootstrap: edge.settings.kafka_bootstrap.clone(),
            bounds: edge.bounds,
            stage,
            brokers: AtomicBool::new(false),
            door: OnceLock::new(),
        }
    }

    /// From now on requests are accepted.
    pub(crate) fn open(&self, producer: &Producer) {
        self.door.get_or_init(|| Door {
            acceptance: producer.acceptance().clone(),
            relay_healthy: producer.relay_healthy(),
        });
    }

    pub(crate) fn stage(&self) -> Stage {
        *self.stage.borrow()
    }

    pub(crate) fn acceptance(&self) -> Result<&Acceptance, Problem> {
        match (self.door.get(), self.stage()) {
            (_, Stage::Stopping) => Err(Problem::unavailable(
                "stopping",
                "the edge is being stopped",
            )),
            (Some(door), _) => Ok(&door.acceptance),
            (None, _) => Err(Problem::unavailable(
                "starting",
                "the edge is being started; see /health",
            )),
        }
    }

    /// Whether a broker took a connection, at the last look.
    pub(crate) fn found_brokers(&self, found: bool) {
        self.brokers.store(found, Ordering::Relaxed);
    }

    /// Whether what is accepted goes on to Kafka at once.
    pub(crate) fn reaches_kafka(&self) -> bool {
        let relay = self
            .door
            .get()
            .is_some_and(|door| door.relay_healthy.load(Ordering::Relaxed));
        relay && self.brokers.load(Ordering::Relaxed)
    }
}
