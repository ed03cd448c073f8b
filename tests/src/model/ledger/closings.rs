//! Members who leave, and what comes back to them.

use mypay_schemas::firmbanking::BankAccount;
use uuid::Uuid;

use super::{Command, Ledger, Member, Whose};

/// How a membership stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Standing {
    /// It takes part in everything.
    #[default]
    Open,
    /// Its money is on the way to its account.
    Closing,
    /// It has ended.
    Closed,
}

impl Member {
    /// What a closing would pay out now, whole won.
    pub fn leaves_with(&self) -> i64 {
        match self.standing {
            Standing::Closed => self.unclaimed,
            _ => self.balance,
        }
    }

    /// Money comes back: to the balance, or it is kept for who has none any more.
    pub(super) fn gets_back(&mut self, won: i64) {
        match self.standing {
            Standing::Open => self.balance += won,
            _ => self.unclaimed += won,
        }
    }

    /// The bank has answered for what a closing paid out.
    pub(super) fn left(&mut self, won: i64, done: bool, undone: bool) {
        match (self.standing, done) {
            (Standing::Closing, false) => {
                // What came back meanwhile is the member's again, too.
                self.balance += won + std::mem::take(&mut self.unclaimed);
                self.standing = Standing::Open;
            }
            (_, false) => self.unclaimed += won,
            (_, true) => {
                self.standing = Standing::Closed;
                self.unclaimed += if undone { won } else { 0 };
            }
        }
    }
}

impl Ledger {
    /// A member with nothing left has left.
    pub fn close(&mut self, member: usize) {
        self.members[member].standing = Standing::Closed;
    }

    /// A member leaves with what there is, or gets what is kept.
    pub fn close_and_pay_out(&mut self, request: Uuid, member: usize, to: BankAccount) {
        let from = self.paying(&to.bank_code);
        let leaving = &mut self.members[member];
        let amount = leaving.leaves_with();
        match leaving.standing {
            Standing::Closed => leaving.unclaimed = 0,
            _ => (leaving.balance, leaving.standing) = (0, Standing::Closing),
        }
        self.commands.push(Command {
            request: Some(request),
            whose: Whose::Closing(member),
            from,
            to,
            amount,
            mismatch: false,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::draw::tests::town;

    /// The first member leaves with 5,000 won; 700 come back meanwhile.
    fn left(done: bool, undone: bool) -> Ledger {
        let mut ledger = town();
        ledger.members[0].balance = 5_000;
        let account = ledger.members[0].account.clone().unwrap();
        ledger.close_and_pay_out(Uuid::now_v7(), 0, account);
        assert_eq!(ledger.members[0].balance, 0);
        ledger.members[0].gets_back(700);
        let command = ledger.commands.remove(0);
        ledger.answered(&command, done, undone);
        ledger
    }

    fn stands(ledger: &Ledger) -> (Standing, i64, i64) {
        let member = &ledger.members[0];
        (member.standing, member.balance, member.unclaimed)
    }

    #[test]
    fn whoever_has_left_has_no_money_but_what_came_back() {
        assert_eq!(stands(&left(true, false)), (Standing::Closed, 0, 700));
        assert_eq!(stands(&left(true, true)), (Standing::Closed, 0, 5_700));
    }

    #[test]
    fn whoever_the_bank_refuses_is_open_again_with_everything() {
        assert_eq!(stands(&left(false, false)), (Standing::Open, 5_700, 0));
    }

    #[test]
    fn what_came_back_is_paid_out_once_more_or_kept() {
        for (done, kept) in [(true, 0), (false, 700)] {
            let mut ledger = left(true, false);
            let account = ledger.members[0].account.clone().unwrap();
            ledger.close_and_pay_out(Uuid::now_v7(), 0, account);
            let command = ledger.commands.remove(0);
            assert_eq!(command.amount, 700);
            ledger.answered(&command, done, false);
            assert_eq!(stands(&ledger), (Standing::Closed, 0, kept));
        }
    }
}
