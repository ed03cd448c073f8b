//! Rounds of random requests whose outcomes are certain.

mod closings;
mod payments;
mod top_ups;

#[cfg(test)]
mod orders;
#[cfg(test)]
pub(super) mod tests;

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use mypay_schemas::closing::ClosingRequest;
use mypay_schemas::firmbanking::{BankAccount, FirmbankingRequest};
use mypay_schemas::payment::PaymentRequest;
use mypay_schemas::recharge::RechargeRequest;
use mypay_schemas::remittance::{BankReceiver, RemittanceRequest};
use uuid::Uuid;

use self::top_ups::Short;

use super::certain::{Span, Topic};
use super::ledger::{
    Account, After, FEE_TO_BANK, Ledger, RECHARGE_MIN, REMITTANCE_MAX, key, korean, near_midnight,
    ours,
};
use crate::banks::command;
use crate::requests::{cancel, payment, payout, recharge, remittance};

/// What must come of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// COMPLETED.
    Completed,
    /// REJECTED with this reason code.
    Rejected(&'static str),
    /// What the bank says.
    AwaitsBank,
}

/// A request of any flow.
#[derive(Debug, Clone)]
pub enum Body {
    /// `my.recharge.request`
    Recharge(RechargeRequest),
    /// `my.remittance.request`
    Remittance(RemittanceRequest),
    /// `my.payment.request`
    Payment(PaymentRequest),
    /// `my.firmbanking.request`
    Firmbanking(FirmbankingRequest),
    /// `my.closing.request`
    Closing(ClosingRequest),
}

/// A request and what must come of it.
#[derive(Debug, Clone)]
pub struct Drawn {
    /// Its id.
    pub id: Uuid,
    /// What it says.
    pub body: Body,
    /// What must come of it.
    pub outcome: Outcome,
    /// Whether it must come after what its client sent before.
    pub in_order: bool,
}

/// Draws requests, and applies them to the second ledger.
pub struct Draw {
    /// The second ledger.
    pub ledger: Ledger,
    /// Accounts that remittances go to, and whose they are.
    pub receivers: Vec<(BankAccount, String)>,
    /// The payments' requests, those that wait for their top-ups, too.
    paid: HashMap<Uuid, PaymentRequest>,
    /// The banks' transfers of a round are told apart by these.
    used: HashSet<(Account, i64)>,
    spans: Vec<Span>,
    /// Whether the day's limits are for the same day all through the round.
    one_day: bool,
    rng: fastrand::Rng,
}

impl Draw {
    /// Draws for this ledger.
    pub fn new(ledger: Ledger, receivers: Vec<(BankAccount, String)>, rng: fastrand::Rng) -> Self {
        Self {
            ledger,
            receivers,
            paid: HashMap::new(),
            used: HashSet::new(),
            spans: Vec::new(),
            one_day: true,
            rng,
        }
    }

    /// Random numbers of the same seed.
    pub fn rng(&mut self) -> &mut fastrand::Rng {
        &mut self.rng
    }

    /// A round of so many requests, in the order in which they are to be sent, soon
    /// after `now`.
    pub fn round(&mut self, count: usize, now: DateTime<Utc>) -> Vec<Drawn> {
        self.begin_round(now);
        let mut drawn = Vec::with_capacity(count);
        // What is not certain is drawn again; a town where nothing is any more, is not.
        for _ in 0..count * 50 {
            if drawn.len() == count {
                break;
            }
            // What a top-up finds is certain before other money moves.
            let early = drawn.len() < count / 6 && self.rng.bool();
            drawn.extend(match self.rng.u32(0..100) {
                _ if early => self.short_one(),
                0..20 => self.recharge(),
                20..42 => self.remittance(),
                42..58 => self.payout(),
                58..75 => self.payment(),
                75..89 => self.cancel(),
                89..92 => self.direct(),
                92..95 => self.short_one(),
                _ => self.nonsense(),
            });
        }
        drawn
    }

