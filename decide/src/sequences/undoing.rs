//! Payouts that operators undo.

use mypay_schemas::firmbanking::{
    PURPOSE_CLOSING, PURPOSE_REMITTANCE, PURPOSE_SETTLEMENT, PURPOSE_UNDO,
};
use uuid::Uuid;

use super::rows::{Command, CommandState, Message, UndoState};
use super::world::{World, bank_number};
use crate::firmbanking::Origin;

impl World {
    /// An undo of a payout is approved: the command for it goes out.
    pub(super) fn undo(&mut self, which: usize) {
        let pays_out = |command: &Command| {
            let purposes = [PURPOSE_REMITTANCE, PURPOSE_SETTLEMENT, PURPOSE_CLOSING];
            purposes.contains(&&*command.request.purpose)
        };
        let ids: Vec<Uuid> = self
            .commands
            .iter()
            .filter(|(id, it)| pays_out(it) && !self.undos.contains_key(*id))
            .filter(|(_, it)| it.state == CommandState::Done && !it.undone_by_bank)
            .map(|(id, _)| *id)
            .collect();
        let Some(id) = ids.get(which % ids.len().max(1)).copied() else {
            return;
        };
        let (account, amount) = {
            let payout = &self.commands[&id].request;
            (payout.to.clone(), payout.amount)
        };
        let origin = Origin {
            purpose: PURPOSE_UNDO,
            amount,
            account: account.clone(),
            from_bank: account.bank_code.clone(),
            holder_name: None,
        };
        let ours = self.corporate(bank_number(&account.bank_code));
        self.undos.insert(id, UndoState::UnderWay);
        self.ask(id, origin, account, ours);
    }

    /// A command has ended; where it undoes a payout, that came back or did not.
    pub(super) fn undo_ended(&mut self, id: Uuid, done: bool) {
        let Some((payout, origin)) = self.commands[&id].origin.clone() else {
            return;
        };
        if origin.purpose != PURPOSE_UNDO {
            return;
        }
        if !done {
            self.undos.insert(payout, UndoState::Refused);
            self.see("an undo that was refused");
            return;
        }
        self.undos.insert(payout, UndoState::Done);
        self.commands
            .entry(payout)
            .and_modify(|it| it.reversed = true);
        self.topics.push(Message::Reversal(payout));
        self.see("a payout undone");
    }

    /// Whether a payout is undone by us, or about to be.
    pub(super) fn is_undone(&self, id: Uuid) -> bool {
        let undo = self.undos.get(&id);
        undo.is_some_and(|state| *state != UndoState::Refused)
    }

    /// At which bank the money is again of a payout that came back.
    pub(super) fn came_back_to(&self, id: Uuid) -> String {
        let request = &self.commands[&id].request;
        let back = if self.undos.get(&id) == Some(&UndoState::Done) {
            &request.to
        } else {
            &request.from
        };
        back.bank_code.clone()
    }

    /// Whether the flow whose payout this is has posted that it came back.
    pub(super) fn has_given_back(&self, command: &Command) -> bool {
        let Some((id, origin)) = &command.origin else {
            return false;
        };
        match origin.purpose {
            PURPOSE_REMITTANCE => self.remittances[id].reversed,
            PURPOSE_SETTLEMENT => self.payouts[id].reversed,
            PURPOSE_CLOSING => self.closings[id].reversed,
            _ => false,
        }
    }
}
