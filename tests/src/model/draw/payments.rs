//! Payments and their cancels.

use uuid::Uuid;

use super::top_ups::Short;
use super::{Body, Draw, Drawn, completed, rejected};
use crate::model::certain::Topic;
use crate::model::ledger::After;
use crate::requests::{cancel, payment};

impl Draw {
    pub(super) fn payment(&mut self) -> Option<Drawn> {
        let (member, amount) = (self.member(), self.won());
        self.pay(member, amount)
    }

    pub(super) fn pay(&mut self, member: usize, amount: i64) -> Option<Drawn> {
        let franchise = self.rng.usize(..self.ledger.franchises.len());
        let (payer, shop) = (
            self.ledger.members[member].id,
            self.ledger.franchises[franchise].id,
        );
        let request = payment(payer, shop, "order", amount);
        if self.has_left(member) {
            return Some(rejected(Body::Payment(request), "unknown_member"));
        }
        let poor = self.is_poor(member);
        let span = &mut self.spans[member];
        match span.covers(Topic::Payment, amount) {
            Some(true) if span.may_go(amount) => {
                span.goes(Topic::Payment, amount);
                let drawn = completed(Body::Payment(request.clone()));
                self.ledger.pay(drawn.id, member, franchise, amount);
                self.paid.insert(drawn.id, request);
                Some(drawn)
            }
            Some(false) if poor => {
                self.spans[member].too_much(Topic::Payment, amount);
                Some(rejected(Body::Payment(request), "insufficient_funds"))
            }
            Some(false) => {
                let short = Short::new(member, Topic::Payment, amount);
                let after = After::Pay {
                    franchise,
                    gross: amount,
                };
                let body = Body::Payment(request.clone());
                let drawn = self.recharges_first(short, body, after)?;
                self.paid.insert(drawn.id, request);
                Some(drawn)
            }
            _ => None,
        }
    }

    pub(super) fn cancel(&mut self) -> Option<Drawn> {
        let payments = &self.ledger.payments;
        if payments.is_empty() {
            return None;
        }
        // The newest are cancelled most.
        let back = self.rng.usize(..payments.len().min(30));
        let which = payments.len() - 1 - back;
        let payment = &payments[which];
        let (member, left) = (payment.member, payment.gross - payment.refunded);
        let paid = self.paid.get(&payment.id)?;
        if self.rng.u32(0..12) == 0 {
            let mut foreign = cancel(paid, 0);
            foreign.franchise_id = Uuid::now_v7().to_string();
            return Some(rejected(Body::Payment(foreign), "foreign_payment"));
        }
        let asked = match self.rng.u32(0..3) {
            0 => 0,
            1 => self.rng.i64(1..=left.max(1)),
            _ => self.rng.i64(1..=left.max(1) * 2),
        };
        let request = Body::Payment(cancel(paid, asked));
        if left == 0 {
            return Some(rejected(request, "already_cancelled"));
        }
        if asked > left {
            return Some(rejected(request, "cancel_exceeds_payment"));
        }
        let amount = if asked == 0 { left } else { asked };
        if !self.spans[member].may_come(amount) {
            return None;
        }
        self.spans[member].comes(amount);
        self.ledger.cancel(which, amount);
        Some(Drawn {
            in_order: true,
            ..completed(request)
        })
    }
}
