//! The HTTP edge, from its start to its end.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use mypay_auth::Checker;
use mypay_bank::BankClient;
use mypay_idempotency::is_transient;
use mypay_idempotency::slot::until_lost;
use sqlx::PgPool;
use sqlx::migrate::MigrateError;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::adopt;
use crate::connections;
use crate::http::{self, App};
use crate::metrics::Metrics;
use crate::producer::{OpenError, Producer, Settings, Stage};

/// How long requests in flight may take when the edge is told to stop.
const FINISH: Duration = Duration::from_secs(10);
/// How long the relay then gets to send what was accepted last.
const SEND_ON: Duration = Duration::from_secs(3);
/// How long after a failed migration it is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// What the edge works with.
pub struct Edge {
    /// The database; the edge brings its tables up to date.
    pub pool: PgPool,
    /// The banks, to ask whose an account is.
    pub bank: BankClient,
    /// Tells who asks.
    pub tokens: Arc<Checker>,
    /// Kafka and the registry.
    pub settings: Settings,
    /// What clients may take of it.
    pub bounds: Bounds,
}

/// What clients may take of the edge.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// How many connections are open at once; others wait to be accepted.
    pub connections: usize,
    /// How long a client may take for the header of a request, for its body, and
    /// from one request of a connection to the next.
    pub client: Duration,
    /// How often a member may have a bank asked in a day, Korean time, whose an
    /// account is.
    pub registrations: i32,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            // Each is a file, and 1,024 is what a process usually may open.
            connections: 800,
            client: Duration::from_secs(10),
            registrations: 20,
        }
    }
}

/// Why the edge ended.
#[derive(Debug, thiserror::Error)]
pub enum EdgeError {
    /// The tables could not be brought up to date.
    #[error("the tables cannot be brought up to date: {0}")]
    Migrate(#[from] MigrateError),
    /// It could not begin to accept.
    #[error("the edge cannot accept requests: {0}")]
    Open(#[from] OpenError),
    /// Another process runs under its name.
    #[error("another process has taken slot {0}: this one was silent for too long and stops")]
    SlotLost(String),
    /// Its socket failed.
    #[error("the HTTP server ended: {0}")]
    Http(#[from] std::io::Error),
    /// What it accepted last could not be looked after.
    #[error("PostgreSQL, on the way down: {0}")]
    Database(#[from] sqlx::Error),
}

impl Edge {
    /// Serves until `shutdown`, then finishes what is in flight.
    ///
    /// `/health` answers from the first moment on, and says what the edge waits
    /// for; everything that needs it is told to come again.
    pub async fn serve(
        self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), EdgeError> {
        let metrics = Arc::new(Metrics::default());
        let (stage, seen) = watch::channel(Stage::Database);
        let app = Arc::new(App::new(&self, seen, Arc::clone(&metrics)));
        let mut server = Server::start(listener, Arc::clone(&app), self.bounds);
        // They end with this function.
        let mut companions = JoinSet::new();
        companions.spawn(http::watch_brokers(Arc::clone(&app)));
        tokio::pin!(shutdown);
        let producer = tokio::select! {
            opened = self.open(metrics, &stage) => opened?,
            () = &mut shutdown => return Ok(server.stop(&stage).await?),
            ended = &mut server.task => return Ok(flat(ended)?),
        };
        app.open(&producer);
        companions.spawn(adopt::run(
            self.pool.clone(),
            self.settings.kafka_bootstrap.clone(),
            producer.writer(),
        ));
        let outcome = tokio::select! {
            () = &mut shutdown => server.stop(&stage).await.map_err(EdgeError::from),
            ended = &mut server.task => flat(ended).map_err(EdgeError::from),
            () = until_lost(producer.lost()) => {
                let _ = server.stop(&stage).await;
                Err(EdgeError::SlotLost(producer.writer()))
            }
        };
        match producer.close(SEND_ON).await? {
            0 => {}
            left => tracing::warn!(
                left,
                "accepted requests wait in the outbox for the next edge"
            ),
        }
        outcome
    }

    async fn open(
        &self,
        metrics: Arc<Metrics>,
        stage: &watch::Sender<Stage>,
    ) -> Result<Producer, EdgeError> {
        migrate(&self.pool).await?;
        Ok(Producer::open(self.pool.clone(), &self.settings, metrics, stage).await?)
    }
}

/// Brings the tables up to date, as soon as the database answers.
async fn migrate(pool: &PgPool) -> Result<(), MigrateError> {
    loop {
        match mypay_database::migrate(pool).await {
            Err(MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _))
                if is_transient(&error) =>
            {
                tracing::warn!(%error, "waiting for PostgreSQL");
                tokio::time::sleep(AGAIN).await;
            }
            migrated => return migrated,
        }
    }
}

struct Server {
    task: JoinHandle<()>,
    stop: watch::Sender<bool>,
}

impl Server {
    fn start(listener: TcpListener, app: Arc<App>, bounds: Bounds) -> Self {
        let (stop, mut stopped) = watch::channel(false);
        let stopped = async move {
            // An error means that the edge is gone: stop as well.
            let _ = stopped.wait_for(|stop| *stop).await;
        };
        let router = http::router(app);
        let limits = (bounds.connections, bounds.client);
        let task = tokio::spawn(connections::serve(listener, router, limits, stopped));
        Self { task, stop }
    }

    /// Takes no more connections, and waits for the answers that are due.
    async fn stop(&mut self, stage: &watch::Sender<Stage>) -> std::io::Result<()> {
        stage.send_replace(Stage::Stopping);
        // Nobody listens where the server has ended by itself.
        let _ = self.stop.send(true);
        match tokio::time::timeout(FINISH, &mut self.task).await {
            Ok(ended) => flat(ended),
            Err(_) => {
                tracing::warn!("some requests were still in flight when the edge stopped");
                self.task.abort();
                Ok(())
            }
        }
    }
}

fn flat(ended: Result<(), tokio::task::JoinError>) -> std::io::Result<()> {
    ended.map_err(std::io::Error::other)
}
