//! The faults that can be dialled in.
//!
//! A fault falls on a transfer by a hash of (seed, fault, bank, date, number):
//! no random source is drawn from, so a rerun with the same seed has the same
//! faults on the same numbers, in whatever order the commands come.

use std::collections::BTreeMap;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::transfer::TransferKey;

/// What can go wrong with a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// Executes, and answers after the client's time-out.
    Slow,
    /// A 5xx the first time, before anything is executed.
    ErrorBefore,
    /// A 5xx after it was executed.
    ErrorAfter,
    /// The connection is cut at any byte of the answer; one time in four before
    /// anything is executed.
    Cut,
    /// Refused, for a reason drawn.
    Refuse,
    /// "In progress", decided some seconds later (with `refuse`: refused later).
    InProgress,
    /// Executes, never answers, and denies it to inquiries for some seconds.
    NotFoundFirst,
    /// Executes and closes the connection without a byte.
    LostAnswer,
    /// A payout to another bank: done, and reversed by a notice some seconds later.
    LateReversal,
    /// The notice of a reversal is left out of the listing until asked for by number.
    LostNotice,
    /// Executes and answers with an unreadable body.
    Garbage,
    /// Executes and answers with a code that is in no table.
    UnknownCode,
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        serde_json::from_value(serde_json::Value::from(name)).map_err(|e| e.to_string())
    }
}

/// Rates from 0 to 1 by fault; a fault that is not named does not happen.
pub type Rates = BTreeMap<Fault, f64>;

/// All that can be set while the bank runs. `GET` and `PUT /faults`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Dial {
    /// Another seed, other numbers.
    pub seed: u64,
    /// For all banks.
    pub rates: Rates,
    /// For one bank, in place of those for all.
    pub banks: BTreeMap<String, BankDial>,
    /// How long every answer takes.
    pub latency_ms: u64,
    /// How long a `slow` answer takes; null: a second more than the client waits.
    pub slow_ms: Option<u64>,
    /// How long `in_progress` lasts.
    pub in_progress_ms: u64,
    /// How long `not_found_first` lasts. Keep it under a trustworthy bank's settling time.
    pub not_found_ms: u64,
    /// How long after its execution a `late_reversal` comes.
    pub reversal_ms: u64,
    /// Whether banks rest in their windows; off, so that tests pass at midnight too.
    pub rest_windows: bool,
}

impl Default for Dial {
    fn default() -> Self {
        Self {
            seed: 1,
            rates: Rates::new(),
            banks: BTreeMap::new(),
            latency_ms: 0,
            slow_ms: None,
            in_progress_ms: 3_000,
            not_found_ms: 2_000,
            reversal_ms: 5_000,
            rest_windows: false,
        }
    }
}

/// What is special to one bank.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BankDial {
    /// In place of the rates for all.
    pub rates: Rates,
    /// Rests now, whatever the hour.
    pub resting: bool,
    /// In place of the latency for all.
    pub latency_ms: Option<u64>,
}

/// Why a dial cannot be set.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum DialError {
    /// A rate outside 0 to 1.
    #[error("the rate {1} of {0:?} is not in 0..=1")]
    Rate(Fault, f64),
    /// A delay of more than an hour.
    #[error("a delay of more than an hour")]
    Delay,
    /// A bank that is not in the table.
    #[error("no bank {0:?}")]
    NoSuchBank(String),
    /// `NAME=RATE` or `BANK:NAME=RATE` was expected.
    #[error("{0:?} is no NAME=RATE or BANK:NAME=RATE: {1}")]
    Written(String, String),
}

impl Dial {
    /// Whether everything is in its range.
    pub fn check(&self) -> Result<(), DialError> {
        let all = self
            .rates
            .iter()
            .chain(self.banks.values().flat_map(|bank| &bank.rates));
        for (fault, rate) in all {
            // Written so that NaN is refused as well.
            if !(0.0..=1.0).contains(rate) {
                return Err(DialError::Rate(*fault, *rate));
            }
        }
        let latencies = self.banks.values().filter_map(|bank| bank.latency_ms);
        let delays = [
            self.latency_ms,
            self.in_progress_ms,
            self.not_found_ms,
            self.reversal_ms,
        ];
        match delays
            .into_iter()
            .chain(self.slow_ms)
            .chain(latencies)
            .all(|ms| ms <= 3_600_000)
        {
            true => Ok(()),
            false => Err(DialError::Delay),
        }
    }

