//! One bank's loop: what may go out now is taken, and called.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::JoinSet;

use super::breaker::{Breaker, Heard};
use super::bucket::Bucket;
use super::claim::{self, Room, Taken, Task};
use super::{IN_FLIGHT, TAKE, Workers, call, outcome};

/// How long a worker sleeps when there is nothing to do.
const IDLE: Duration = Duration::from_millis(50);
/// So many calls are waited for before more are taken: a commit for each call
/// that comes back would cost more than the calls.
const CHUNK: usize = 64;
/// And no longer than this.
const CHUNK_PATIENCE: Duration = Duration::from_millis(5);
/// How many inquiries are in flight at the most: they must not take the place
/// of commands, however many there are after an outage.
const INQUIRIES: usize = 100;
/// How many while commands are held back.
const INQUIRIES_WHILE_OPEN: usize = 5;

/// What stands between a bank's commands and the bank.
struct Gate {
    breaker: Breaker,
    bucket: Bucket,
}

struct Bank {
    workers: Arc<Workers>,
    bank_code: String,
    gate: Mutex<Gate>,
    sending: Arc<Semaphore>,
    inquiring: Arc<Semaphore>,
    /// Rung when a call has come back.
    back: Notify,
}

/// Works on one bank.
pub(super) async fn work(
    workers: Arc<Workers>,
    bank_code: String,
    answers: mpsc::Sender<outcome::Answered>,
    mut stop: watch::Receiver<bool>,
) {
    tracing::info!(bank_code, "working at the bank");
    let bank = Arc::new(Bank::new(workers, bank_code));
    let mut calls = JoinSet::new();
    while !*stop.borrow() {
        let (taken, pause) = bank.take().await;
        for (taken, generation, permit) in taken {
            let (bank, answers) = (Arc::clone(&bank), answers.clone());
            calls.spawn(async move { bank.call(taken, generation, permit, answers).await });
        }
        while calls.try_join_next().is_some() {}
        if let Some(pause) = pause {
            // Either ends the wait; the loop looks which it was.
            let _ = tokio::time::timeout(pause, stop.wait_for(|stop| *stop)).await;
        }
    }
    while calls.join_next().await.is_some() {}
}

/// A command that was taken, under which generation of the breaker, and its
/// place among the calls in flight.
type Going = (Taken, u64, OwnedSemaphorePermit);

impl Bank {
    fn new(workers: Arc<Workers>, bank_code: String) -> Self {
        let rules = workers.bank.table().bank(&bank_code);
        // A bank that is in no table is never called.
        let breaker = rules.map(|bank| bank.breaker);
        let rate = rules.map(|bank| bank.rate_limit);
        let gate = Gate {
            breaker: Breaker::new(breaker.unwrap_or(super::breaker::BreakerRule {
                failures: 1,
                open_for: IDLE,
                probes: 1,
            })),
            bucket: Bucket::new(
                rate.unwrap_or(super::bucket::RateRule {
                    per_second: 1_000,
                    burst: 1_000,
                }),
                Instant::now(),
            ),
        };
        Self {
            workers,
            bank_code,
            gate: Mutex::new(gate),
            sending: Arc::new(Semaphore::new(IN_FLIGHT)),
            inquiring: Arc::new(Semaphore::new(INQUIRIES)),
            back: Notify::new(),
        }
    }

    fn gate(&self) -> std::sync::MutexGuard<'_, Gate> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what may go out now; else says how long to wait.
    async fn take(&self) -> (Vec<Going>, Option<Duration>) {
        self.until_room().await;
        let (room, shut_for) = self.room();
        if room.sends + room.inquiries == 0 {
            self.workers.metrics.limited(&self.bank_code);
            let pause = shut_for.max(Duration::from_millis(1)).min(IDLE);
            return (Vec::new(), Some(pause));
        }
        let taken = claim::take(&self.workers, &self.bank_code, room).await;
        let taken = taken.unwrap_or_else(|error| {
            tracing::warn!(bank_code = self.bank_code, %error, "commands could not be taken");
            Vec::new()
        });
        let pause = taken.is_empty().then_some(IDLE);
        (self.going(taken), pause)
    }

