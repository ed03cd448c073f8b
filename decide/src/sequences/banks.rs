//! Commands on their way to the banks, what the banks do, and what of it is heard.

use mypay_schemas::firmbanking::{
    BankAccount, FirmbankingRequest, PURPOSE_CLOSING, PURPOSE_RECHARGE, PURPOSE_REMITTANCE,
    PURPOSE_SETTLEMENT, id_of_command,
};
use uuid::Uuid;

use super::rows::{Closing, Command, CommandState, Message, Payout, Recharge, Remittance};
use super::step::Call;
use super::world::{World, bank_number};
use crate::firmbanking::{self, Answered, Origin, draws};
use crate::{Reason, remittance};

impl World {
    pub(super) fn command_of_recharge(
        &mut self,
        id: Uuid,
        row: &Recharge,
        from: BankAccount,
        to: BankAccount,
    ) {
        let origin = Origin {
            purpose: PURPOSE_RECHARGE,
            amount: row.amount,
            account: from.clone(),
            from_bank: row.bank.clone(),
            holder_name: None,
        };
        self.ask(id, origin, from, to);
    }

    pub(super) fn command_of_remittance(
        &mut self,
        id: Uuid,
        row: &Remittance,
        payout: remittance::Payout,
    ) {
        let origin = Origin {
            purpose: PURPOSE_REMITTANCE,
            amount: row.amount,
            account: payout.to.clone(),
            from_bank: row.bank.clone(),
            holder_name: Some(payout.holder_name),
        };
        self.ask(id, origin, payout.from, payout.to);
    }

    pub(super) fn command_of_payout(
        &mut self,
        id: Uuid,
        row: &Payout,
        from: BankAccount,
        to: BankAccount,
    ) {
        let origin = Origin {
            purpose: PURPOSE_SETTLEMENT,
            amount: row.amount,
            account: to.clone(),
            from_bank: row.bank.clone(),
            holder_name: Some("shop".into()),
        };
        self.ask(id, origin, from, to);
    }

    pub(super) fn command_of_closing(
        &mut self,
        id: Uuid,
        row: &Closing,
        payout: remittance::Payout,
    ) {
        let origin = Origin {
            purpose: PURPOSE_CLOSING,
            amount: row.amount,
            account: payout.to.clone(),
            from_bank: row.bank.clone(),
            holder_name: Some(payout.holder_name),
        };
        self.ask(id, origin, payout.from, payout.to);
    }

    pub(super) fn ask(&mut self, id: Uuid, origin: Origin, from: BankAccount, to: BankAccount) {
        let command = id_of_command(origin.purpose, id);
        let request = FirmbankingRequest {
            message_id: command.to_string(),
            correlation_id: id.to_string(),
            requested_at: 0,
            purpose: origin.purpose.into(),
            from,
            to,
            amount: origin.amount,
            to_holder_name: origin.holder_name.clone(),
            causation_id: Some(id.to_string()),
        };
        self.put(command, request, Some((id, origin)));
    }

    /// A direct command of staff.
    pub(super) fn direct(&mut self, request: FirmbankingRequest) {
        let id = Uuid::try_parse(&request.message_id).unwrap_or_default();
        self.put(id, request, None);
    }

    fn put(&mut self, id: Uuid, request: FirmbankingRequest, origin: Option<(Uuid, Origin)>) {
        let command = Command {
            request,
            origin,
            state: CommandState::Asked,
            to_ours: false,
            done_by_bank: false,
            fee: 0,
            undone_by_bank: false,
            reversed: false,
        };
        self.commands.insert(id, command);
        self.topics.push(Message::Command(id));
    }

    /// One of the messages on the topics is handled, in whatever order.
    pub(super) fn handle(&mut self, which: usize) {
        if self.topics.is_empty() {
            return;
        }
        let message = self.topics.remove(which % self.topics.len());
        if self.waits(message) {
            self.topics.push(message);
            return;
        }
        self.consume(message);
        self.handled.push(message);
    }

