//! The one writer: whatever waits is executed in one commit.
//!
//! While a commit is on its way to disk the next commands gather behind it, so
//! that the batch grows with the load and no timer is needed.

use std::collections::{BTreeSet, HashMap};
use std::time::SystemTime;

use chrono::{DateTime, SubsecRound, Utc};
use sqlx::PgPool;
use tokio::sync::{mpsc, oneshot};

use super::book::Outcome;
use super::store;
use super::transfer::{Instructions, TransferKey};
use crate::command::TransferCommand;
use crate::rest_window::korean_date;

/// The most jobs in one commit.
const BATCH: usize = 500;

/// Something for the book.
#[derive(Debug)]
pub(super) enum Task {
    /// A command.
    Execute(TransferCommand, Instructions),
    /// A transfer in progress is due.
    Settle(TransferKey),
    /// A reversal is due.
    Reverse(TransferKey),
}

/// A task, and who wants to know what came of it.
pub(super) struct Job {
    task: Task,
    reply: oneshot::Sender<Option<Outcome>>,
}

/// The batch could not be committed, or it is not known whether it was.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the bank's database did not answer")]
pub(super) struct NotCommitted;

/// Where jobs are handed in.
#[derive(Debug, Clone)]
pub(super) struct Writer(mpsc::Sender<Job>);

impl Writer {
    /// Starts the writer; it ends when the last handle is dropped.
    pub(super) fn start(pool: PgPool, fees: HashMap<String, i64>) -> Self {
        let (sender, receiver) = mpsc::channel(4 * BATCH);
        tokio::spawn(run(pool, fees, receiver));
        Self(sender)
    }

    /// Hands a task in and waits until what came of it is on disk.
    ///
    /// Whoever stops waiting (a client that hangs up) stops nothing: a task that
    /// was handed in is executed. `None`: a task without an outcome.
    pub(super) async fn submit(&self, task: Task) -> Result<Option<Outcome>, NotCommitted> {
        let (reply, outcome) = oneshot::channel();
        self.0
            .send(Job { task, reply })
            .await
            .map_err(|_| NotCommitted)?;
        outcome.await.map_err(|_| NotCommitted)
    }
}

async fn run(pool: PgPool, fees: HashMap<String, i64>, mut jobs: mpsc::Receiver<Job>) {
    let mut batch = Vec::with_capacity(BATCH);
    while jobs.recv_many(&mut batch, BATCH).await > 0 {
        match execute(&pool, &fees, &batch).await {
            Ok(outcomes) => reply(batch.drain(..), outcomes),
            // One job that the database refuses must not take the others with it.
            Err(sqlx::Error::Database(error)) if batch.len() > 1 => {
                tracing::warn!(%error, jobs = batch.len(), "a batch was refused; one by one");
                for job in batch.drain(..) {
                    let alone = [job];
                    let outcomes = execute(&pool, &fees, &alone).await;
                    outcomes.map_or_else(|error| lost(&error, 1), |o| reply(alone, o));
                }
            }
            Err(error) => {
                lost(&error, batch.len());
                batch.clear();
            }
        }
    }
}

fn reply(jobs: impl IntoIterator<Item = Job>, outcomes: Vec<Option<Outcome>>) {
    for (job, outcome) in jobs.into_iter().zip(outcomes) {
        // A client that has hung up asks again by an inquiry.
        let _ = job.reply.send(outcome);
    }
}

/// The replies of these jobs are dropped, and answered with a 500: unknown, as it
/// should be, for the commit may have reached the disk.
fn lost(error: &sqlx::Error, jobs: usize) {
    tracing::error!(%error, jobs, "the dummy bank could not commit");
}

async fn execute(
    pool: &PgPool,
    fees: &HashMap<String, i64>,
    batch: &[Job],
) -> Result<Vec<Option<Outcome>>, sqlx::Error> {
    let mut keys = BTreeSet::new();
    let mut accounts = BTreeSet::new();
    let mut notice_date = None;
    let now = now();
    for job in batch {
        match &job.task {
            Task::Execute(command, _) => {
                keys.insert(TransferKey::from(command));
                accounts.extend([command.from.clone(), command.to.clone()]);
            }
            Task::Settle(key) => {
                keys.insert(key.clone());
            }
            Task::Reverse(key) => {
                keys.insert(key.clone());
                notice_date = Some(korean_date(now));
            }
        }
    }
    let mut tx = pool.begin().await?;
    let mut book = store::load(&mut tx, &keys, accounts, notice_date).await?;
    book.fees.clone_from(fees);
    let outcomes = batch
        .iter()
        .map(|job| match &job.task {
            Task::Execute(command, wish) => Some(book.execute(command, *wish, now)),
            Task::Settle(key) => {
                book.settle(key, now);
                None
            }
            Task::Reverse(key) => {
                book.reverse(key, now);
                None
            }
        })
        .collect();
    store::save(&mut tx, &book).await?;
    tx.commit().await?;
    Ok(outcomes)
}

/// The bank's clock, as exact as PostgreSQL keeps it: the answer to the command
/// and to an inquiry after a restart must be the same instant.
pub(super) fn now() -> DateTime<Utc> {
    DateTime::<Utc>::from(SystemTime::now()).trunc_subsecs(6)
}
