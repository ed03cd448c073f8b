//! The rate limit of a bank: a token bucket.
//!
//! Calls are reserved *before* commands are taken, and those for which no command
//! was due are given back *after*: a limiter that only gives tokens out one by one
//! (as the crate `governor` does) would lose them, or be asked between the commit
//! that says `sending` and the call.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use mypay_bank::ClassTable;
use mypay_bank::classes::RateRule;

/// The buckets of all banks. What a bank's contract allows is for all our calls to
/// it, its commands' and the questions about its accounts.
#[derive(Debug)]
pub(super) struct Buckets(HashMap<String, Mutex<Bucket>>);

impl Buckets {
    pub(super) fn new(table: &ClassTable, now: Instant) -> Self {
        let bucket = |rule| Mutex::new(Bucket::new(rule, now));
        let banks = table.banks();
        Self(
            banks
                .map(|bank| (bank.bank_code.clone(), bucket(bank.rate_limit)))
                .collect(),
        )
    }

    /// Reserves calls to a bank, so many at the most; gives how many it got, and how
    /// long until there is room for one. A bank that is in no table is never called.
    pub(super) fn reserve(
        &self,
        bank_code: &str,
        at_most: usize,
        sharers: u32,
    ) -> (usize, Duration) {
        let Some(bucket) = self.0.get(bank_code) else {
            return (at_most, Duration::ZERO);
        };
        let mut bucket = bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let calls = bucket.room(Instant::now(), sharers).min(at_most);
        let empty_for = bucket.empty_for(sharers);
        bucket.spend(calls);
        (calls, empty_for)
    }

    /// Gives back what was reserved and is not made.
    pub(super) fn give_back(&self, bank_code: &str, calls: usize) {
        if let Some(bucket) = self.0.get(bank_code) {
            let mut bucket = bucket.lock().unwrap_or_else(PoisonError::into_inner);
            bucket.give_back(calls);
        }
    }
}

/// A bank's bucket. Time is given in, so that it can be tested.
#[derive(Debug)]
struct Bucket {
    rule: RateRule,
    tokens: f64,
    filled_at: Instant,
}

impl Bucket {
    fn new(rule: RateRule, now: Instant) -> Self {
        Self {
            rule,
            tokens: f64::from(rule.burst),
            filled_at: now,
        }
    }

    /// How many calls may be made now, by one of `sharers` processes.
    fn room(&mut self, now: Instant, sharers: u32) -> usize {
        let since = now.saturating_duration_since(self.filled_at).as_secs_f64();
        let sharers = f64::from(sharers.max(1));
        let burst = (f64::from(self.rule.burst) / sharers).max(1.0);
        self.tokens = (self.tokens + since * f64::from(self.rule.per_second) / sharers).min(burst);
        self.filled_at = now;
        self.tokens.max(0.0) as usize
    }

    /// Notes that so many are made.
    fn spend(&mut self, calls: usize) {
        self.tokens -= calls as f64;
    }

    /// Notes that so many are not made after all.
    fn give_back(&mut self, calls: usize) {
        self.tokens += calls as f64;
    }

    /// How long until there is room for one.
    fn empty_for(&self, sharers: u32) -> Duration {
        let missing = (1.0 - self.tokens).max(0.0);
        let per_second = f64::from(self.rule.per_second) / f64::from(sharers.max(1));
        Duration::from_secs_f64((missing / per_second).min(60.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_and_then_the_rate_and_no_more() {
        let rule = RateRule {
            per_second: 100,
            burst: 10,
        };
        let start = Instant::now();
        let mut bucket = Bucket::new(rule, start);
        let mut made = 0;
        for millisecond in 0..=1_000 {
            let now = start + Duration::from_millis(millisecond);
            let calls = bucket.room(now, 1);
            bucket.spend(calls);
            made += calls;
        }
        assert!((109..=110).contains(&made), "{made}");
    }

    #[test]
    fn processes_share_the_rate_and_what_was_not_used_is_kept_up_to_the_burst() {
        let rule = RateRule {
            per_second: 100,
            burst: 20,
        };
        let start = Instant::now();
        let mut bucket = Bucket::new(rule, start);
        bucket.spend(20);
        assert_eq!(bucket.room(start, 2), 0);
        assert_eq!(bucket.empty_for(2), Duration::from_millis(20));
        assert_eq!(bucket.room(start + Duration::from_millis(100), 2), 5);
        assert_eq!(bucket.room(start + Duration::from_secs(60), 2), 10);
    }
    #[test]
    fn a_banks_calls_share_one_bucket_and_what_is_not_made_is_given_back() {
        let table = ClassTable::embedded().adjusted(|bank| {
            bank.rate_limit = RateRule {
                per_second: 1,
                burst: 10,
            };
        });
        let buckets = Buckets::new(&table, Instant::now());
        assert_eq!(buckets.reserve("004", 6, 1).0, 6);
        let (calls, empty_for) = buckets.reserve("004", 6, 1);
        assert_eq!((calls, empty_for), (4, Duration::ZERO));
        assert!(buckets.reserve("004", 6, 1).1 > Duration::ZERO);
        buckets.give_back("004", 3);
        assert_eq!(buckets.reserve("004", 6, 1).0, 3);
        assert_eq!(buckets.reserve("020", 6, 1).0, 6);
        assert_eq!(buckets.reserve("999", 6, 1).0, 6);
    }
}
