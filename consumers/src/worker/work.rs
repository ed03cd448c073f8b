//! One bank's loop: what may go out now is taken, and called.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::JoinSet;

use super::bucket::Buckets;
use super::claim::{self, Room, Taken, Task};
use super::gate::Gate;
use super::{IDLE, TAKE, Workers, call, outcome};

/// How many inquiries are in flight at the most: they must not take the place
/// of commands, however many there are after an outage.
const INQUIRIES: usize = 100;
/// How many while commands are held back.
const INQUIRIES_WHILE_OPEN: usize = 5;

struct Bank {
    workers: Arc<Workers>,
    buckets: Arc<Buckets>,
    bank_code: String,
    sending: Gate,
    inquiring: Arc<Semaphore>,
    /// When no inquiry was due, the last time that was looked: each look is a trip to the
    /// server, and under load a take is trips more than anything.
    none_due_at: Mutex<Option<Instant>>,
}

/// Works on one bank.
pub(super) async fn work(
    workers: Arc<Workers>,
    buckets: Arc<Buckets>,
    bank_code: String,
    answers: mpsc::Sender<outcome::Answered>,
    mut stop: watch::Receiver<bool>,
) {
    tracing::info!(bank_code, "working at the bank");
    let bank = Arc::new(Bank {
        sending: Gate::new(workers.bank.table(), &bank_code, "commands"),
        inquiring: Arc::new(Semaphore::new(INQUIRIES)),
        none_due_at: Mutex::default(),
        workers,
        buckets,
        bank_code,
    });
    let mut calls = JoinSet::new();
    while !*stop.borrow() {
        let (taken, pause) = bank.take().await;
        for (taken, generation, place) in taken {
            let (bank, answers) = (Arc::clone(&bank), answers.clone());
            calls.spawn(async move { bank.call(taken, generation, place, answers).await });
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
    /// Takes what may go out now; else says how long to wait.
    async fn take(&self) -> (Vec<Going>, Option<Duration>) {
        self.sending.until_room().await;
        let (room, shut_for) = self.room();
        if room.sends + room.inquiries == 0 {
            self.buckets.give_back(&self.bank_code, room.together);
            if room.together == 0 {
                self.workers.metrics.limited(&self.bank_code);
            }
            let pause = shut_for.max(Duration::from_millis(1)).min(IDLE);
            return (Vec::new(), Some(pause));
        }
        let began = Instant::now();
        let taken = claim::take(&self.workers, &self.bank_code, room).await;
        let taken = taken.unwrap_or_else(|error| {
            tracing::warn!(bank_code = self.bank_code, %error, "commands could not be taken");
            Vec::new()
        });
        if room.inquiries > 0 && !taken.iter().any(Taken::is_inquiry) {
            *self.none_due() = Some(began);
        }
        tracing::debug!(bank_code = self.bank_code, wanted = room.sends, taken = taken.len(),
            took = ?began.elapsed(), "a take");
        let unused = room.together.saturating_sub(taken.len());
        self.buckets.give_back(&self.bank_code, unused);
        let pause = taken.is_empty().then_some(IDLE);
        (self.going(taken), pause)
    }

    /// How many calls may be made: by the places in flight, the rate, and the
    /// breaker. And how long it is shut, where that is none.
    fn room(&self) -> (Room, Duration) {
        let sharers = self.workers.sharers();
        let (rate, empty_for) = self.buckets.reserve(&self.bank_code, TAKE, sharers);
        let open = self.sending.open();
        let just_looked = self.none_due().is_some_and(|at| at.elapsed() < IDLE);
        let inquiries_at_most = match open.is_closed {
            _ if just_looked => 0,
            true => INQUIRIES,
            false => INQUIRIES_WHILE_OPEN,
        };
        let inquiring = INQUIRIES - self.inquiring.available_permits();
        let in_flight = self.sending.in_flight() + inquiring;
        self.workers
            .metrics
            .under_way(&self.bank_code, in_flight, self.sending.number());
        let room = Room {
            sends: open.calls.min(rate),
            inquiries: inquiries_at_most.saturating_sub(inquiring).min(rate),
            together: rate,
            held_until: open.held_until,
        };
        (room, open.shut_for.max(empty_for))
    }

    fn none_due(&self) -> MutexGuard<'_, Option<Instant>> {
        self.none_due_at
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn going(&self, taken: Vec<Taken>) -> Vec<Going> {
        let sends = taken.iter().filter(|taken| !taken.is_inquiry()).count();
        let generation = self.sending.went_out(sends);
        let going = taken.into_iter().filter_map(|taken| {
            let place = if taken.is_inquiry() {
                // There is a place, as there is one for commands.
                Arc::clone(&self.inquiring).try_acquire_owned().ok()
            } else {
                self.sending.place()
            };
            Some((taken, generation, place?))
        });
        going.collect()
    }

    async fn call(
        &self,
        taken: Taken,
        generation: u64,
        place: OwnedSemaphorePermit,
        answers: mpsc::Sender<outcome::Answered>,
    ) {
        let began = Instant::now();
        let what = match taken.task {
            Task::Holder(..) => "holder",
            Task::Send(..) => "transfer",
            Task::Inquire(..) => "inquiry",
            Task::Lapsed => "lapsed",
            Task::CameBack => "came_back",
            Task::Overdue => "overdue",
            Task::Altered => "altered",
        };
        let is_inquiry = taken.is_inquiry();
        let (answered, heard) = call::make(&self.workers, taken).await;
        let outcome = answered.next.name();
        let seconds = began.elapsed().as_secs_f64();
        self.workers
            .metrics
            .called(&self.bank_code, what, outcome, seconds);
        // The place is free when the bank is; the recorder's queue is bounded
        // by its own length, and holds the next call up where it is full.
        if !is_inquiry {
            self.sending.heard(generation, heard);
        }
        self.sending.came_back(place);
        // The recorder outlives the calls; should it be gone, the lease runs out
        // and an inquiry finds out.
        let _ = answers.send(answered).await;
    }
}