    fn begin_round(&mut self, now: DateTime<Utc>) {
        let korean = korean(now);
        self.ledger.quiet_on(korean.date());
        self.one_day = !near_midnight(korean);
        let balances = self.ledger.members.iter().map(|member| member.balance);
        self.spans = balances.map(Span::new).collect();
        self.used.clear();
    }

    fn member(&mut self) -> usize {
        self.rng.usize(..self.ledger.members.len())
    }

    /// Mostly little, sometimes as much as there may be.
    fn won(&mut self) -> i64 {
        match self.rng.u32(0..10) {
            0 => self.rng.i64(500_000..REMITTANCE_MAX),
            1..4 => self.rng.i64(50_000..300_000),
            _ => self.rng.i64(1..40_000),
        }
    }

    /// An amount that no other transfer with this account has.
    fn unique(&mut self, account: &BankAccount, won: i64) -> i64 {
        let mut won = won;
        while !self.used.insert((key(account), won)) {
            won += 1;
        }
        won
    }

    fn recharge(&mut self) -> Option<Drawn> {
        let member = self.member();
        let money = &self.ledger.members[member];
        let (id, account) = (money.id, money.account.clone());
        if self.rng.u32(0..20) == 0 {
            let little = recharge(id, self.rng.i64(1..RECHARGE_MIN));
            return Some(rejected(Body::Recharge(little), "below_recharge_minimum"));
        }
        let mut amount = self.won().max(RECHARGE_MIN);
        if self.has_left(member) {
            let request = recharge(id, amount);
            return Some(rejected(Body::Recharge(request), "unknown_member"));
        }
        let span = &self.spans[member];
        match (span.fits(amount), account) {
            (Some(true), Some(account)) => {
                amount = self.unique(&account, amount);
                let span = &mut self.spans[member];
                if span.fits(amount) != Some(true) || !span.may_come(amount) {
                    return None;
                }
                span.comes_capped(amount);
                let request = recharge(id, amount);
                let drawn = awaits(Body::Recharge(request));
                self.ledger.recharge(drawn.id, member, amount);
                Some(drawn)
            }
            (Some(true), None) if span.may_come(0) => {
                // Room must stay for it, so that it is the account that it lacks.
                if !keeps_free(&mut self.spans[member], amount) {
                    return None;
                }
                let request = recharge(id, amount);
                Some(rejected(Body::Recharge(request), "no_bank_account"))
            }
            (Some(false), _) => {
                self.spans[member].does_not_fit(amount);
                let request = recharge(id, amount);
                Some(rejected(Body::Recharge(request), "balance_cap_exceeded"))
            }
            _ => None,
        }
    }

    fn remittance(&mut self) -> Option<Drawn> {
        let (from, to) = (self.member(), self.member());
        let amount = self.won();
        self.remit(from, to, amount)
    }

    fn remit(&mut self, from: usize, to: usize, amount: i64) -> Option<Drawn> {
        if from == to {
            return None;
        }
        let members = &self.ledger.members;
        let request = remittance(members[from].id, members[to].id, amount);
        if self.has_left(from) {
            return Some(rejected(Body::Remittance(request), "unknown_member"));
        }
        if !self.may_remit(from, amount)? {
            return Some(rejected(Body::Remittance(request), "daily_limit_exceeded"));
        }
        let drawn = self.remit_within_limit(from, to, request);
        self.keeping_of_the_day(from, amount, drawn)
    }

