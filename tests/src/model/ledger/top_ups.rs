//! Remittances and payments that recharge first what they lack.

use mypay_schemas::Flow;
use mypay_schemas::firmbanking::BankAccount;
use uuid::Uuid;

use super::{Ledger, RECHARGE_MIN, Whose};
use crate::model::certain::Topic;

/// What a remittance's top-up is a multiple of.
const STEP: u64 = 10_000;

/// What is recharged for a shortage, whole won.
pub fn top_up(topic: Topic, shortage: i64) -> i64 {
    match topic {
        Topic::Remittance => shortage.unsigned_abs().next_multiple_of(STEP) as i64,
        Topic::Payment => shortage.max(RECHARGE_MIN),
    }
}

/// What a request does once its top-up is there.
#[derive(Debug, Clone)]
pub enum After {
    /// It remits to a member.
    Remit {
        /// Who gets it.
        to: usize,
        /// Whole won.
        amount: i64,
    },
    /// It remits to an account.
    PayOut {
        /// The account.
        to: BankAccount,
        /// Whole won.
        amount: i64,
        /// Whether the account is another holder's than was said.
        mismatch: bool,
    },
    /// It pays a franchise.
    Pay {
        /// The franchise.
        franchise: usize,
        /// Whole won.
        gross: i64,
    },
}

impl After {
    /// The flow that waits.
    pub fn flow(&self) -> Flow {
        match self {
            After::Remit { .. } | After::PayOut { .. } => Flow::Remittance,
            After::Pay { .. } => Flow::Payment,
        }
    }
}

impl Ledger {
    /// A request waits for what it recharges first.
    pub fn top_up(&mut self, request: Uuid, member: usize, won: i64, after: After) {
        if let After::Remit { amount, .. } | After::PayOut { amount, .. } = after {
            self.members[member].perhaps_sent += amount;
        }
        self.draw_from_bank(request, member, won, Whose::TopUp(member));
        self.after.insert(request, after);
    }

    /// The bank has answered: the request goes on with what was recharged, or not at
    /// all.
    pub(super) fn go_on(&mut self, request: Uuid, member: usize, recharged: Option<i64>) {
        let after = self.after.remove(&request);
        let (Some(after), Some(won)) = (after, recharged) else {
            return;
        };
        self.topped_up.insert(request, won);
        match after {
            After::Remit { to, amount } => self.remit(member, to, amount),
            After::PayOut {
                to,
                amount,
                mismatch,
            } => self.pay_out(request, member, to, amount, mismatch),
            After::Pay { franchise, gross } => self.pay(request, member, franchise, gross),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::draw::tests::town;
    use crate::model::ledger::FEE_TO_BANK;

    #[test]
    fn a_remittance_recharges_whole_steps_and_a_payment_what_it_lacks() {
        for (shortage, remitted, paid) in [
            (1, 10_000, 10_000),
            (9_999, 10_000, 10_000),
            (10_000, 10_000, 10_000),
            (10_001, 20_000, 10_001),
            (1_995_500, 2_000_000, 1_995_500),
        ] {
            assert_eq!(top_up(Topic::Remittance, shortage), remitted);
            assert_eq!(top_up(Topic::Payment, shortage), paid);
        }
    }

    /// The first member has 5,000 won, and remits or pays 12,000.
    fn answered(after: After, done: bool) -> Ledger {
        let mut ledger = town();
        ledger.members[0].balance = 5_000;
        let request = Uuid::now_v7();
        ledger.top_up(request, 0, 10_000, after);
        assert_eq!(ledger.members[0].pending, 10_000);
        let command = ledger.commands.remove(0);
        ledger.answered(&command, done, false);
        assert_eq!(ledger.members[0].pending, 0);
        assert_eq!(ledger.topped_up.get(&request), done.then_some(&10_000));
        ledger
    }

    #[test]
    fn a_refused_top_up_moves_nothing() {
        let ledger = answered(
            After::Remit {
                to: 1,
                amount: 12_000,
            },
            false,
        );
        assert_eq!(ledger.members[0].balance, 5_000);
        assert_eq!(ledger.members[1].balance, town().members[1].balance);
        assert!(ledger.commands.is_empty() && ledger.after.is_empty());
    }

    #[test]
    fn a_payment_goes_on_with_what_was_recharged() {
        let ledger = answered(
            After::Pay {
                franchise: 0,
                gross: 12_000,
            },
            true,
        );
        assert_eq!(ledger.members[0].balance, 3_000);
        assert_eq!(ledger.payable(0), 12_000);
    }

    #[test]
    fn what_turns_out_impossible_after_its_top_up_stays_on_the_balance() {
        let mut ledger = answered(
            After::PayOut {
                to: crate::banks::corporate("088"),
                amount: 12_000,
                mismatch: true,
            },
            true,
        );
        assert_eq!(ledger.members[0].balance, 3_000 - FEE_TO_BANK);
        let command = ledger.commands.remove(0);
        assert!(command.mismatch);
        ledger.answered(&command, false, false);
        assert_eq!(ledger.members[0].balance, 15_000);
    }
}