    /// Nothing may come of a message that was handled before.
    pub(super) fn again(&mut self, which: usize) {
        if self.handled.is_empty() {
            return;
        }
        let (postings, topics) = (self.postings.len(), self.topics.len());
        self.consume(self.handled[which % self.handled.len()]);
        if (postings, topics) != (self.postings.len(), self.topics.len()) {
            self.wrong = Some("a message that came again moved something".into());
        }
        self.see("a message again");
    }

    /// A notice that was faster than the bank's answer.
    fn waits(&self, message: Message) -> bool {
        let Message::Notice(id) = message else {
            return false;
        };
        self.commands[&id].state != CommandState::Done
    }

    fn consume(&mut self, message: Message) {
        match message {
            Message::Command(id) => self.take_in(id),
            Message::Result(id) => self.told(id),
            Message::Notice(id) => self.noticed(id),
            Message::Reversal(id) => self.came_back(id),
            Message::Recharge(id) => self.recharge_for(id),
            Message::Recharged(id) => self.recharge_ended(id),
            Message::Continuation(id) => self.continues(id),
        }
    }

    /// The firmbanking consumer takes a command in, or refuses it.
    fn take_in(&mut self, id: Uuid) {
        let command = &self.commands[&id];
        if command.state != CommandState::Asked {
            return;
        }
        let contracts = super::world::BANKS.map(|code| (code, self.contract(code)));
        let origin = command.origin.as_ref().map(|(_, origin)| origin);
        let decided = firmbanking::decide(&command.request, origin, |code| {
            contracts.iter().find(|it| it.0 == code).map(|it| &it.1)
        });
        match decided {
            Ok(taken) => {
                let request = &command.request;
                if (&taken.from, &taken.to) != (&request.from, &request.to) {
                    self.see("a command that names our account of before");
                }
                self.commands.entry(id).and_modify(|it| {
                    it.state = CommandState::Taken;
                    it.to_ours = taken.to_ours;
                    (it.request.from, it.request.to) = (taken.from, taken.to);
                });
            }
            Err(
                reason @ (Reason::NoContract | Reason::NotOurAccount | Reason::MissingHolderName),
            ) => {
                if reason != Reason::NoContract && command.origin.is_some() {
                    self.wrong = Some("a command of ours is refused for its accounts".into());
                }
                self.see(match reason {
                    Reason::NoContract => "a command without a contract",
                    // It named no holder, as the account was ours when it was asked for.
                    Reason::MissingHolderName => "a direct command to our account of before",
                    _ => "a direct command from our account of before",
                });
                self.set(id, CommandState::Refused);
                self.undo_ended(id, false);
                self.tell(id);
            }
            Err(reason) => {
                let request = &self.commands[&id].request;
                self.wrong = Some(format!("{reason:?}: our own command {request:?}"));
            }
        }
    }

    /// A bank gets a command: what it does, and whether that is heard.
    pub(super) fn call(&mut self, which: usize, call: Call) {
        let Some(id) = self.one_in(CommandState::Taken, which) else {
            return;
        };
        if let Some(command) = self.commands.get_mut(&id) {
            (command.done_by_bank, command.fee) = (call.does, call.fee);
            let from = bank_number(&command.request.from.bank_code);
            let to = bank_number(&command.request.to.bank_code);
            let amount = command.request.amount;
            self.at_bank[from] -= call.fee;
            if call.does && draws(&command.request.purpose) {
                self.at_bank[to] += amount;
            } else if call.does {
                self.at_bank[from] -= amount;
                if command.to_ours {
                    self.at_bank[to] += amount;
                }
            }
        }
        if call.answers {
            self.heard(id);
        } else {
            self.set(id, CommandState::Unknown);
        }
    }