    /// Sets one rate as the command line writes it: `cut=0.02` or `020:slow=1`.
    pub fn set(&mut self, written: &str) -> Result<(), DialError> {
        let wrong = |why: &str| DialError::Written(written.to_owned(), why.to_owned());
        let (name, rate) = written.split_once('=').ok_or_else(|| wrong("no `=`"))?;
        let rate: f64 = rate.parse().map_err(|_| wrong("the rate is no number"))?;
        let (rates, name) = match name.split_once(':') {
            Some((bank, name)) => (
                &mut self.banks.entry(bank.to_owned()).or_default().rates,
                name,
            ),
            None => (&mut self.rates, name),
        };
        rates.insert(name.parse().map_err(|e: String| wrong(&e))?, rate);
        self.check()
    }

    /// The latency of a bank, in milliseconds.
    pub(super) fn latency_of(&self, bank: &str) -> u64 {
        self.banks
            .get(bank)
            .and_then(|bank| bank.latency_ms)
            .unwrap_or(self.latency_ms)
    }

    /// Whether the fault falls on this transfer.
    pub(super) fn hits(&self, fault: Fault, key: &TransferKey) -> bool {
        let special = self
            .banks
            .get(&key.bank_code)
            .and_then(|bank| bank.rates.get(&fault));
        let rate = special
            .or_else(|| self.rates.get(&fault))
            .copied()
            .unwrap_or(0.0);
        // 53 bits: as many as a float holds exactly, so 1 always hits and 0 never.
        rate > 0.0 && ((self.draw(fault, "hits", key) >> 11) as f64 / (1u64 << 53) as f64) < rate
    }

    /// A number that depends on the seed and the arguments and on nothing else.
    pub(super) fn draw(&self, fault: Fault, what: &str, key: &TransferKey) -> u64 {
        let text = format!("{}|{fault:?}|{what}|{}", self.seed, key);
        let hash = blake3::hash(text.as_bytes());
        let mut first = [0; 8];
        first.copy_from_slice(&hash.as_bytes()[..8]);
        u64::from_le_bytes(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> impl Iterator<Item = TransferKey> {
        let date = chrono::NaiveDate::from_ymd_opt(2026, 3, 2).unwrap();
        (1..=10_000).map(move |number| TransferKey {
            bank_code: "004".into(),
            business_date: date,
            number,
        })
    }

    #[test]
    fn the_same_seed_hits_the_same_numbers_at_the_rate_dialled() {
        let mut dial = Dial::default();
        dial.set("cut=0.02").unwrap();
        let hit = |dial: &Dial| {
            keys()
                .filter(|k| dial.hits(Fault::Cut, k))
                .collect::<Vec<_>>()
        };
        let first = hit(&dial);
        assert!((150..=250).contains(&first.len()), "{}", first.len());
        assert_eq!(hit(&dial.clone()), first);
        assert_ne!(hit(&Dial { seed: 2, ..dial }), first);
    }

    #[test]
    fn one_always_hits_and_a_bank_may_differ() {
        let mut dial = Dial::default();
        dial.set("slow=1").unwrap();
        assert!(keys().all(|key| dial.hits(Fault::Slow, &key)));
        dial.set("004:slow=0").unwrap();
        assert!(!keys().any(|key| dial.hits(Fault::Slow, &key)));
    }

    #[test]
    fn a_dial_that_makes_no_sense_is_refused() {
        for bad in [
            "slow", "slow=", "slow=2", "slow=-1", "slow=NaN", "fast=1", "=1",
        ] {
            assert!(Dial::default().set(bad).is_err(), "{bad}");
        }
    }
}
