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
//! Banks are worked on apart, each with its own calls in flight, breaker and
//! rate, so that one that hangs costs the others nothing. Questions about holders
//! have theirs, of the bank that is asked and not of the one that pays.
//!
//! | file | what |
//! |---|---|
//! | `work` | a bank's loop: what may go out now is taken, and called |
//! | `holders` | the same for questions about holders, by the bank that is asked |
//! | `gate`, `breaker`, `bucket` | what holds calls back: places, silence, and the rate |
//! | `claim` | the commit before a call |
//! | `call`, `outcome` | the call, and what its answer makes of the command |
//! | `record` | the commit after it: states, postings, results |
//! | `notices` | what banks have undone later, and what that makes of commands |
//! | `decisions` | what people have decided about cases |
//! | `undos` | payouts that people undo, and what brings their money back |
//! | `alarms` | what people must look at, counted |

mod alarms;
mod breaker;
mod bucket;
mod call;
mod claim;
mod decisions;
mod gate;
mod holders;
mod metrics;
mod notices;
mod outcome;
mod record;
mod undos;
mod work;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

pub use metrics::BankMetrics;

use bucket::Buckets;
use mypay_bank::BankClient;
use mypay_idempotency::slot;
use mypay_schemas::encoders::Encoders;
use sqlx::PgPool;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

/// How many calls of one kind to one bank are in flight at the most.
const IN_FLIGHT: usize = 500;
/// How many commands are taken at a time.
const TAKE: usize = 256;
/// How long a loop sleeps when there is nothing to do.
const IDLE: Duration = Duration::from_millis(50);
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
    /// How often a bank is asked for its notices.
    pub notices: Duration,
    /// What is counted.
    pub metrics: BankMetrics,
    /// How many processes share the banks' rates; found out while working.
    pub sharers: AtomicU32,
}

impl Workers {
    /// Works until `stop` turns true; calls that are under way are finished.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        let recorder = record::Recorder::new(&self);
        let (answers, recording) = recorder.start();
        let workers = Arc::new(self);
        let mut beside = JoinSet::new();
        beside.spawn(decisions::apply_all(recorder.clone(), stop.clone()));
        beside.spawn(undos::ask_all(recorder, stop.clone()));
        beside.spawn(alarms::run(Arc::clone(&workers), stop.clone()));
        let buckets = Arc::new(Buckets::new(workers.bank.table(), Instant::now()));
        let known = workers.bank.table().banks();
        let known: Vec<String> = known.map(|bank| bank.bank_code.clone()).collect();
        let mut banks: HashMap<String, tokio::task::AbortHandle> = HashMap::new();
        let mut asked: HashMap<String, tokio::task::AbortHandle> = HashMap::new();
        let mut tasks = JoinSet::new();
        // Without the recorder no answer is kept: the workers end, and whoever
        // runs them begins anew.
        while !*stop.borrow() && !recording.is_finished() {
            workers.count_sharers().await;
            // A bank whose task has panicked is begun anew.
            banks.retain(|_, task| !task.is_finished());
            asked.retain(|_, task| !task.is_finished());
            for bank_code in &known {
                asked.entry(bank_code.clone()).or_insert_with(|| {
                    tasks.spawn(holders::ask(
                        Arc::clone(&workers),
                        Arc::clone(&buckets),
                        bank_code.clone(),
                        answers.clone(),
                        stop.clone(),
                    ))
                });
            }
            match claim::banks(&workers.pool).await {
                Ok(found) => {
                    for bank_code in found {
                        banks.entry(bank_code.clone()).or_insert_with(|| {
                            let (workers, answers) = (Arc::clone(&workers), answers.clone());
                            let buckets = Arc::clone(&buckets);
                            beside.spawn(notices::run(
                                Arc::clone(&workers),
                                bank_code.clone(),
                                stop.clone(),
                            ));
                            tasks.spawn(work::work(
                                workers,
                                buckets,
                                bank_code,
                                answers,
                                stop.clone(),
                            ))
                        });
                    }
                }
                Err(error) => tracing::warn!(%error, "the banks could not be looked up"),
            }
            if let Err(error) = holders::refuse_strangers(&workers, &known, &answers).await {
                tracing::warn!(%error, "payouts to unknown banks are not refused yet");
            }
            // Either ends the wait; the loop looks which it was.
            let _ = tokio::time::timeout(NEW_BANKS, stop.wait_for(|stop| *stop)).await;
        }
        if recording.is_finished() {
            tasks.abort_all();
        }
        while tasks.join_next().await.is_some() {}
        // What is beside writes in commits of its own, and may end anywhere.
        beside.shutdown().await;
        drop(answers);
        // The recorder ends when the last call has dropped its sender.
        let _ = recording.await;
    }

    /// Looks how many processes work at the banks: a bank's rate is for all.
    async fn count_sharers(&self) {
        // While it cannot be had, what was found last is as good as anything.
        if let Ok(running) = slot::running(&self.pool).await {
            let live = running.get(slot::BANK_WORKERS).map_or(1, |live| *live);
            self.sharers.store(live.max(1) as u32, Ordering::Relaxed);
        }
    }

    fn sharers(&self) -> u32 {
        self.sharers.load(Ordering::Relaxed).max(1)
    }
}
