//! What the flows make of a bank's answer, and of what comes back.

use mypay_schemas::firmbanking::{
    PURPOSE_CLOSING, PURPOSE_RECHARGE, PURPOSE_REMITTANCE, PURPOSE_UNDO,
};
use mypay_schemas::identity::derive;
use mypay_schemas::reversal::reversal_id;
use uuid::Uuid;

use super::rows::{CommandState, Message, State};
use super::world::World;
use crate::{SystemAccount, recharge, remittance, settlement};

impl World {
    /// The flow that asked hears of it, and believes the table.
    pub(super) fn told(&mut self, id: Uuid) {
        let command = self.commands[&id].clone();
        let done = command.state == CommandState::Done;
        let Some((origin_id, origin)) = command.origin else {
            return;
        };
        let partition = (origin_id.as_u128() % 3) as i32;
        match origin.purpose {
            PURPOSE_RECHARGE => self.recharged(origin_id, done),
            PURPOSE_REMITTANCE => self.remitted(origin_id, done, partition),
            PURPOSE_CLOSING => self.paid_out_at_closing(origin_id, done, partition),
            // No flow asked for it.
            PURPOSE_UNDO => {}
            _ => self.settled(origin_id, done),
        }
    }

    fn recharged(&mut self, id: Uuid, done: bool) {
        let row = self.recharges[&id].clone();
        if row.state != State::Awaits {
            return;
        }
        let mut book = self.book([row.member]);
        if done {
            let cash = SystemAccount::corporate_cash(&row.bank, 0);
            recharge::confirmed(&mut book, id, row.member, row.amount, cash);
            self.see("recharge completed");
        } else {
            recharge::refused(&mut book, row.member, row.amount);
            self.see("recharge refused");
        }
        self.must_write(&book);
        self.recharges
            .entry(id)
            .and_modify(|it| it.state = ended(done));
        if self.top_ups.contains_key(&id) {
            self.topics.push(Message::Recharged(id));
        }
    }

    fn remitted(&mut self, id: Uuid, done: bool, partition: i32) {
        let row = self.remittances[&id].clone();
        if row.state != State::Awaits {
            return;
        }
        let entry_id = derive(id, "bank answered");
        let mut book = self.book([row.sender]);
        if done {
            remittance::confirmed(&mut book, entry_id, row.amount, &row.bank, partition);
            self.see("remittance paid out");
        } else {
            let returned = (row.amount, row.fee);
            remittance::refused(&mut book, entry_id, row.sender, returned, partition);
            self.see("remittance refused");
        }
        self.must_write(&book);
        self.remittances
            .entry(id)
            .and_modify(|it| it.state = ended(done));
    }

    fn settled(&mut self, id: Uuid, done: bool) {
        let row = self.payouts[&id].clone();
        if row.state != State::Awaits {
            return;
        }
        let entry_id = derive(id, "bank answered");
        let mut book = self.book([]);
        if done {
            settlement::confirmed(&mut book, entry_id, row.amount, &row.bank);
            self.see("settlement paid out");
        } else {
            settlement::refused(&mut book, entry_id, row.franchise, row.amount);
            *self.owed.entry(row.franchise).or_default() += row.amount;
            self.see("settlement refused");
        }
        self.must_write(&book);
        self.payouts
            .entry(id)
            .and_modify(|it| it.state = ended(done));
    }

    /// Whose payout it was has the money again, whether the result is known or not.
    pub(super) fn came_back(&mut self, id: Uuid) {
        let command = self.commands[&id].clone();
        let bank = self.came_back_to(id);
        let Some((origin_id, origin)) = command.origin else {
            return;
        };
        if origin.purpose == PURPOSE_CLOSING {
            if self.closing_came_back(origin_id, &bank) == Some(true) {
                self.see("a reversal before the result");
            }
            return;
        }
        let entry_id = reversal_id(origin_id);
        let partition = (origin_id.as_u128() % 5) as i32;
        let mut book;
        let early;
        if origin.purpose == PURPOSE_REMITTANCE {
            let row = self.remittances[&origin_id].clone();
            if row.reversed {
                return;
            }
            early = row.state == State::Awaits;
            book = self.book([row.sender]);
            let (sender, amount) = (row.sender, row.amount);
            remittance::reversed(&mut book, entry_id, sender, amount, &bank, partition);
            self.remittances
                .entry(origin_id)
                .and_modify(|it| it.reversed = true);
            self.see("remittance came back");
        } else {
            let row = self.payouts[&origin_id].clone();
            if row.reversed {
                return;
            }
            early = row.state == State::Awaits;
            book = self.book([]);
            settlement::reversed(&mut book, entry_id, row.franchise, row.amount, &bank);
            *self.owed.entry(row.franchise).or_default() += row.amount;
            self.payouts
                .entry(origin_id)
                .and_modify(|it| it.reversed = true);
            self.see("settlement came back");
        }
        if early {
            self.see("a reversal before the result");
        }
        self.must_write(&book);
    }
}

fn ended(done: bool) -> State {
    if done {
        State::Completed
    } else {
        State::Refused
    }
}
