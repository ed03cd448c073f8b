//! The rate limit of a bank: a token bucket.
//!
//! It is asked how many calls may be made *before* commands are taken, and told
//! how many were taken *after*: a limiter that only gives tokens out one by one
//! (as the crate `governor` does) would lose those for which no command was due,
//! or be asked between the commit that says `sending` and the call.

use std::time::{Duration, Instant};

pub(super) use mypay_bank::classes::RateRule;

/// A bank's bucket. Time is given in, so that it can be tested.
#[derive(Debug)]
pub(super) struct Bucket {
    rule: RateRule,
    tokens: f64,
    filled_at: Instant,
}

impl Bucket {
    pub(super) fn new(rule: RateRule, now: Instant) -> Self {
        Self {
            rule,
            tokens: f64::from(rule.burst),
            filled_at: now,
        }
    }

    /// How many calls may be made now, by one of `sharers` processes.
    pub(super) fn room(&mut self, now: Instant, sharers: u32) -> usize {
        let since = now.saturating_duration_since(self.filled_at).as_secs_f64();
        let sharers = f64::from(sharers.max(1));
        let burst = (f64::from(self.rule.burst) / sharers).max(1.0);
        self.tokens = (self.tokens + since * f64::from(self.rule.per_second) / sharers).min(burst);
        self.filled_at = now;
        self.tokens.max(0.0) as usize
    }

    /// Notes that so many are made.
    pub(super) fn spend(&mut self, calls: usize) {
        self.tokens -= calls as f64;
    }

    /// How long until there is room for one.
    pub(super) fn empty_for(&self, sharers: u32) -> Duration {
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
}
