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
    /// What is recharged first for requests that lack it, surely or not, by topic; in
    /// the credits, too.
    topped_up: [i64; 2],
    /// What those requests need.
    needed: i64,
    /// What of it is taken from the balance that was there.
    drop: i64,
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
            topped_up: [0; 2],
            needed: 0,
            drop: 0,
        }
    }

    /// Whether there is enough, in every order; `None`: it depends.
    pub fn covers(&self, topic: Topic, won: i64) -> Option<bool> {
        if won <= self.lowest() {
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
        won <= self.credit_room && self.leaves_free(won)
    }

    fn leaves_free(&self, won: i64) -> bool {
        self.kept_free
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

    /// What a request of this topic finds on the balance if it is topped up now, less
    /// what those need that wait for their own top-ups; `None`: it depends.
    pub fn left(&self, topic: Topic) -> Option<i64> {
        // Of the other topic's top-ups, too, either may be there first, and be taken.
        let topped_up = self.topped_up[topic as usize];
        let others = self.debits[1 - topic as usize] > 0 || self.credits != topped_up;
        let left = self.start - self.debits[topic as usize];
        // Top-ups before it may be under way, refused or done with. That makes no
        // difference only where each brings just what its own request takes.
        let differs = topped_up > 0 && (left > 0 || topped_up != self.needed);
        (!others && !differs).then_some(left)
    }

    /// Whether a top-up for a request that needs so much fits under the cap, in every
    /// order; `None`: it depends, or puts in doubt what was certain.
    pub fn top_up_fits(&self, needed: i64, won: i64) -> Option<bool> {
        let drop = (needed - won).max(0);
        let in_doubt = !self.leaves_free(won) || (drop > 0 && !self.may_go(drop));
        self.fits(won).filter(|fits| !(*fits && in_doubt))
    }

    /// A top-up comes, or may, and then goes what its request needs. From now on
    /// nothing else may come or go: the top-up would be another one.
    pub fn tops_up(&mut self, topic: Topic, needed: i64, won: i64) {
        self.comes_capped(won);
        self.topped_up[topic as usize] += won;
        self.needed += needed;
        self.drop += (needed - won).max(0);
        self.seal();
    }

    /// A top-up does not fit, and must go on not to.
    pub fn top_up_does_not_fit(&mut self) {
        self.seal();
    }

    fn seal(&mut self) {
        (self.credit_room, self.debit_room) = (0, 0);
    }

    /// When everything has come in, and only what lies before on the topic gone out.
    pub fn highest(&self, topic: Topic) -> i64 {
        self.start + self.credits - self.debits[topic as usize]
    }

    /// When nothing has come in, and everything gone out.
    fn lowest(&self) -> i64 {
        self.start - self.debits[0] - self.debits[1] - self.drop
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
    #[test]
    fn a_first_top_up_is_certain_while_only_its_own_topic_moves_money() {
        let mut span = Span::new(5_000);
        span.goes(Topic::Payment, 1_000);
        assert_eq!(span.left(Topic::Payment), Some(4_000));
        // The payment may be handled before the remittance or after it.
        assert_eq!(span.left(Topic::Remittance), None);
        span.comes(1);
        assert_eq!(span.left(Topic::Payment), None);
    }

    #[test]
    fn after_a_top_up_nothing_else_may_come_or_go() {
        let mut span = Span::new(4_000);
        assert_eq!(span.top_up_fits(14_000, 10_000), Some(true));
        span.tops_up(Topic::Payment, 14_000, 10_000);
        assert!(!span.may_come(1) && !span.may_go(1));
        // The 4,000 are gone, or there again if the bank refused.
        assert_eq!(span.left(Topic::Payment), None);
        assert_eq!(span.covers(Topic::Payment, 1), None);
    }

    #[test]
    fn top_ups_of_all_that_is_needed_leave_the_next_one_certain() {
        let mut span = Span::new(0);
        span.tops_up(Topic::Remittance, 20_000, 20_000);
        // A payment might find the remittance's money, and take it.
        assert_eq!(span.left(Topic::Payment), None);
        assert_eq!(span.left(Topic::Remittance), Some(0));
        // It may have come and not gone on yet.
        assert_eq!(span.covers(Topic::Remittance, 20_000), None);
        assert_eq!(span.covers(Topic::Remittance, 20_001), Some(false));
        // A whole step brings more than is taken.
        span.tops_up(Topic::Remittance, 20_001, 30_000);
        assert_eq!(span.left(Topic::Remittance), None);
    }

    #[test]
    fn a_top_up_minds_the_cap_and_what_was_certain_of_it() {
        let mut span = Span::new(1_000);
        assert_eq!(span.top_up_fits(CAP + 1, CAP), Some(false));
        span.keep_free(CAP - 10_998);
        assert_eq!(span.top_up_fits(9_000, 9_998), Some(true));
        assert_eq!(span.top_up_fits(9_000, 9_999), None);
        let mut span = Span::new(1_000);
        span.does_not_fit(CAP - 500);
        // What was too much would fit once 1,000 have gone.
        assert_eq!(span.top_up_fits(11_000, 10_000), None);
    }
}
