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

mod balances;
mod bank;
mod checks;
mod claimable;
mod copy;
mod data;
mod error;
mod flows;
mod idle;
mod interned;
mod kafka;
mod ledger;
mod outbox;
mod queue_log;
mod read;
pub mod replay;
pub mod report;
mod rows;
mod snapshot;
mod sorted;
mod topics;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mypay_schemas::Flow;
use sqlx::PgPool;

use data::Data;
pub use error::AuditError;
use flows::Tables;
use kafka::{Isolation, Span};
use ledger::Ledger;
use queue_log::Loaded;
use report::{Check, Report};
use rows::Source;
use snapshot::Snapshot;
use topics::Ends;

/// Connections to the database: the snapshot's and those that load side by side.
const CONNECTIONS: u32 = 6;

/// A flow, and the offsets that its group has committed.
type Committed = (Flow, HashMap<(&'static str, i32), i64>);

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
    let (mut data, balances, messages_read) = load(servers, &pool).await?;
    tracing::debug!(took = ?began.elapsed(), messages_read, "loaded");
    load_bank(servers, &pool, &mut data).await?;
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

/// Loads all but the banks' statements, in the order that the crate's page gives.
async fn load(servers: &Servers, pool: &PgPool) -> Result<(Data, Vec<Check>, u64), AuditError> {
    let bootstrap = servers.bootstrap.clone();
    let before =
        tokio::task::spawn_blocking(move || ends_of(&bootstrap, Flow::result_topic)).await??;
    let snapshot = Arc::new(Snapshot::take(pool).await?);
    let bootstrap = servers.bootstrap.clone();
    let (committed, ends) = tokio::task::spawn_blocking(move || {
        Ok::<_, AuditError>((all_committed(&bootstrap)?, all_ends(&bootstrap)?))
    })
    .await??;

    // Reasons are shared by all that load, so they are made before and put
    // into the data afterwards.
    let texts = Arc::new(interned::Interned::default());
    let reading = tokio::task::spawn_blocking({
        let (servers, texts) = (servers.clone(), Arc::clone(&texts));
        let runtime = tokio::runtime::Handle::current();
        move || {
            let mut data = Data::with_reasons(texts);
            topics::read(
                &servers.bootstrap,
                &servers.registry_url,
                &runtime,
                &ends,
                &mut data,
            )
            .map(|read| (data, read))
        }
    });
    let rows = tokio::spawn(load_queue_log(
        Arc::clone(&snapshot),
        servers.registry_url.clone(),
        Arc::clone(&texts),
    ));
    let money = tokio::spawn(load_ledger(Arc::clone(&snapshot), texts));
    let (reading, rows, money) = tokio::try_join!(reading, rows, money)?;
    let ((mut data, read), rows, (ledger, tables, balances)) = (reading?, rows?, money?);
    rows.put(&mut data);
    put_committed(&mut data, committed);
    (data.ledger, data.tables) = (ledger, tables);
    for span in before {
        let flow = Flow::ALL
            .into_iter()
            .find(|flow| flow.result_topic() == span.topic);
        if let Some(flow) = flow {
            data.flow_mut(flow)
                .results_before
                .insert(span.partition, span.high);
        }
    }
    Ok((data, balances, read))
}

/// What each flow's group has committed.
fn all_committed(bootstrap: &str) -> Result<Vec<Committed>, AuditError> {
    let consumer = kafka::consumer(bootstrap, Isolation::Uncommitted)?;
    let of = |flow| {
        let partitions = kafka::partitions(&consumer, &kafka::read_by(flow))?;
        Ok((flow, kafka::committed(bootstrap, flow, &partitions)?))
    };
    Flow::ALL.into_iter().map(of).collect()
}

/// A lane notes what it has emitted once a second; its group knows it at once.
fn put_committed(data: &mut Data, committed: Vec<Committed>) {
    for (flow, offsets) in committed {
        for ((topic, partition), offset) in offsets {
            let source = if topic == flow.request_topic() {
                Source::Request
            } else {
                Source::Bank
            };
            let lane = data
                .flow_mut(flow)
                .lanes
                .entry((source, partition))
                .or_default();
            lane.emitted_offset = lane.emitted_offset.max(offset);
        }
    }
}

fn ends_of(bootstrap: &str, topic: fn(Flow) -> &'static str) -> Result<Vec<Span>, AuditError> {
    let consumer = kafka::consumer(bootstrap, Isolation::Uncommitted)?;
    kafka::spans(&consumer, &Flow::ALL.map(topic))
}

fn all_ends(bootstrap: &str) -> Result<Ends, AuditError> {
    // Dead letters before requests, so that each has its message below the ends.
    let dead_letters = ends_of(bootstrap, Flow::dead_letter_topic)?;
    let results = ends_of(bootstrap, Flow::result_topic)?;
    let requests = ends_of(bootstrap, Flow::request_topic)?;
    for spans in [&dead_letters, &results, &requests] {
        kafka::await_decided(bootstrap, spans)?;
    }
    Ok(Ends {
        requests,
        results,
        dead_letters,
    })
}

async fn load_queue_log(
    snapshot: Arc<Snapshot>,
    registry_url: String,
    texts: Arc<interned::Interned>,
) -> Result<Loaded, AuditError> {
    let mut connection = snapshot.see().await?;
    queue_log::load(&mut connection, &registry_url, &texts).await
}

async fn load_ledger(
    snapshot: Arc<Snapshot>,
    texts: Arc<interned::Interned>,
) -> Result<(Ledger, Tables, Vec<Check>), AuditError> {
    let mut connection = snapshot.see().await?;
    let ledger = ledger::load(&mut connection).await?;
    let tables = flows::load(&mut connection, &texts).await?;
    let balances = balances::all(&mut connection).await?;
    Ok((ledger, tables, balances))
}

/// Asks the banks, and for lines whose command the snapshot does not have looks
/// once more: it may have been made since.
async fn load_bank(servers: &Servers, pool: &PgPool, data: &mut Data) -> Result<(), AuditError> {
    let bank = bank::load(&servers.bank_url, &data.tables.contracts, &data.reasons).await;
    let unknown = bank
        .as_ref()
        .is_ok_and(|bank| checks::has_unknown_lines(data, bank));
    data.bank = Some(bank);
    if unknown {
        let mut connection = pool.acquire().await?;
        data.later_numbers = flows::numbers(&mut connection, &data.reasons).await?;
    }
    Ok(())
}
