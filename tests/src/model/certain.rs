//! What is certain about a member's money while others' requests and banks'
//! answers come in any order.

use super::ledger::CAP;

/// Which topic a request lies on: only those of one are in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topic {
    /// `my.remittance.request`, under the sender's key.
    Remittance = 0,
    /// `my.payment.request`, under the payer's key.
    Payment = 1,
}

/// A member's money during a round, whole won.
#[derive(Debug, Clone)]
pub struct Span {
    /// At the round's quiet beginning.
    start: i64,
    /// All that may come in during the round, surely or not.
    credits: i64,
    /// What goes out, by topic.
    debits: [i64; 2],
    /// What may still come in before a rejection for want of money is in doubt.
    credit_room: i64,
    /// What may still go out before a rejection for the cap is in doubt.
    debit_room: i64,
    /// Kept free under the cap, where something must fit: `None` where nothing must.
    kept_free: Option<i64>,
}

impl Span {
    /// A round that begins with so much.
    pub fn new(start: i64) -> Self {
        Self {
            start,
            credits: 0,
            debits: [0; 2],
            credit_room: i64::MAX,
            debit_room: i64::MAX,
            kept_free: None,
        }
    }

    /// Whether there is enough, in every order; `None`: it depends.
    pub fn covers(&self, topic: Topic, won: i64) -> Option<bool> {
        if won <= self.start - self.debits[0] - self.debits[1] {
            Some(true)
        } else if won > self.highest(topic) {
            Some(false)
        } else {
            None
        }
    }

    /// Whether it fits under the cap, in every order; `None`: it depends.
    pub fn fits(&self, won: i64) -> Option<bool> {
        if self.start + self.credits + won <= CAP {
            Some(true)
        } else if self.lowest() + won > CAP {
            Some(false)
        } else {
            None
        }
    }

    /// Whether something may come in without putting in doubt what was certain.
    pub fn may_come(&self, won: i64) -> bool {
        won <= self.credit_room
            && self
                .kept_free
                .is_none_or(|free| self.start + self.credits + won + free <= CAP)
    }

    /// Whether something may go out without putting in doubt what was certain.
    pub fn may_go(&self, won: i64) -> bool {
        won <= self.debit_room
    }

    /// Something comes in, or may.
    pub fn comes(&mut self, won: i64) {
        self.credits += won;
        self.credit_room -= won;
    }

    /// Something comes in that minds the cap.
    pub fn comes_capped(&mut self, won: i64) {
        self.comes(won);
        self.keep_free(0);
    }

    /// Something must fit that does not come.
    pub fn keep_free(&mut self, won: i64) {
        self.kept_free = Some(self.kept_free.unwrap_or(0).max(won));
    }

    /// Something goes out.
    pub fn goes(&mut self, topic: Topic, won: i64) {
        self.debits[topic as usize] += won;
        self.debit_room -= won;
    }

    /// A request of this topic was too much, and must stay so.
    pub fn too_much(&mut self, topic: Topic, won: i64) {
        let room = won - self.highest(topic) - 1;
        self.credit_room = self.credit_room.min(room);
    }

    /// Something did not fit, and must go on not to.
    pub fn does_not_fit(&mut self, won: i64) {
        let room = self.lowest() + won - CAP - 1;
        self.debit_room = self.debit_room.min(room);
    }

    /// When everything has come in, and only what lies before on the topic gone out.
    fn highest(&self, topic: Topic) -> i64 {
        self.start + self.credits - self.debits[topic as usize]
    }

    /// When nothing has come in, and everything gone out.
    fn lowest(&self) -> i64 {
        self.start - self.debits[0] - self.debits[1]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_depends_on_the_order_is_not_certain() {
        let mut span = Span::new(1_000);
        assert_eq!(span.covers(Topic::Payment, 1_000), Some(true));
        span.comes(500);
        assert_eq!(span.covers(Topic::Payment, 1_200), None);
        assert_eq!(span.covers(Topic::Payment, 1_501), Some(false));
        span.goes(Topic::Remittance, 300);
        // The remittance may be handled before the payment or after it.
        assert_eq!(span.covers(Topic::Payment, 701), None);
        assert_eq!(span.covers(Topic::Remittance, 1_201), Some(false));
        span.too_much(Topic::Payment, 1_600);
        assert!(span.may_come(99) && !span.may_come(100));
    }

    #[test]
    fn what_must_fit_keeps_room_under_the_cap() {
        let mut span = Span::new(CAP - 1_000);
        assert_eq!(span.fits(1_001), Some(false));
        span.does_not_fit(1_001);
        assert!(span.may_go(0) && !span.may_go(1));
        span.comes_capped(400);
        assert_eq!(span.fits(601), None);
        span.keep_free(500);
        assert!(span.may_come(100) && !span.may_come(101));
    }
}
