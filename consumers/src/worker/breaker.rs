//! The circuit breaker of a bank: after so many calls in a row that the bank
//! did not answer, no command goes out for a while; then a few do, as probes.
//! Questions about holders have one of their own, of the bank that is asked: who
//! hangs there says nothing of the bank that pays.
//!
//! Commands that wait behind it wait as they are, unnumbered or numbered: they
//! are not a failure. Inquiries go on in a bounded way, since only they can tell
//! what became of what went out before.

use std::time::{Duration, Instant};

/// When a bank's breaker opens, and for how long.
pub(super) use mypay_bank::classes::BreakerRule;

/// How a call ended, as far as the breaker cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heard {
    /// The bank said something, whatever it was.
    Answer,
    /// Nothing that could be understood came, or nothing could be sent.
    Silence,
    /// The bank was not called at all.
    Nothing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed { silences: u32 },
    Open { until: Instant },
    HalfOpen { probes_left: usize },
}

/// A bank's breaker. Time is given in, so that it can be tested.
#[derive(Debug)]
pub(super) struct Breaker {
    rule: BreakerRule,
    state: State,
    /// Raised with every change: an answer to a call that went out before it
    /// says nothing of the bank as it is now.
    generation: u64,
}

impl Breaker {
    pub(super) fn new(rule: BreakerRule) -> Self {
        Self {
            rule,
            state: State::Closed { silences: 0 },
            generation: 0,
        }
    }

    /// How many commands may go out now at the most.
    pub(super) fn room(&mut self, now: Instant) -> usize {
        if let State::Open { until } = self.state
            && until <= now
        {
            self.change(State::HalfOpen {
                probes_left: self.rule.probes,
            });
        }
        match self.state {
            State::Closed { .. } => usize::MAX,
            State::Open { .. } => 0,
            State::HalfOpen { probes_left } => probes_left,
        }
    }

    /// Notes that so many commands go out; what they bring is told under the
    /// generation that is given back.
    pub(super) fn went_out(&mut self, commands: usize) -> u64 {
        if let State::HalfOpen { probes_left } = &mut self.state {
            *probes_left = probes_left.saturating_sub(commands);
        }
        self.generation
    }

    /// Takes in how a call ended.
    pub(super) fn heard(&mut self, generation: u64, heard: Heard, now: Instant) {
        if generation != self.generation {
            return;
        }
        match (self.state, heard) {
            (State::Closed { .. }, Heard::Answer) => self.state = State::Closed { silences: 0 },
            (State::Closed { silences }, Heard::Silence) if silences + 1 < self.rule.failures => {
                self.state = State::Closed {
                    silences: silences + 1,
                };
            }
            (State::HalfOpen { .. }, Heard::Answer) => self.change(State::Closed { silences: 0 }),
            (State::Closed { .. } | State::HalfOpen { .. }, Heard::Silence) => {
                self.change(State::Open {
                    until: now + self.rule.open_for,
                });
            }
            // Another one may be the probe in its place.
            (State::HalfOpen { probes_left }, Heard::Nothing) => {
                self.state = State::HalfOpen {
                    probes_left: probes_left + 1,
                };
            }
            (State::Closed { .. }, Heard::Nothing) | (State::Open { .. }, _) => {}
        }
    }

    /// Whether commands go out as they come.
    pub(super) fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed { .. })
    }

    /// For the metrics: 0 closed, 1 half-open, 2 open.
    pub(super) fn number(&self) -> i64 {
        match self.state {
            State::Closed { .. } => 0,
            State::HalfOpen { .. } => 1,
            State::Open { .. } => 2,
        }
    }

    /// How long until a probe may go out; none where one may now.
    pub(super) fn shut_for(&self, now: Instant) -> Option<Duration> {
        match self.state {
            State::Open { until } => Some(until.saturating_duration_since(now)),
            // The probes are out, and what comes of them is waited for.
            State::HalfOpen { probes_left: 0 } => Some(Duration::from_millis(50)),
            State::Closed { .. } | State::HalfOpen { .. } => None,
        }
    }

    fn change(&mut self, state: State) {
        self.state = state;
        self.generation += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: BreakerRule = BreakerRule {
        failures: 3,
        open_for: Duration::from_secs(10),
        probes: 2,
    };

    fn opened(at: Instant) -> Breaker {
        let mut breaker = Breaker::new(RULE);
        let generation = breaker.went_out(3);
        for _ in 0..3 {
            breaker.heard(generation, Heard::Silence, at);
        }
        breaker
    }

    #[test]
    fn it_opens_after_silences_in_a_row_and_not_before() {
        let now = Instant::now();
        let mut breaker = Breaker::new(RULE);
        let generation = breaker.went_out(5);
        for heard in [Heard::Silence, Heard::Silence, Heard::Answer] {
            breaker.heard(generation, heard, now);
        }
        breaker.heard(generation, Heard::Silence, now);
        breaker.heard(generation, Heard::Silence, now);
        assert_eq!(breaker.room(now), usize::MAX);
        breaker.heard(generation, Heard::Silence, now);
        assert_eq!(breaker.room(now), 0);
        assert_eq!(breaker.shut_for(now), Some(RULE.open_for));
    }

    #[test]
    fn an_answer_to_a_call_from_before_does_not_close_it() {
        let now = Instant::now();
        let mut breaker = opened(now);
        breaker.heard(0, Heard::Answer, now);
        assert_eq!(breaker.room(now), 0);
        let later = now + RULE.open_for;
        assert_eq!(breaker.room(later), 2);
        breaker.heard(0, Heard::Answer, later);
        assert!(!breaker.is_closed());
    }

    #[test]
    fn a_probe_that_is_answered_closes_it_and_one_that_is_not_opens_it_again() {
        let now = Instant::now();
        let later = now + RULE.open_for;
        let mut breaker = opened(now);
        assert_eq!(breaker.room(later), 2);
        let probe = breaker.went_out(2);
        assert_eq!(breaker.room(later), 0);
        breaker.heard(probe, Heard::Answer, later);
        assert_eq!(breaker.room(later), usize::MAX);

        let mut breaker = opened(now);
        breaker.room(later);
        let probe = breaker.went_out(1);
        breaker.heard(probe, Heard::Silence, later);
        assert_eq!(breaker.room(later), 0);
        assert_eq!(breaker.room(later + RULE.open_for), 2);
    }

    #[test]
    fn a_probe_that_was_not_made_says_nothing_and_leaves_its_place_to_another() {
        let now = Instant::now();
        let later = now + RULE.open_for;
        let mut breaker = opened(now);
        assert_eq!(breaker.room(later), 2);
        let probe = breaker.went_out(2);
        breaker.heard(probe, Heard::Nothing, later);
        assert!(!breaker.is_closed());
        assert_eq!(breaker.room(later), 1);
    }
}
