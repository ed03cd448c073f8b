//! The dummy bank: a real HTTP server that plays all banks, with its own process
//! and its own truth in PostgreSQL (schema `dummy_bank`).
//!
//! What was answered "done" was committed before: it survives its own `kill -9`.

mod accounts;
mod answers;
mod book;
mod clockwork;
mod connection;
mod day_totals;
mod faults;
mod http;
mod notices;
mod plan;
mod statements;
mod store;
mod transfer;
mod transfers;
mod writer;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use sqlx::PgPool;
use tokio::net::TcpListener;

pub use answers::TableLacks;
pub use faults::{BankDial, Dial, DialError, Fault, Rates};

use crate::classes::ClassTable;

/// How to run the dummy bank.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The database in which it makes its schema.
    pub database_url: String,
    /// The banks, their codes and fees.
    pub table: ClassTable,
    /// The faults to begin with.
    pub dial: Dial,
}

/// Why the dummy bank cannot run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DummyError {
    /// The database.
    #[error("the dummy bank's database: {0}")]
    Database(#[from] sqlx::Error),
    /// The socket.
    #[error("cannot serve on {address}: {source}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
    /// The faults.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// The table of codes.
    #[error(transparent)]
    Table(#[from] TableLacks),
}

/// A dummy bank that is listening and not yet answering.
pub struct DummyBank {
    listener: TcpListener,
    address: SocketAddr,
    pool: PgPool,
    state: http::Shared,
}

impl DummyBank {
    /// Opens the database, makes the schema, and listens.
    pub async fn bind(config: ServerConfig) -> Result<Self, DummyError> {
        config.dial.check()?;
        let mut special = config.dial.banks.keys();
        if let Some(bank) = special.find(|bank| config.table.bank(bank).is_none()) {
            return Err(DialError::NoSuchBank(bank.clone()).into());
        }
        let answers = answers::Answers::new(&config.table)?;
        let pool = store::open(&config.database_url).await?;
        let not_listening = |source| DummyError::Listen {
            address: config.listen,
            source,
        };
        let listener = TcpListener::bind(config.listen)
            .await
            .map_err(not_listening)?;
        let address = listener.local_addr().map_err(not_listening)?;
        let fees = config
            .table
            .banks()
            .map(|bank| (bank.bank_code.clone(), bank.fee))
            .collect();
        let state = http::State {
            writer: writer::Writer::start(pool.clone(), fees),
            pool: pool.clone(),
            answers,
            table: config.table,
            dial: tokio::sync::watch::Sender::new(Arc::new(config.dial)),
            struck: Default::default(),
        };
        Ok(Self {
            listener,
            address,
            pool,
            state: Arc::new(state),
        })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `shutdown` ends; answers under way get two more seconds.
    pub async fn run(
        self,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), DummyError> {
        tracing::info!(address = %self.address, "the dummy bank is open");
        let (closing, mut closed) = tokio::sync::watch::channel(false);
        let clockwork = tokio::spawn(clockwork::run(self.pool.clone(), self.state.writer.clone()));
        let app = http::router(self.state).into_make_service_with_connect_info::<connection::Cut>();
        let listener = connection::CuttableListener(self.listener);
        let server = axum::serve(listener, app).with_graceful_shutdown(async move {
            shutdown.await;
            let _ = closing.send(true);
        });
        let address = self.address;
        let outcome = tokio::select! {
            outcome = server => outcome.map_err(|source| DummyError::Listen { address, source }),
            // A fault may hold an answer for minutes: nobody waits for that.
            () = async {
                let _ = closed.wait_for(|closing| *closing).await;
                tokio::time::sleep(Duration::from_secs(2)).await;
            } => Ok(()),
        };
        clockwork.abort();
        outcome
    }
}

/// Binds and runs, in one.
pub async fn serve(
    config: ServerConfig,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), DummyError> {
    DummyBank::bind(config).await?.run(shutdown).await
}
