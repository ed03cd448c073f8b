//! The client of a bank: every call ends as one of a few answers, never as an
//! error that somebody could take for "it did not happen".

mod answer;
mod call;
mod queries;
mod seed;
mod transfer;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

pub use answer::{Answer, CallFailed, HolderAnswer, NotSentWhy, UnknownWhy};
pub use seed::SEED_BATCH;

use crate::classes::{ClassTable, ClassTableError};

/// Where the banks are and how to read them.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    /// All banks, unless `endpoints` says otherwise: `http://127.0.0.1:8090`.
    pub base_url: String,
    /// Another address for a bank code.
    pub endpoints: HashMap<String, String>,
    /// Rules and answer codes.
    pub table: Arc<ClassTable>,
    /// How long a connection may take to be made.
    pub connect_timeout: Duration,
}

impl ClientConfig {
    /// All banks at one address, with the built-in table.
    pub fn new(base_url: impl Into<String>) -> Self {
        Self {
            base_url: base_url.into(),
            endpoints: HashMap::new(),
            table: Arc::new(ClassTable::embedded()),
            connect_timeout: Duration::from_secs(2),
        }
    }

    /// All banks at one address, with the table that the environment names: whoever
    /// asks banks anything goes by the same one.
    ///
    /// # Errors
    /// Where the table cannot be read.
    pub fn of_environment(base_url: impl Into<String>) -> Result<Self, ClientSetupError> {
        Ok(Self {
            table: Arc::new(ClassTable::of_environment()?),
            ..Self::new(base_url)
        })
    }
}

/// The client could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum ClientSetupError {
    /// Of HTTP.
    #[error("cannot set up the bank client: {0}")]
    Http(#[from] reqwest::Error),
    /// Its table of banks cannot be read.
    #[error(transparent)]
    Table(#[from] ClassTableError),
}

/// A client of all banks; cheap to clone, one is enough for a process.
#[derive(Debug, Clone)]
pub struct BankClient {
    http: reqwest::Client,
    config: Arc<ClientConfig>,
}

impl BankClient {
    /// A client with connections of its own.
    pub fn new(config: ClientConfig) -> Result<Self, ClientSetupError> {
        let http = reqwest::Client::builder()
            // A redirect would send the command to somebody else, and twice.
            .redirect(reqwest::redirect::Policy::none())
            // Whether a command goes out again is never the HTTP library's decision.
            .retry(reqwest::retry::never())
            // A proxy would turn its own failure to connect into a bank's answer.
            .no_proxy()
            .http1_only()
            .tcp_nodelay(true)
            .connect_timeout(config.connect_timeout)
            .pool_max_idle_per_host(1024)
            // Shorter than a server's: the fewer connections die under a command,
            // the fewer commands become unknown.
            .pool_idle_timeout(Duration::from_secs(20))
            .build()?;
        Ok(Self {
            http,
            config: Arc::new(config),
        })
    }

    /// The rules and answer codes that this client goes by.
    pub fn table(&self) -> &ClassTable {
        &self.config.table
    }
}
