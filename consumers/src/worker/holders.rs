//! Questions about holders: a loop for each bank that can be asked.
//!
//! A payout waits for its receiver's bank to say whose the account is, and only then
//! for the bank that pays it. The two are different banks: so the questions have
//! places and a breaker of their own, of the bank that is asked. One that hangs holds
//! up the payouts to its own accounts, and nothing else.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};
use tokio::task::JoinSet;

use super::bucket::Buckets;
use super::claim::{Taken, Task, holders};
use super::gate::Gate;
use super::outcome::Answered;
use super::{IDLE, TAKE, Workers, call};

struct Asked {
    workers: Arc<Workers>,
    buckets: Arc<Buckets>,
    bank_code: String,
    gate: Gate,
}

/// Asks one bank whose accounts these are.
pub(super) async fn ask(
    workers: Arc<Workers>,
    buckets: Arc<Buckets>,
    bank_code: String,
    answers: mpsc::Sender<Answered>,
    mut stop: watch::Receiver<bool>,
) {
    let asked = Arc::new(Asked {
        gate: Gate::new(workers.bank.table(), &bank_code, "holder inquiries"),
        workers,
        buckets,
        bank_code,
    });
    let mut calls = JoinSet::new();
    while !*stop.borrow() {
        asked.gate.until_room().await;
        let (taken, pause) = asked.take().await;
        // One that is not asked because its contract has ended is taken for a probe as
        // well: it says nothing, and leaves the probe to another.
        let generation = asked.gate.went_out(taken.len());
        for taken in taken {
            let (asked, answers) = (Arc::clone(&asked), answers.clone());
            let Some(place) = asked.gate.place() else {
                continue;
            };
            calls.spawn(async move { asked.call(taken, generation, place, answers).await });
        }
        while calls.try_join_next().is_some() {}
        if let Some(pause) = pause {
            // Either ends the wait; the loop looks which it was.
            let _ = tokio::time::timeout(pause, stop.wait_for(|stop| *stop)).await;
        }
    }
    while calls.join_next().await.is_some() {}
}

impl Asked {
    /// Takes what may be asked now; else says how long to wait.
    async fn take(&self) -> (Vec<Taken>, Option<Duration>) {
        let open = self.gate.open();
        self.workers.metrics.holders_under_way(
            &self.bank_code,
            self.gate.in_flight(),
            self.gate.number(),
        );
        if open.calls == 0 {
            let pause = open.shut_for.max(Duration::from_millis(1)).min(IDLE);
            return (Vec::new(), Some(pause));
        }
        let sharers = self.workers.sharers();
        let at_most = TAKE.min(open.calls);
        let (room, empty_for) = self.buckets.reserve(&self.bank_code, at_most, sharers);
        if room == 0 {
            return (Vec::new(), Some(empty_for.min(IDLE)));
        }
        let taken = holders::take(&self.workers, &self.bank_code, room).await;
        let taken = taken.unwrap_or_else(|error| {
            tracing::warn!(bank_code = self.bank_code, %error, "holders could not be asked for");
            Vec::new()
        });
        let unused = room.saturating_sub(taken.len());
        self.buckets.give_back(&self.bank_code, unused);
        let pause = taken.is_empty().then_some(IDLE);
        (taken, pause)
    }

    async fn call(
        &self,
        taken: Taken,
        generation: u64,
        place: OwnedSemaphorePermit,
        answers: mpsc::Sender<Answered>,
    ) {
        let began = Instant::now();
        let what = match taken.task {
            Task::Holder(..) => "holder",
            _ => "lapsed",
        };
        let (answered, heard) = call::make(&self.workers, taken).await;
        let seconds = began.elapsed().as_secs_f64();
        let outcome = answered.next.name();
        self.workers
            .metrics
            .called(&self.bank_code, what, outcome, seconds);
        self.gate.heard(generation, heard);
        self.gate.came_back(place);
        // Should the recorder be gone, the lease runs out and it is asked again.
        let _ = answers.send(answered).await;
    }
}

/// Refuses what is to go to banks that nobody knows: they can never be asked, and no
/// loop waits for them.
pub(super) async fn refuse_strangers(
    workers: &Workers,
    known: &[String],
    answers: &mpsc::Sender<Answered>,
) -> Result<(), sqlx::Error> {
    for bank_code in holders::strangers(&workers.pool, known).await? {
        for taken in holders::take(workers, &bank_code, TAKE).await? {
            // No bank is called: it has no address.
            let (answered, _) = call::make(workers, taken).await;
            if answers.send(answered).await.is_err() {
                return Ok(());
            }
        }
    }
    Ok(())
}