    /// How many calls may be made: by the places in flight, the rate, and the
    /// breaker. And how long it is shut, where that is none.
    fn room(&self) -> (Room, Duration) {
        let now = Instant::now();
        let sharers = self.workers.sharers();
        let mut gate = self.gate();
        let rate = gate.bucket.room(now, sharers).min(TAKE);
        let open = gate.breaker.room(now);
        let inquiries_at_most = if gate.breaker.is_closed() {
            INQUIRIES
        } else {
            INQUIRIES_WHILE_OPEN
        };
        let inquiring = INQUIRIES - self.inquiring.available_permits();
        let inquiries = inquiries_at_most.saturating_sub(inquiring).min(rate);
        let sends = self.sending.available_permits().min(open).min(rate);
        let in_flight = IN_FLIGHT - self.sending.available_permits() + inquiring;
        self.workers
            .metrics
            .under_way(&self.bank_code, in_flight, gate.breaker.number());
        let empty_for = gate.bucket.empty_for(sharers);
        let shut_for = gate.breaker.shut_for(now).unwrap_or_default();
        let room = Room {
            sends,
            inquiries,
            together: rate,
        };
        (room, shut_for.max(empty_for))
    }

    /// Waits, a moment at most, until a worthwhile number of calls is back.
    async fn until_room(&self) {
        let deadline = tokio::time::Instant::now() + CHUNK_PATIENCE;
        while self.sending.available_permits() < CHUNK {
            if tokio::time::timeout_at(deadline, self.back.notified())
                .await
                .is_err()
                && self.sending.available_permits() > 0
            {
                return;
            }
            if tokio::time::Instant::now() >= deadline {
                return;
            }
        }
    }

    fn going(&self, taken: Vec<Taken>) -> Vec<Going> {
        let mut gate = self.gate();
        gate.bucket.spend(taken.len());
        let sends = taken.iter().filter(|taken| !taken.is_inquiry()).count();
        let generation = gate.breaker.went_out(sends);
        let going = taken.into_iter().filter_map(|taken| {
            let places = if taken.is_inquiry() {
                &self.inquiring
            } else {
                &self.sending
            };
            // There is a place: only this loop takes them. Were there none, the
            // lease would run out, and an inquiry find out.
            let permit = Arc::clone(places).try_acquire_owned().ok()?;
            Some((taken, generation, permit))
        });
        going.collect()
    }

    async fn call(
        &self,
        taken: Taken,
        generation: u64,
        permit: OwnedSemaphorePermit,
        answers: mpsc::Sender<outcome::Answered>,
    ) {
        let began = Instant::now();
        let what = match taken.task {
            Task::Holder(_) => "holder",
            Task::Send(..) => "transfer",
            Task::Inquire(..) => "inquiry",
            Task::Lapsed => "lapsed",
        };
        let is_inquiry = taken.is_inquiry();
        let (answered, heard) = call::make(&self.workers, taken).await;
        let now = Instant::now();
        let outcome = answered.next.name();
        let seconds = (now - began).as_secs_f64();
        self.workers
            .metrics
            .called(&self.bank_code, what, outcome, seconds);
        if !is_inquiry {
            self.tell(generation, heard, now);
        }
        // The place is free when the bank is; the recorder's queue is bounded
        // by its own length, and holds the next call up where it is full.
        drop(permit);
        self.back.notify_one();
        // The recorder outlives the calls; should it be gone, the lease runs out
        // and an inquiry finds out.
        let _ = answers.send(answered).await;
    }

    fn tell(&self, generation: u64, heard: Heard, now: Instant) {
        let mut gate = self.gate();
        let before = gate.breaker.number();
        gate.breaker.heard(generation, heard, now);
        let bank_code = &self.bank_code;
        match (before, gate.breaker.number()) {
            (0 | 1, 2) => tracing::error!(bank_code, "the bank does not answer: commands wait"),
            (1 | 2, 0) => tracing::info!(bank_code, "the bank answers again: commands go out"),
            _ => {}
        }
    }
}
