//! The workers at the bank.
//!
//! They take commands from `banking.firmbanking` under leases, and commit
//! before and after each call:
//!
//! - before: a number, unique for the bank and the business date, and the state
//!   `sending`. From then on the command is this number and no other;
//! - after: what the bank said. An answer is written only under the lease that
//!   its call was made under; one that comes later is dropped, and an inquiry
//!   finds out.
//!
//! A command whose lease ran out while it was `sending` may have reached the
//! bank: it is `unknown`, and inquired about; it is never simply sent again.
//! Banks are worked on apart, each with its own calls in flight, so that one
//! that hangs costs the others nothing.

mod call;
mod claim;
mod outcome;
mod record;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use mypay_bank::BankClient;
use mypay_schemas::encoders::Encoders;
use sqlx::PgPool;
use tokio::sync::{Notify, Semaphore, mpsc, watch};
use tokio::task::JoinSet;

/// How many calls to one bank are in flight at the most.
const IN_FLIGHT: usize = 500;
/// How many commands are taken at a time.
const TAKE: usize = 256;
/// How long a worker sleeps when there is nothing to do.
const IDLE: Duration = Duration::from_millis(100);
/// How often new banks are looked for.
const NEW_BANKS: Duration = Duration::from_secs(2);

/// When a bank is asked what became of a command.
#[derive(Debug, Clone, Copy)]
pub struct Inquiry {
    /// The first time, after the answer stayed away.
    pub first: Duration,
    /// The longest pause between two inquiries.
    pub longest: Duration,
}

impl Default for Inquiry {
    fn default() -> Self {
        Self {
            first: Duration::from_secs(300),
            longest: Duration::from_secs(3_600),
        }
    }
}

/// What the workers need.
pub struct Workers {
    /// The database.
    pub pool: PgPool,
    /// The banks.
    pub bank: BankClient,
    /// Writes results.
    pub encoders: Arc<Encoders>,
    /// Whose outbox the results go into.
    pub writer: String,
    /// Rung when something was written there.
    pub bell: Arc<Notify>,
    /// When to inquire.
    pub inquiry: Inquiry,
}

impl Workers {
    /// Works until `stop` turns true; calls that are under way are finished.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        let (answers, recorder) = record::start(&self);
        let workers = Arc::new(self);
        let mut banks: HashMap<String, tokio::task::AbortHandle> = HashMap::new();
        let mut tasks = JoinSet::new();
        // Without the recorder no answer is kept: the workers end, and whoever
        // runs them begins anew.
        while !*stop.borrow() && !recorder.is_finished() {
            match claim::banks(&workers.pool).await {
                Ok(found) => {
                    // A bank whose task has panicked is begun anew.
                    banks.retain(|_, task| !task.is_finished());
                    for bank_code in found {
                        banks.entry(bank_code.clone()).or_insert_with(|| {
                            let (workers, answers) = (Arc::clone(&workers), answers.clone());
                            tasks.spawn(work(workers, bank_code, answers, stop.clone()))
                        });
                    }
                }
                Err(error) => tracing::warn!(%error, "the banks could not be looked up"),
            }
            // Either ends the wait; the loop looks which it was.
            let _ = tokio::time::timeout(NEW_BANKS, stop.wait_for(|stop| *stop)).await;
        }
        if recorder.is_finished() {
            tasks.abort_all();
        }
        while tasks.join_next().await.is_some() {}
        drop(answers);
        // The recorder ends when the last call has dropped its sender.
        let _ = recorder.await;
    }
}

/// Works on one bank.
async fn work(
    workers: Arc<Workers>,
    bank_code: String,
    answers: mpsc::Sender<outcome::Answered>,
    mut stop: watch::Receiver<bool>,
) {
    tracing::info!(bank_code, "working at the bank");
    let in_flight = Arc::new(Semaphore::new(IN_FLIGHT));
    let mut calls = JoinSet::new();
    while !*stop.borrow() {
        let room = in_flight.available_permits().min(TAKE);
        let taken = if room == 0 {
            Vec::new()
        } else {
            claim::take(&workers, &bank_code, room)
                .await
                .unwrap_or_else(|error| {
                    tracing::warn!(bank_code, %error, "commands could not be taken");
                    Vec::new()
                })
        };
        let idle = taken.is_empty();
        for taken in taken {
            // A permit is there: only this loop takes them.
            let Ok(permit) = Arc::clone(&in_flight).try_acquire_owned() else {
                break;
            };
            let (workers, answers) = (Arc::clone(&workers), answers.clone());
            calls.spawn(async move {
                let answered = call::make(&workers, taken).await;
                // The recorder outlives the calls; should it be gone, the lease
                // runs out and an inquiry finds out.
                let _ = answers.send(answered).await;
                drop(permit);
            });
        }
        while calls.try_join_next().is_some() {}
        if idle {
            // Either ends the wait; the loop looks which it was.
            let _ = tokio::time::timeout(IDLE, stop.wait_for(|stop| *stop)).await;
        }
    }
    while calls.join_next().await.is_some() {}
}
