//! Requests that recharge first what they lack, and how they go on.

use std::collections::BTreeSet;

use mypay_schemas::payment::PaymentRequest;
use mypay_schemas::remittance::{Receiver, RemittanceRequest};
use uuid::Uuid;

use super::rows::{Message, Paid, State, TopUp, TopUpState, Waits};
use super::world::kept::{self, remittance_row};
use super::world::{World, bank_number, registered};
use crate::payment::{self, Franchise};
use crate::remittance;
use crate::top_up::{self, Means};
use crate::{Decision, Reason};

impl World {
    /// What a member can be topped up from, as both flows load it.
    pub(super) fn means(&self, member: Uuid) -> Means {
        let mut means = Means {
            drawable: self.can_be_drawn_from(member),
            spoken_for: 0,
        };
        for (recharge, waits) in self.waiting(member) {
            match self.recharges.get(recharge).map(|row| row.state) {
                Some(State::Refused) => {}
                state => means.count(waits.needed, waits.amount, state == Some(State::Completed)),
            }
        }
        means
    }

    /// The top-ups of a member that have not ended.
    pub(super) fn waiting(&self, member: Uuid) -> impl Iterator<Item = (&Uuid, &TopUp)> {
        let of_member = move |it: &TopUp| it.member == member && it.state.waits();
        self.top_ups.iter().filter(move |(_, it)| of_member(it))
    }

    pub(super) fn can_be_drawn_from(&self, member: Uuid) -> bool {
        registered(member).is_some_and(|it| self.in_force[bank_number(&it.bank_code)])
    }

    /// The recharge consumer reads a recharge that a request is topped up by.
    pub(super) fn recharge_for(&mut self, id: Uuid) {
        if self.recharges.contains_key(&id) || self.turned_down.contains_key(&id) {
            return;
        }
        let (member, amount) = (self.top_ups[&id].member, self.top_ups[&id].amount);
        let before = self.members.clone();
        let mut book = self.book([member]);
        match kept::recharge(self, &mut book, id, member, amount) {
            Ok((row, draw)) => {
                self.must_write(&book);
                self.caps_are_minded(&before, &BTreeSet::new());
                self.command_of_recharge(id, &row, draw.from, draw.to);
                self.recharges.insert(id, row);
            }
            Err(reason) => {
                self.turned_down.insert(id, reason);
                self.see("a top-up that never came to its bank");
                self.topics.push(Message::Recharged(id));
            }
        }
    }

    /// What waits for a recharge hears of its outcome, and believes the table.
    pub(super) fn recharge_ended(&mut self, id: Uuid) {
        let waits = self.top_ups[&id].clone();
        if waits.state != TopUpState::Awaits {
            return;
        }
        if let Some(reason) = self.refusal(id) {
            let must_be = match self.turned_down.get(&id) {
                Some(reason) => reason.code(),
                None => "top_up_refused",
            };
            if reason != must_be {
                self.wrong = Some(format!("a top-up was refused for {reason}, not {must_be}"));
            }
            self.see("a request whose top-up was refused");
            self.top_up_is(id, TopUpState::Refused);
            return;
        }
        match waits.request {
            Waits::Remittance(request) => self.remit_again(id, waits.origin_id, &request),
            Waits::Payment(_) => {
                self.top_up_is(id, TopUpState::GoesOn);
                self.topics.push(Message::Continuation(id));
            }
        }
    }

    /// Why nothing was recharged; `None` where it was.
    fn refusal(&self, id: Uuid) -> Option<String> {
        let row = self.recharges.get(&id);
        let done = row.is_some_and(|row| row.state == State::Completed);
        let reason = match self.turned_down.get(&id) {
            Some(reason) => Some(reason.code().to_string()),
            None => Some("insufficient_funds_at_bank".to_string()),
        };
        (!done).then(|| top_up::reason_of_refusal(reason, row.is_some()))
    }

    fn remit_again(&mut self, id: Uuid, origin_id: Uuid, request: &RemittanceRequest) {
        let receiver = match &request.receiver {
            Receiver::MemberReceiver(receiver) => Uuid::try_parse(&receiver.member_id).ok(),
            Receiver::BankReceiver(_) => None,
        };
        let before = self.members.clone();
        let mut book = self.book(
            [Some(self.top_ups[&id].member), receiver]
                .into_iter()
                .flatten(),
        );
        let (ours, partition) = (self.corporate_accounts(), 4);
        let decided = remittance::decide(
            &mut book,
            origin_id,
            request,
            &ours,
            partition,
            &self.limits,
        );
        self.top_up_is(id, TopUpState::ToppedUp);
        let (accepted, state) = match decided {
            Decision::Completed(accepted) => (accepted, State::Completed),
            Decision::AwaitsBank(accepted) => (accepted, State::Awaits),
            Decision::Rejected(reason) => return self.has_become_impossible(reason),
        };
        self.must_write(&book);
        self.caps_are_minded(&before, &BTreeSet::new());
        let row = remittance_row(self, receiver, request.amount, &accepted, state);
        self.see(match accepted.payout {
            Some(_) => "a topped-up remittance goes to its bank",
            None => "a topped-up remittance completed",
        });
        if let Some(payout) = accepted.payout {
            self.command_of_remittance(origin_id, &row, payout);
        }
        self.remittances.insert(origin_id, row);
    }

    /// The continuation of a payment, at its place among the payments.
    pub(super) fn continues(&mut self, id: Uuid) {
        let waits = self.top_ups[&id].clone();
        let Waits::Payment(request) = waits.request else {
            self.wrong = Some("a continuation of a remittance".into());
            return;
        };
        if waits.state != TopUpState::GoesOn {
            return;
        }
        self.top_up_is(id, TopUpState::ToppedUp);
        let mut book = self.book([waits.member]);
        let franchise = self.franchise_of(&request);
        match payment::decide(&mut book, waits.origin_id, &request, franchise, 4) {
            Decision::Completed(slip) | Decision::AwaitsBank(slip) => {
                self.must_write(&book);
                self.see("a topped-up payment completed");
                self.paid.insert(waits.origin_id, Paid::new(slip, self));
                self.positions += 1;
            }
            Decision::Rejected(reason) => self.has_become_impossible(reason),
        }
    }

    /// The recharge holds: what it brought stays on the balance.
    fn has_become_impossible(&mut self, reason: Reason) {
        self.see(match reason {
            Reason::InsufficientFunds => "a topped-up request whose money was spent meanwhile",
            _ => "a topped-up request that has become impossible",
        });
    }

    /// The franchise that a payment names, as payments load it.
    pub(super) fn franchise_of(&self, request: &PaymentRequest) -> Option<Franchise> {
        let id = Uuid::try_parse(&request.franchise_id).ok()?;
        Some(Franchise {
            open: self.members.get(&id)?.open,
            commission_bps: *self.rates.get(&id)?,
        })
    }

    fn top_up_is(&mut self, id: Uuid, state: TopUpState) {
        self.top_ups.entry(id).and_modify(|it| it.state = state);
    }
}
