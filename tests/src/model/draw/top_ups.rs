//! Requests that recharge first what they lack.

use super::{Body, Draw, Drawn, awaits, rejected};
use crate::model::certain::Topic;
use crate::model::ledger::{After, FEE_TO_BANK, REMITTANCE_MAX, key, top_up};

/// A whole step of a remittance's top-up.
const STEP: i64 = 10_000;

/// A member who has too little for a request, whatever comes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Short {
    member: usize,
    topic: Topic,
    /// What the request takes, its fee counted in, whole won.
    needed: i64,
}

impl Short {
    pub(super) fn new(member: usize, topic: Topic, needed: i64) -> Self {
        Self {
            member,
            topic,
            needed,
        }
    }
}

impl Draw {
    /// A request that recharges first, or is rejected since that would pass the cap.
    pub(super) fn recharges_first(
        &mut self,
        short: Short,
        body: Body,
        after: After,
    ) -> Option<Drawn> {
        let Short {
            member,
            topic,
            needed,
        } = short;
        let account = key(self.ledger.members[member].account.as_ref()?);
        let span = &mut self.spans[member];
        let won = top_up(topic, needed - span.left(topic)?);
        if !span.top_up_fits(needed, won)? {
            span.top_up_does_not_fit();
            return Some(rejected(body, "balance_cap_exceeded"));
        }
        if !self.used.insert((account, won)) {
            return None;
        }
        span.tops_up(topic, needed, won);
        let drawn = Drawn {
            in_order: true,
            ..awaits(body)
        };
        self.ledger.top_up(drawn.id, member, won, after);
        Some(drawn)
    }

    /// A request of somebody with an account who has too little for it.
    pub(super) fn short_one(&mut self) -> Option<Drawn> {
        let (member, other) = (self.member(), self.member());
        if self.is_poor(member) || self.has_left(member) {
            return None;
        }
        match self.rng.u32(0..3) {
            0 => {
                let amount = self.too_much(member, Topic::Payment);
                self.pay(member, amount)
            }
            1 => {
                let amount = self.too_much(member, Topic::Remittance);
                self.remit(member, other, amount.min(REMITTANCE_MAX))
            }
            _ => {
                let amount = self.too_much(member, Topic::Remittance) - FEE_TO_BANK;
                self.pay_out(member, amount.clamp(1, REMITTANCE_MAX))
            }
        }
    }

    /// More than a member may have. Often whole steps, so that the top-up is just what
    /// is lacking, sometimes so much that it passes the cap.
    fn too_much(&mut self, member: usize, topic: Topic) -> i64 {
        let least = self.spans[member].highest(topic) + 1;
        let more = match self.rng.u32(0..10) {
            0 => self.rng.i64(1_000_000..REMITTANCE_MAX),
            1..3 => self.rng.i64(0..400_000),
            _ => self.rng.i64(0..50_000),
        };
        let amount = least + more;
        match self.rng.bool() {
            true => amount,
            false => (amount / STEP + 1) * STEP,
        }
    }
}
