//! The audit: requests on the topics, `queue_log`, the ledger, results on the
//! topics and the banks' own statements, set against each other.
//!
//! It reads with code of its own and none of the consumers', so that it does
//! not repeat their mistakes: of the pipeline's crates it shares the schemas,
//! the rule by which ids are derived, and the names of accounts.
//!
//! # What one instant means
//!
//! Topics and database cannot be read at one instant, and traffic may go on.
//! So they are read in an order in which each comparison has a side that is
//! known to be the later one:
//!
//! 1. the ends of the **result** topics. What lies below was committed in
//!    PostgreSQL before it came there; so a result below them must agree with
//! 2. the **snapshot** of the database, one instant that all connections share.
//!    A lane's `next_offset` in it says which requests were handled. Then come
//!    the offsets that the consumers' **groups have committed**, in one Kafka
//!    transaction with the results of all below: so those results must be found
//!    below
//! 3. the ends of **all** topics, taken after both; and what the snapshot says
//!    was handled must lie below them, too. Then
//! 4. the **banks' statements**: all that the snapshot holds for done is on
//!    them. A line whose command is younger than the snapshot is looked up once
//!    more.
//!
//! Whatever falls between is in flight: counted, and not judged. With
//! `wait`, the audit first waits until nothing is.

mod at;
mod balances;
mod bank;
mod checks;
mod claimable;
pub mod close;
mod copy;
mod data;
mod decoding;
pub mod dlq;
mod error;
mod flows;
mod idle;
mod interned;
mod kafka;
mod ledger;
mod load;
mod outbox;
mod produce;
mod queue_log;
mod read;
pub mod replay;
pub mod report;
mod rows;
mod snapshot;
mod sorted;
mod topics;
pub mod trace;

use std::time::{Duration, Instant};

pub use error::AuditError;
use report::Report;

/// Connections to the database: the snapshot's and those that load side by side.
const CONNECTIONS: u32 = 6;

/// Where the servers are.
#[derive(Debug, Clone)]
pub struct Servers {
    /// The Kafka brokers.
    pub bootstrap: String,
    /// The schema registry.
    pub registry_url: String,
    /// PostgreSQL.
    pub database_url: String,
    /// The bank.
    pub bank_url: String,
}

/// Audits, after waiting at most `wait` for the pipeline to be idle.
///
/// # Errors
/// [`AuditError`] where a server could not be read; a bank that cannot be is a
/// check that could not be made, see [`Report::is_incomplete`].
pub async fn audit(servers: &Servers, wait: Option<Duration>) -> Result<Report, AuditError> {
    let pool = mypay_database::reporting_pool(&servers.database_url, CONNECTIONS)?;
    let still_under_way = match wait {
        Some(patience) => idle::wait(&pool, &servers.bootstrap, patience).await?,
        None => None,
    };
    let began = Instant::now();
    let (mut data, balances, messages_read) = load::all(servers, &pool).await?;
    tracing::debug!(took = ?began.elapsed(), messages_read, "loaded");
    load::bank(servers, &pool, &mut data).await?;
    tracing::debug!(took = ?began.elapsed(), "the banks have answered");
    let mut all = tokio::task::spawn_blocking(move || checks::all(&data)).await?;
    all.extend(balances);
    if let Some(what) = still_under_way {
        let in_flight = all
            .iter_mut()
            .find(|check| check.name == "nothing_in_flight");
        in_flight
            .into_iter()
            .for_each(|check| check.note(format!("after the wait: {what}")));
    }
    let mut report = Report::new(all);
    report.took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    report.messages_read = messages_read;
    Ok(report)
}