    fn remit_within_limit(
        &mut self,
        from: usize,
        to: usize,
        request: RemittanceRequest,
    ) -> Option<Drawn> {
        let amount = request.amount;
        if self.has_left(to) {
            // Before it is asked whether there is enough: nothing is topped up for it.
            return Some(rejected(Body::Remittance(request), "unknown_receiver"));
        }
        let enough = self.spans[from].covers(Topic::Remittance, amount);
        match (self.spans[to].fits(amount), enough) {
            (Some(true), Some(true)) => {
                if !self.spans[to].may_come(amount) || !self.spans[from].may_go(amount) {
                    return None;
                }
                self.spans[to].comes_capped(amount);
                self.spans[from].goes(Topic::Remittance, amount);
                self.ledger.remit(from, to, amount);
                Some(completed(Body::Remittance(request)))
            }
            (Some(false), Some(true)) => {
                self.spans[to].does_not_fit(amount);
                Some(rejected(Body::Remittance(request), "balance_cap_exceeded"))
            }
            (Some(true), Some(false)) if self.is_poor(from) => {
                if !keeps_free(&mut self.spans[to], amount) {
                    return None;
                }
                self.spans[from].too_much(Topic::Remittance, amount);
                Some(rejected(Body::Remittance(request), "insufficient_funds"))
            }
            (Some(true), Some(false)) if self.spans[to].may_come(amount) => {
                let short = Short::new(from, Topic::Remittance, amount);
                let after = After::Remit { to, amount };
                let drawn = self.recharges_first(short, Body::Remittance(request), after)?;
                if drawn.outcome == Outcome::AwaitsBank {
                    self.spans[to].comes_capped(amount);
                }
                Some(drawn)
            }
            _ => None,
        }
    }

    /// What is rejected for another reason must not pass the day's limit.
    fn keeping_of_the_day(
        &mut self,
        from: usize,
        amount: i64,
        drawn: Option<Drawn>,
    ) -> Option<Drawn> {
        if let Some(Outcome::Rejected(_)) = drawn.as_ref().map(|drawn| drawn.outcome) {
            self.ledger.members[from].keeps_of_the_day(amount);
        }
        drawn
    }

    /// Whether the day's limit allows it, in every order; `None`: it depends.
    fn may_remit(&self, from: usize, amount: i64) -> Option<bool> {
        let allowed = self.ledger.members[from].may_remit(amount);
        allowed.filter(|allowed| *allowed || self.one_day)
    }

    /// Whether nobody tops a member up who has too little.
    fn is_poor(&self, member: usize) -> bool {
        self.ledger.members[member].account.is_none()
    }

    fn payout(&mut self) -> Option<Drawn> {
        let (from, amount) = (self.member(), self.won());
        self.pay_out(from, amount)
    }

    fn pay_out(&mut self, from: usize, amount: i64) -> Option<Drawn> {
        let (to, holder) = self.receivers[self.rng.usize(..self.receivers.len())].clone();
        let amount = self.unique(&to, amount);
        if amount > REMITTANCE_MAX {
            return None;
        }
        let mismatch = self.rng.u32(0..10) == 0;
        let receiver = BankReceiver {
            bank_code: to.bank_code.clone(),
            account_number: to.account_number.clone(),
            holder_name: if mismatch {
                "somebody else".into()
            } else {
                holder
            },
        };
        let request = payout(self.ledger.members[from].id, receiver, amount);
        if self.has_left(from) {
            return Some(rejected(Body::Remittance(request), "unknown_member"));
        }
        if !self.may_remit(from, amount)? {
            return Some(rejected(Body::Remittance(request), "daily_limit_exceeded"));
        }
        let drawn = self.pay_out_within_limit(from, (to, mismatch), request);
        self.keeping_of_the_day(from, amount, drawn)
    }

    fn pay_out_within_limit(
        &mut self,
        from: usize,
        (to, mismatch): (BankAccount, bool),
        request: RemittanceRequest,
    ) -> Option<Drawn> {
        let amount = request.amount;
        let whole = amount + FEE_TO_BANK;
        let poor = self.is_poor(from);
        let span = &mut self.spans[from];
        match span.covers(Topic::Remittance, whole) {
            // All of it may come back.
            Some(true) if span.may_go(whole) && span.may_come(whole) => {
                span.goes(Topic::Remittance, whole);
                span.comes(whole);
                let drawn = Drawn {
                    outcome: match mismatch {
                        true => Outcome::Rejected("holder_mismatch"),
                        false => Outcome::AwaitsBank,
                    },
                    ..awaits(Body::Remittance(request))
                };
                self.ledger.pay_out(drawn.id, from, to, amount, mismatch);
                Some(drawn)
            }
            Some(false) if poor => {
                self.spans[from].too_much(Topic::Remittance, whole);
                Some(rejected(Body::Remittance(request), "insufficient_funds"))
            }
            Some(false) => {
                let short = Short::new(from, Topic::Remittance, whole);
                let after = After::PayOut {
                    to,
                    amount,
                    mismatch,
                };
                let drawn = self.recharges_first(short, Body::Remittance(request), after)?;
                if drawn.outcome == Outcome::AwaitsBank {
                    // All of it may come back, and the top-up stays.
                    self.spans[from].comes(whole);
                }
                Some(drawn)
            }
            _ => None,
        }
    }

