//! What stands between one kind of calls and a bank: the places in flight, and the
//! breaker.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use mypay_bank::ClassTable;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use super::IN_FLIGHT;
use super::breaker::{Breaker, BreakerRule, Heard};

/// So many calls are waited for before more are taken: a commit for each call
/// that comes back would cost more than the calls.
const CHUNK: usize = 128;
/// And no longer than this.
const CHUNK_PATIENCE: Duration = Duration::from_millis(10);
/// The calls of one kind to one bank.
pub(super) struct Gate {
    bank_code: String,
    /// For the log: what waits while the bank does not answer.
    kind: &'static str,
    kept: Mutex<Kept>,
    places: Arc<Semaphore>,
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
            places: Arc::new(Semaphore::new(IN_FLIGHT)),
            back: Notify::new(),
        }
    }

    /// Waits, a moment at most, until a worthwhile number of calls is back.
    pub(super) async fn until_room(&self) {
        let deadline = tokio::time::Instant::now() + CHUNK_PATIENCE;
        while self.places.available_permits() < CHUNK {
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
        if !kept.breaker.is_closed() {
            kept.held_until = Some(Utc::now());
        }
        Open {
            calls: self.places.available_permits().min(by_breaker),
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

    /// A place among the calls in flight. There is one: only the bank's own loop takes
    /// them. Were there none, the lease would run out, and an inquiry find out.
    pub(super) fn place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.places).try_acquire_owned().ok()
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
    pub(super) fn came_back(&self, place: OwnedSemaphorePermit) {
        drop(place);
        self.back.notify_one();
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bank_that_hangs_on_one_kind_of_calls_is_open_for_the_other() {
        let table = ClassTable::embedded();
        let commands = Gate::new(&table, "020", "commands");
        let holders = Gate::new(&table, "020", "holder inquiries");
        let place = holders.place().unwrap();
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
        holders.came_back(place);
        assert_eq!(holders.in_flight(), 0);
    }
}
