//! What the workers at the banks count, as Prometheus reads it.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfBank {
    bank: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfCall {
    bank: String,
    call: &'static str,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfNotice {
    bank: String,
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfConsumer {
    consumer: &'static str,
}

/// The metrics of the workers of a process. The default counts for nobody.
#[derive(Debug, Clone, Default)]
pub struct BankMetrics {
    calls: Family<OfCall, Counter>,
    seconds: Family<OfBank, Counter<f64, AtomicU64>>,
    in_flight: Family<OfBank, Gauge>,
    breaker: Family<OfBank, Gauge>,
    holders_in_flight: Family<OfBank, Gauge>,
    holders_breaker: Family<OfBank, Gauge>,
    limited: Family<OfBank, Counter>,
    numbers: Family<OfBank, Gauge>,
    notices: Family<OfNotice, Counter>,
    missing: Family<OfBank, Gauge>,
    contradictions: Family<OfBank, Counter>,
    cases: Family<OfBank, Gauge>,
    outbox_age: Gauge<f64, AtomicU64>,
    parked: Family<OfConsumer, Gauge>,
}

impl BankMetrics {
    /// Puts the metrics' names into a registry.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "mypay_bank_calls",
            "Calls to banks, by what they were and what came of them",
            metrics.calls.clone(),
        );
        registry.register(
            "mypay_bank_call_seconds",
            "Time that calls took, added up",
            metrics.seconds.clone(),
        );
        registry.register(
            "mypay_bank_in_flight",
            "Calls under way",
            metrics.in_flight.clone(),
        );
        registry.register(
            "mypay_bank_breaker_state",
            "0: commands go out; 1: probes do; 2: none does",
            metrics.breaker.clone(),
        );
        registry.register(
            "mypay_bank_holder_in_flight",
            "Questions about holders under way, by the bank that is asked",
            metrics.holders_in_flight.clone(),
        );
        registry.register(
            "mypay_bank_holder_breaker_state",
            "0: the bank is asked for holders; 1: probes are; 2: none is",
            metrics.holders_breaker.clone(),
        );
        registry.register(
            "mypay_bank_rate_limited",
            "Times that commands waited for the bank's rate limit",
            metrics.limited.clone(),
        );
        registry.register(
            "mypay_bank_numbers_used",
            "Transaction numbers used of the business date; 950000 is the last, alarm from 855000",
            metrics.numbers.clone(),
        );
        registry.register(
            "mypay_bank_notices",
            "Notices of reversals, by what was made of them",
            metrics.notices.clone(),
        );
        registry.register(
            "mypay_bank_notices_missing",
            "Numbers of notices that the bank gave out and does not give us",
            metrics.missing.clone(),
        );
        registry.register(
            "mypay_bank_contradictions",
            "Answers of the bank that are against what we hold for settled",
            metrics.contradictions.clone(),
        );
        registry.register(
            "mypay_bank_cases_open",
            "Commands and notices that people must decide about",
            metrics.cases.clone(),
        );
        registry.register(
            "mypay_outbox_age_seconds",
            "How long the oldest message of any outbox has waited for its relay",
            metrics.outbox_age.clone(),
        );
        registry.register(
            "mypay_parked_messages",
            "Messages that wait behind a defect, in dead letters",
            metrics.parked.clone(),
        );
        metrics
    }

    pub(super) fn called(
        &self,
        bank: &str,
        call: &'static str,
        outcome: &'static str,
        seconds: f64,
    ) {
        let bank = bank.to_owned();
        self.seconds
            .get_or_create(&OfBank { bank: bank.clone() })
            .inc_by(seconds);
        let labels = OfCall {
            bank,
            call,
            outcome,
        };
        self.calls.get_or_create(&labels).inc();
    }

    pub(super) fn under_way(&self, bank: &str, in_flight: usize, breaker: i64) {
        let bank = OfBank {
            bank: bank.to_owned(),
        };
        self.in_flight.get_or_create(&bank).set(in_flight as i64);
        self.breaker.get_or_create(&bank).set(breaker);
    }

    pub(super) fn holders_under_way(&self, bank: &str, in_flight: usize, breaker: i64) {
        let bank = OfBank {
            bank: bank.to_owned(),
        };
        self.holders_in_flight
            .get_or_create(&bank)
            .set(in_flight as i64);
        self.holders_breaker.get_or_create(&bank).set(breaker);
    }

    pub(super) fn cases_open(&self, bank: String, cases: i64) {
        self.cases.get_or_create(&OfBank { bank }).set(cases);
    }

    pub(super) fn outbox_is_behind(&self, seconds: f64) {
        self.outbox_age.set(seconds);
    }

    pub(super) fn parked(&self, consumer: &'static str, messages: i64) {
        let of_consumer = OfConsumer { consumer };
        self.parked.get_or_create(&of_consumer).set(messages);
    }

    pub(super) fn limited(&self, bank: &str) {
        let bank = bank.to_owned();
        self.limited.get_or_create(&OfBank { bank }).inc();
    }

    pub(super) fn numbered(&self, bank: String, used: i64) {
        self.numbers.get_or_create(&OfBank { bank }).set(used);
    }

    pub(super) fn noticed(&self, bank: &str, state: &'static str) {
        let bank = bank.to_owned();
        self.notices.get_or_create(&OfNotice { bank, state }).inc();
    }

    pub(super) fn missing(&self, bank: String, missing: i64) {
        self.missing.get_or_create(&OfBank { bank }).set(missing);
    }

    pub(super) fn contradicted(&self, bank: &str) {
        let bank = bank.to_owned();
        self.contradictions.get_or_create(&OfBank { bank }).inc();
    }

    /// Tells of a bank's contradictions from 0 on: a count that first shows as 1 has
    /// grown for nobody who looks at its growth.
    pub(super) fn can_contradict(&self, bank: &str) {
        let bank = bank.to_owned();
        self.contradictions
            .get_or_create(&OfBank { bank })
            .inc_by(0);
    }

    /// Tells of everything once.
    #[cfg(test)]
    pub(crate) fn tell_all(&self) {
        let bank = "004";
        self.called(bank, "transfer", "done", 0.1);
        self.under_way(bank, 0, 0);
        self.holders_under_way(bank, 0, 0);
        self.cases_open(bank.to_owned(), 0);
        self.outbox_is_behind(0.0);
        self.parked("recharge", 0);
        self.limited(bank);
        self.numbered(bank.to_owned(), 1);
        self.noticed(bank, "reversed");
        self.missing(bank.to_owned(), 0);
        self.can_contradict(bank);
    }
}