    fn direct(&mut self) -> Option<Drawn> {
        let banks: Vec<String> = self.ledger.fees.keys().cloned().collect();
        let from = ours(&banks[self.rng.usize(..banks.len())]);
        let to = match self.rng.bool() {
            true => self.receivers[self.rng.usize(..self.receivers.len())]
                .0
                .clone(),
            false => ours(&banks[self.rng.usize(..banks.len())]),
        };
        if from == to {
            return None;
        }
        let amount = self.rng.i64(1..1_000_000);
        let amount = self.unique(&to, amount);
        let drawn = awaits(Body::Firmbanking(command(from.clone(), to.clone(), amount)));
        self.ledger.direct(drawn.id, from, to, amount);
        Some(drawn)
    }

    /// What nobody may ask for.
    fn nonsense(&mut self) -> Option<Drawn> {
        let (one, other) = (self.member(), self.member());
        let won = self.rng.i64(1..10_000);
        let just = if self.rng.bool() { 1 } else { won };
        let here = !self.has_left(one);
        let may_remit = here && self.may_remit(one, won) == Some(true);
        let sender = one;
        let (one, other) = (self.ledger.members[one].id, self.ledger.members[other].id);
        let stranger = Uuid::now_v7();
        let shop = self.ledger.franchises[0].id;
        let (body, reason) = match self.rng.u32(0..9) {
            0 => (Body::Recharge(recharge(one, -won)), "invalid_amount"),
            1 => (Body::Recharge(recharge(stranger, 10_000)), "unknown_member"),
            2 => (
                Body::Remittance(remittance(stranger, one, won)),
                "unknown_member",
            ),
            3 if may_remit => {
                self.ledger.members[sender].keeps_of_the_day(won);
                (Body::Remittance(remittance(one, one, won)), "same_member")
            }
            4 if one != other => (
                Body::Remittance(remittance(one, other, REMITTANCE_MAX + just)),
                "remittance_limit_exceeded",
            ),
            5 if here => (
                Body::Payment(payment(one, stranger, "order", won)),
                "unknown_franchise",
            ),
            6 => (
                Body::Payment(payment(one, shop, "order", 0)),
                "invalid_amount",
            ),
            7 => {
                let never_paid = payment(one, shop, "order", won);
                (Body::Payment(cancel(&never_paid, 0)), "unknown_payment")
            }
            _ => {
                let receiver = self.receivers[0].0.clone();
                let (from, to) = (receiver, ours("004"));
                (Body::Firmbanking(command(from, to, won)), "not_our_account")
            }
        };
        Some(rejected(body, reason))
    }
}

/// Keeps room under the cap for something that must fit and does not come.
fn keeps_free(span: &mut Span, won: i64) -> bool {
    let fits = span.fits(won) == Some(true);
    if fits {
        span.keep_free(won);
    }
    fits
}

fn drawn(body: Body, outcome: Outcome, in_order: bool) -> Drawn {
    let id = match &body {
        Body::Recharge(request) => &request.message_id,
        Body::Remittance(request) => &request.message_id,
        Body::Payment(request) => &request.message_id,
        Body::Firmbanking(request) => &request.message_id,
        Body::Closing(request) => &request.message_id,
    };
    Drawn {
        id: Uuid::try_parse(id).unwrap_or_default(),
        body,
        outcome,
        in_order,
    }
}

fn completed(body: Body) -> Drawn {
    drawn(body, Outcome::Completed, false)
}

fn awaits(body: Body) -> Drawn {
    drawn(body, Outcome::AwaitsBank, false)
}

/// It was too much after what came before it on its topic.
fn rejected(body: Body, reason: &'static str) -> Drawn {
    drawn(body, Outcome::Rejected(reason), true)
}