    pub(super) fn inquire(&mut self, which: usize) {
        if let Some(id) = self.one_in(CommandState::Unknown, which) {
            self.heard(id);
        }
    }

    /// What the bank did is written down, with its fee and what no flow posts.
    fn heard(&mut self, id: Uuid) {
        let command = self.commands[&id].clone();
        let mut book = self.book([]);
        if command.done_by_bank {
            command.answered(id).done(&mut book, command.fee);
            self.set(id, CommandState::Done);
        } else {
            command.answered(id).charged(&mut book, command.fee);
            self.set(id, CommandState::Refused);
        }
        self.must_write(&book);
        if command.origin.is_none() && command.done_by_bank {
            self.see("direct done");
        }
        self.undo_ended(id, command.done_by_bank);
        self.tell(id);
    }

    fn tell(&mut self, id: Uuid) {
        if self.commands[&id].origin.is_some() {
            self.topics.push(Message::Result(id));
        }
    }

    /// A bank undoes what it has done, whatever we know of either.
    pub(super) fn reverse(&mut self, which: usize) {
        let undoable = |command: &Command| {
            command.done_by_bank && !command.undone_by_bank && !draws(&command.request.purpose)
        };
        let ids: Vec<Uuid> = self
            .commands
            .iter()
            // Of what we undo ourselves the receiver has nothing left.
            .filter(|(id, command)| undoable(command) && !self.is_undone(**id))
            .map(|(id, _)| *id)
            .collect();
        let Some(id) = ids.get(which % ids.len().max(1)).copied() else {
            return;
        };
        if let Some(command) = self.commands.get_mut(&id) {
            command.undone_by_bank = true;
            let to = bank_number(&command.request.to.bank_code);
            self.at_bank[bank_number(&command.request.from.bank_code)] += command.request.amount;
            if command.to_ours {
                self.at_bank[to] -= command.request.amount;
            }
        }
        self.topics.push(Message::Notice(id));
    }

    /// A notice undoes our command.
    fn noticed(&mut self, id: Uuid) {
        let command = self.commands[&id].clone();
        if command.reversed {
            return;
        }
        let mut book = self.book([]);
        command.answered(id).reversed(&mut book);
        self.must_write(&book);
        self.commands.entry(id).and_modify(|it| it.reversed = true);
        match command.origin {
            Some(_) => self.topics.push(Message::Reversal(id)),
            None => self.see("direct came back"),
        }
    }

    /// All that is under way comes to its end.
    pub(super) fn come_to_rest(&mut self) {
        let call = Call {
            does: true,
            answers: true,
            fee: 300,
        };
        loop {
            // Answers first: a notice may wait for one.
            self.call(0, call);
            self.inquire(0);
            for _ in 0..self.topics.len() {
                self.handle(0);
            }
            let busy = [
                CommandState::Asked,
                CommandState::Taken,
                CommandState::Unknown,
            ];
            let busy = busy
                .into_iter()
                .any(|state| self.one_in(state, 0).is_some());
            // What is wrong may never come to rest.
            if self.topics.is_empty() && !busy || self.wrong.is_some() {
                return;
            }
        }
    }

    fn one_in(&self, state: CommandState, which: usize) -> Option<Uuid> {
        let ids: Vec<Uuid> = self
            .commands
            .iter()
            .filter(|(_, command)| command.state == state)
            .map(|(id, _)| *id)
            .collect();
        ids.get(which % ids.len().max(1)).copied()
    }

    fn set(&mut self, id: Uuid, state: CommandState) {
        self.commands.entry(id).and_modify(|it| it.state = state);
    }
}

impl Command {
    fn answered(&self, firmbanking_id: Uuid) -> Answered<'_> {
        let to = &self.request.to;
        Answered {
            firmbanking_id,
            purpose: &self.request.purpose,
            from_bank: &self.request.from.bank_code,
            to_ours: self.to_ours.then_some(&*to.bank_code),
            amount: self.request.amount,
        }
    }
}
