//! What stands between one kind of calls and a bank: the places in flight, and the
//! breaker.
//!
//! A commit stands before each call, and takes as long as many calls do. So a little
//! more is taken than there are places: as many as came back since the last look, which
//! is what will come back while the next commit is under way. What that brings was not
//! seen yet (docs/performance.md). Of a bank that hangs nothing is taken ahead.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use mypay_bank::ClassTable;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use super::breaker::{Breaker, BreakerRule, Heard};
use super::claim::Taken;
use super::{IN_FLIGHT, TAKE};

/// So many calls are waited for before more are taken: a commit for each call
/// that comes back would cost more than the calls.
const CHUNK: usize = 128;
/// And no longer than this.
const CHUNK_PATIENCE: Duration = Duration::from_millis(10);
/// How many are taken ahead at the most.
const AHEAD: usize = TAKE;
/// How long one that was taken ahead may wait for its place. It was written down as
/// sent when it was taken, and the bank's settling time and the lease run from there.
const WAITS_AT_MOST: Duration = Duration::from_secs(5);

/// The calls of one kind to one bank.
pub(super) struct Gate {
    bank_code: String,
    /// For the log: what waits while the bank does not answer.
    kind: &'static str,
    kept: Mutex<Kept>,
    /// What was taken and is not back: in flight, or waiting for a place.
    taken: Arc<Semaphore>,
    places: Arc<Semaphore>,
    /// How many came back since the last look.
    came_back: AtomicUsize,
    /// Rung when a call has come back.
    back: Notify,
}

struct Kept {
    breaker: Breaker,
    /// Until when the breaker held calls back, the last time.
    held_until: Option<DateTime<Utc>>,
}

/// How many calls a gate lets through now.
pub(super) struct Open {
    pub(super) calls: usize,
    /// How long the breaker is shut, where it lets none through.
    pub(super) shut_for: Duration,
    /// Whether calls go out as they come.
    pub(super) is_closed: bool,
    /// What was due before this instant has waited for the breaker.
    pub(super) held_until: Option<DateTime<Utc>>,
}

/// What was taken, and waits for its place.
pub(super) struct Going {
    pub(super) taken: Taken,
    /// Of the breaker, when it was taken.
    pub(super) generation: u64,
    pub(super) taken_at: Instant,
    /// Its part of what may be taken.
    pub(super) room: OwnedSemaphorePermit,
}

impl Gate {
    pub(super) fn new(table: &ClassTable, bank_code: &str, kind: &'static str) -> Self {
        // A bank that is in no table is never called.
        let rule = table.bank(bank_code).map_or(
            BreakerRule {
                failures: 1,
                open_for: Duration::from_millis(50),
                probes: 1,
            },
            |bank| bank.breaker,
        );
        Self {
            bank_code: bank_code.to_owned(),
            kind,
            kept: Mutex::new(Kept {
                breaker: Breaker::new(rule),
                held_until: None,
            }),
            taken: Arc::new(Semaphore::new(IN_FLIGHT + AHEAD)),
            places: Arc::new(Semaphore::new(IN_FLIGHT)),
            came_back: AtomicUsize::new(0),
            back: Notify::new(),
        }
    }

    /// Waits, a moment at most, until a worthwhile number of calls is back.
    pub(super) async fn until_room(&self) {
        let deadline = tokio::time::Instant::now() + CHUNK_PATIENCE;
        while self.room(self.came_back.load(Ordering::Relaxed)) < CHUNK {
            let rung = tokio::time::timeout_at(deadline, self.back.notified()).await;
            let late = rung.is_err() || tokio::time::Instant::now() >= deadline;
            if late {
                return;
            }
        }
    }

    pub(super) fn open(&self) -> Open {
        let now = Instant::now();
        let mut kept = self.kept();
        let by_breaker = kept.breaker.room(now);
        let came_back = self.came_back.swap(0, Ordering::Relaxed);
        // Nothing ahead of a bank whose answers are in doubt.
        let ahead = if kept.breaker.is_closed() {
            came_back
        } else {
            0
        };
        if !kept.breaker.is_closed() {
            kept.held_until = Some(Utc::now());
        }
        Open {
            calls: self.room(ahead).min(by_breaker),
            shut_for: kept.breaker.shut_for(now).unwrap_or_default(),
            is_closed: kept.breaker.is_closed(),
            held_until: kept.held_until,
        }
    }

    /// Notes that so many calls go out; what they bring is told under the generation
    /// that is given back.
    pub(super) fn went_out(&self, calls: usize) -> u64 {
        self.kept().breaker.went_out(calls)
    }

