//! How many requests a client of Kafka has made.
//!
//! A broker's work is by the request more than by the message, so their number
//! tells what a change costs the brokers, without timing anything.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rdkafka::Statistics;

/// How often librdkafka tells what it did, in milliseconds. A telling takes some
/// tens of microseconds.
pub const INTERVAL_MS: &str = "1000";

/// Called with how many requests were made since the last call.
pub type Told = Arc<dyn Fn(u64) + Send + Sync>;

/// Turns a client's running total into differences.
pub struct Requests {
    seen: AtomicU64,
    told: Told,
}

impl Requests {
    /// Of a new client.
    pub fn new(told: Told) -> Self {
        Self {
            seen: AtomicU64::new(0),
            told,
        }
    }

    /// Takes in what the client tells of itself.
    pub fn take(&self, statistics: &Statistics) {
        let total = statistics.brokers.values().map(|broker| broker.tx).sum();
        let seen = self.seen.fetch_max(total, Ordering::Relaxed);
        if total > seen {
            (self.told)(total - seen);
        }
    }
}
