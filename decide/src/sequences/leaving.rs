//! Members and franchises that are closed, and what comes back to them.

use mypay_schemas::closing::ClosingRequest;
use mypay_schemas::identity::derive;
use mypay_schemas::reversal::reversal_id;
use uuid::Uuid;

use super::rows::{Closing, State};
use super::world::{World, registered};
use crate::closing::{self, Franchise, Membership, Status};
use crate::{AccountKind, Decision, Reason, SystemAccount};

impl World {
    /// Staff closes a membership, with all of its rows locked.
    pub(super) fn close(&mut self, member: Uuid, pays_out: bool) {
        let id = self.new_id();
        let request = ClosingRequest {
            message_id: id.to_string(),
            correlation_id: id.to_string(),
            requested_at: 0,
            member_id: member.to_string(),
            pays_out,
            reason: "moves abroad".into(),
            causation_id: None,
        };
        let membership = self.membership(member);
        let mut book = self.book([member]);
        let ours = self.corporate_accounts();
        let decided = closing::decide(&mut book, id, &request, membership.as_ref(), &ours, 0);
        let (Decision::Completed(taken) | Decision::AwaitsBank(taken)) = decided else {
            if let Decision::Rejected(reason) = decided {
                self.see(rejected(reason));
            }
            if !book.postings().is_empty() {
                self.wrong = Some(format!("{request:?} was rejected, and moved something"));
            }
            return;
        };
        if !taken.unclaimed {
            self.nothing_is_under_way(member);
        }
        if taken.amount > 0 && !pays_out {
            self.wrong = Some(format!("{member} was to be paid nothing"));
        }
        self.must_write(&book);
        let Some(payout) = taken.payout else {
            self.statuses.insert(member, Status::Closed);
            self.see("closing with nothing left");
            return;
        };
        if taken.unclaimed {
            self.see("closing of what came back");
        } else {
            self.statuses.insert(member, Status::Closing);
            self.see("closing awaits its bank");
        }
        let row = Closing {
            member,
            amount: taken.amount,
            bank: payout.from.bank_code.clone(),
            unclaimed: taken.unclaimed,
            state: State::Awaits,
            reversed: false,
        };
        self.command_of_closing(id, &row, payout);
        self.closings.insert(id, row);
    }

    /// A member as a closing loads it.
    fn membership(&self, member: Uuid) -> Option<Membership> {
        let status = *self.statuses.get(&member)?;
        let awaits = self.remittances.values();
        let mut awaits = awaits.filter(|row| row.sender == member && row.state == State::Awaits);
        Some(Membership {
            status,
            unclaimed: self.kept_for(member),
            payout_pending: awaits.next().is_some(),
            registered: registered(member).map(|account| (account, "Kim".into())),
            franchise: self.rates.contains_key(&member).then(|| Franchise {
                payable: self.payable(member),
                owed: self.owed.get(&member).copied().unwrap_or(0),
                unsettled: self.has_unsettled(member),
                payout_pending: self.has_payout(member),
                on_hold: self.holds.contains(&member),
            }),
        })
    }

    /// What is kept for a member who is closed, whole won.
    pub(super) fn kept_for(&self, member: Uuid) -> i64 {
        let kept = SystemAccount::unclaimed(member).id();
        self.others.get(&kept).map_or(0, |(_, balance)| *balance)
    }

    fn payable(&self, franchise: Uuid) -> i64 {
        let slots = self.others.values();
        let of = |it: &SystemAccount| it.kind == AccountKind::FranchisePayable;
        let slots = slots.filter(|(it, _)| of(it) && it.owner == franchise);
        slots.map(|(_, balance)| balance).sum()
    }

    fn has_unsettled(&self, franchise: Uuid) -> bool {
        let of_franchise = self.paid.values();
        let mut of_franchise = of_franchise.filter(|it| it.slip.franchise_id == franchise);
        of_franchise.any(|it| !it.settled || it.cancels.iter().any(|link| !link.settled))
    }

    fn has_payout(&self, franchise: Uuid) -> bool {
        let mut payouts = self.payouts.values();
        payouts.any(|row| row.franchise == franchise && row.state == State::Awaits)
    }

    /// What comes later, from a bank or from a run, would find nobody.
    fn nothing_is_under_way(&mut self, member: Uuid) {
        let recharges = self.recharges.values();
        let recharges = recharges.filter(|row| row.member == member);
        let remittances = self.remittances.values();
        let remittances = remittances.filter(|row| row.sender == member);
        let mut states = recharges
            .map(|row| row.state)
            .chain(remittances.map(|row| row.state));
        let at_a_bank = states.any(|state| state == State::Awaits) || self.has_payout(member);
        let owed = self.owed.get(&member).is_some_and(|won| *won != 0);
        let unsettled = owed || self.payable(member) != 0 || self.has_unsettled(member);
        if at_a_bank || unsettled || self.holds.contains(&member) {
            self.wrong = Some(format!("{member} is closed, with something under way"));
        }
    }

    /// The bank has answered: the member is closed, or has its money again.
    pub(super) fn paid_out_at_closing(&mut self, id: Uuid, done: bool, partition: i32) {
        let row = self.closings[&id].clone();
        if row.state != State::Awaits {
            return;
        }
        let entry_id = derive(id, "bank answered");
        let (member, amount) = (row.member, row.amount);
        let mut book = self.book([member]);
        if done {
            closing::confirmed(&mut book, entry_id, amount, &row.bank, partition);
            self.see("closing paid out");
        } else if row.unclaimed {
            closing::kept_again(&mut book, entry_id, member, amount, partition);
            self.see("closing of what came back refused");
        } else {
            let back = (amount, self.kept_for(member));
            closing::reopened(&mut book, entry_id, member, back, partition);
            self.see("closing refused");
            if back.1 > 0 {
                self.see("a member is open again, and has what came back");
            }
        }
        self.must_write(&book);
        if !row.unclaimed {
            let status = if done { Status::Closed } else { Status::Open };
            self.statuses.insert(member, status);
        }
        let state = if done {
            State::Completed
        } else {
            State::Refused
        };
        self.closings.entry(id).and_modify(|it| it.state = state);
    }

    /// The bank has undone the payout of a closing. Tells whether that was before the
    /// answer was heard; `None` where it was undone before.
    pub(super) fn closing_came_back(&mut self, id: Uuid, bank: &str) -> Option<bool> {
        let row = self.closings[&id].clone();
        if row.reversed {
            return None;
        }
        let mut book = self.book([row.member]);
        closing::reversed(&mut book, reversal_id(id), row.member, row.amount, bank);
        self.must_write(&book);
        self.closings.entry(id).and_modify(|it| it.reversed = true);
        self.see("closing came back");
        Some(row.state == State::Awaits)
    }
}

fn rejected(reason: Reason) -> &'static str {
    match reason {
        Reason::UnknownMember => "closing unknown_member",
        Reason::ClosingUnderWay => "closing closing_under_way",
        Reason::MemberClosed => "closing member_closed",
        Reason::RechargePending => "closing recharge_pending",
        Reason::PayoutPending => "closing payout_pending",
        Reason::BalanceNotEmpty => "closing balance_not_empty",
        Reason::NoContract => "closing no_contract",
        Reason::FranchiseOnHold => "closing franchise_on_hold",
        Reason::FranchiseNotSettled => "closing franchise_not_settled",
        _ => "another rejection",
    }
}