    /// How many may be taken, so many of them ahead.
    fn room(&self, ahead: usize) -> usize {
        let taken = IN_FLIGHT + AHEAD - self.taken.available_permits();
        (IN_FLIGHT + ahead.min(AHEAD)).saturating_sub(taken)
    }

    /// Counts one in that was taken. There is room: only the bank's own loop takes. Were
    /// there none, the lease would run out, and an inquiry find out.
    pub(super) fn take(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.taken).try_acquire_owned().ok()
    }

    /// Waits for a place among the calls in flight, and gives it with the generation
    /// that the call is told under. None where the call must not be made any more: not
    /// a byte of it has left then.
    pub(super) async fn enter(
        &self,
        generation: u64,
        taken_at: Instant,
    ) -> Option<(OwnedSemaphorePermit, u64)> {
        let place = Arc::clone(&self.places).acquire_owned().await.ok()?;
        let kept = self.kept();
        let current = kept.breaker.generation();
        let held_back = generation != current && !kept.breaker.is_closed();
        (!held_back && taken_at.elapsed() <= WAITS_AT_MOST).then_some((place, current))
    }

    /// How many calls are in flight.
    pub(super) fn in_flight(&self) -> usize {
        IN_FLIGHT - self.places.available_permits()
    }

    /// The breaker's state, for the metrics.
    pub(super) fn number(&self) -> i64 {
        self.kept().breaker.number()
    }

    /// Takes in how a call ended.
    pub(super) fn heard(&self, generation: u64, heard: Heard) {
        let mut kept = self.kept();
        let before = kept.breaker.number();
        kept.breaker.heard(generation, heard, Instant::now());
        let (bank_code, waits) = (&self.bank_code, self.kind);
        match (before, kept.breaker.number()) {
            (0 | 1, 2) => tracing::error!(bank_code, waits, "the bank does not answer: calls wait"),
            (1 | 2, 0) => {
                kept.held_until = Some(Utc::now());
                tracing::info!(bank_code, waits, "the bank answers again: calls go out");
            }
            _ => {}
        }
    }

    /// A call is back, and its place free.
    pub(super) fn came_back(&self, place: OwnedSemaphorePermit, taken: OwnedSemaphorePermit) {
        drop((place, taken));
        self.came_back.fetch_add(1, Ordering::Relaxed);
        self.back.notify_one();
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_bank_that_hangs_on_one_kind_of_calls_is_open_for_the_other() {
        let table = ClassTable::embedded();
        let commands = Gate::new(&table, "020", "commands");
        let holders = Gate::new(&table, "020", "holder inquiries");
        let taken = holders.take().unwrap();
        let (place, _) = holders.enter(0, Instant::now()).await.unwrap();
        assert_eq!((holders.in_flight(), commands.in_flight()), (1, 0));
        let generation = holders.went_out(20);
        for _ in 0..20 {
            holders.heard(generation, Heard::Silence);
        }
        assert_eq!(holders.open().calls, 0);
        assert!(holders.open().shut_for > Duration::ZERO);
        assert!(holders.open().held_until.is_some());
        let open = commands.open();
        assert_eq!((open.calls, open.is_closed), (IN_FLIGHT, true));
        assert!(open.held_until.is_none());
        holders.came_back(place, taken);
        assert_eq!(holders.in_flight(), 0);
    }

    #[tokio::test]
    async fn as_many_are_taken_ahead_as_came_back_and_none_of_a_bank_that_hangs() {
        let gate = Gate::new(&ClassTable::embedded(), "020", "commands");
        let mut out = Vec::new();
        for _ in 0..gate.open().calls {
            let taken = gate.take().unwrap();
            out.push((gate.enter(0, Instant::now()).await.unwrap().0, taken));
        }
        assert_eq!((out.len(), gate.in_flight()), (IN_FLIGHT, IN_FLIGHT));
        // Nothing has come back.
        assert_eq!(gate.open().calls, 0);
        for (place, taken) in out.drain(..100) {
            gate.came_back(place, taken);
        }
        // A hundred places, and a hundred ahead of the next.
        assert_eq!(gate.open().calls, 200);
        assert_eq!(gate.open().calls, 100);
    }

    #[tokio::test]
    async fn what_waited_while_the_breaker_opened_or_too_long_is_not_sent() {
        let gate = Gate::new(&ClassTable::embedded(), "020", "commands");
        let now = Instant::now();
        let before = gate.went_out(1);
        assert!(gate.enter(before, now).await.is_some());
        assert!(gate.enter(before, now - WAITS_AT_MOST * 2).await.is_none());
        for _ in 0..20 {
            gate.heard(before, Heard::Silence);
        }
        assert!(gate.enter(before, now).await.is_none());
        assert_eq!(gate.in_flight(), 0);
    }
}
