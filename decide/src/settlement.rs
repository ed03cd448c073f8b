//! Settlement: what a franchise is owed, to its bank account.

use uuid::Uuid;

use crate::account::{Account, AccountKind, SystemAccount};
use crate::book::{Book, EntryKind};

/// What a run found for a franchise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// The franchise.
    pub franchise_id: Uuid,
    /// Slips up to the cut that no run has settled.
    pub slips: i64,
    /// Their sum, whole won.
    pub gross: i64,
    /// What cancels up to the cut, that no run has settled, refunded; whole won.
    pub cancelled: i64,
    /// The slips' commissions less what the cancels gave back, whole won; below
    /// zero where the cancels are of payments that were settled before.
    pub commission: i64,
    /// Owed from earlier runs (refused payouts, carried nets), whole won.
    pub owed: i64,
    /// Whether it has a registered account to pay out to.
    pub has_account: bool,
    /// Whether staff holds its payouts back.
    pub on_hold: bool,
}

/// What is done about a franchise's net.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Net {
    /// Paid out, whole won.
    Pay(i64),
    /// Kept for the next run, whole won; may be negative.
    Carry(i64, Kept),
}

/// Why a net is kept for the next run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// It is not above zero.
    NotPositive,
    /// Staff holds the franchise's payouts back.
    OnHold,
    /// There is no account to pay it to, or none of ours to pay it from.
    NoAccount,
}

impl Kept {
    /// The code, as it stands in `settlement.payout`.
    pub const fn code(self) -> &'static str {
        match self {
            Kept::NotPositive => "not_positive",
            Kept::OnHold => "on_hold",
            Kept::NoAccount => "no_account",
        }
    }
}

/// What is to be done about a franchise in a run.
///
/// A net that is not positive is not paid but carried, as is one that staff
/// holds back or that has no account to go to.
pub fn net(found: &Found) -> Net {
    let net = found.gross - found.cancelled - found.commission + found.owed;
    if net <= 0 {
        Net::Carry(net, Kept::NotPositive)
    } else if found.on_hold {
        Net::Carry(net, Kept::OnHold)
    } else if !found.has_account {
        Net::Carry(net, Kept::NoAccount)
    } else {
        Net::Pay(net)
    }
}

/// Posts a franchise's part of a run: the commission is taken, and what is
/// paid goes in transit.
pub fn post(book: &mut Book, payout_id: Uuid, found: &Found) -> Net {
    let net = net(found);
    let payable = SystemAccount::new(AccountKind::FranchisePayable, found.franchise_id, 0);
    let income = SystemAccount::new(AccountKind::Commission, Uuid::nil(), 0);
    // Below zero where cancels gave back what earlier runs took.
    let (debit, credit) = match found.commission {
        0.. => (payable, income),
        _ => (income, payable),
    };
    if found.commission != 0 {
        book.post(
            (payout_id, 0),
            EntryKind::Settlement,
            debit,
            credit,
            found.commission.abs(),
        );
    }
    if let Net::Pay(amount) = net {
        let transit = SystemAccount::new(AccountKind::InTransit, Uuid::nil(), 0);
        book.post(
            (payout_id, 1),
            EntryKind::Settlement,
            payable,
            transit,
            amount,
        );
    }
    net
}

/// The bank has confirmed a payout.
pub fn confirmed(book: &mut Book, entry_id: Uuid, amount: i64, bank_code: &str) {
    let transit = SystemAccount::new(AccountKind::InTransit, Uuid::nil(), 0);
    let cash = SystemAccount::corporate_cash(bank_code, 0);
    book.post(
        (entry_id, 0),
        EntryKind::TransitConfirmed,
        transit,
        cash,
        amount,
    );
}

/// The bank has refused a payout: the franchise is owed it again.
pub fn refused(book: &mut Book, entry_id: Uuid, franchise_id: Uuid, amount: i64) {
    let transit = SystemAccount::new(AccountKind::InTransit, Uuid::nil(), 0);
    let payable = SystemAccount::new(AccountKind::FranchisePayable, franchise_id, 0);
    book.post(
        (entry_id, 0),
        EntryKind::TransitRefused,
        Account::from(transit),
        payable,
        amount,
    );
}

/// The bank has undone a payout that it had done: the franchise is owed it again.
pub fn reversed(book: &mut Book, entry_id: Uuid, franchise_id: Uuid, amount: i64, bank_code: &str) {
    let cash = SystemAccount::corporate_cash(bank_code, 0);
    let payable = SystemAccount::new(AccountKind::FranchisePayable, franchise_id, 0);
    book.post((entry_id, 0), EntryKind::Reversal, cash, payable, amount);
}

#[cfg(test)]
mod tests {
    use chrono::NaiveDate;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Over any runs: what is paid out and what is still owed is all that was
        /// earned, whatever was held back or carried; and the ledger's payable is
        /// what is owed.
        #[test]
        fn nothing_is_lost_from_run_to_run(
            runs in prop::collection::vec(
                (0_i64..1_000_000, 0_i64..1_000_000, -50_000_i64..50_000, any::<bool>(), any::<bool>()),
                1..20,
            ),
        ) {
            let (mut owed, mut earned, mut paid, mut payable) = (0, 0, 0, 0);
            for (number, (gross, cancelled, commission, has_account, on_hold)) in
                runs.into_iter().enumerate()
            {
                let found = Found {
                    franchise_id: Uuid::from_u128(7),
                    slips: 1,
                    gross,
                    cancelled,
                    commission,
                    owed,
                    has_account,
                    on_hold,
                };
                earned += gross - cancelled - commission;
                let mut book = Book::new(NaiveDate::default(), []);
                let net = post(&mut book, Uuid::from_u128(number as u128), &found);
                payable += gross - cancelled;
                for (_, account, change) in book.system_changes() {
                    if account.kind == AccountKind::FranchisePayable {
                        payable += change;
                    }
                }
                match net {
                    Net::Pay(amount) => {
                        prop_assert!(amount > 0 && has_account && !on_hold);
                        paid += amount;
                        owed = 0;
                    }
                    Net::Carry(amount, kept) => {
                        let expected = match amount {
                            ..=0 => Kept::NotPositive,
                            _ if on_hold => Kept::OnHold,
                            _ => Kept::NoAccount,
                        };
                        prop_assert_eq!(kept, expected);
                        owed = amount;
                    }
                }
                prop_assert_eq!(paid + owed, earned);
                prop_assert_eq!(payable, owed);
            }
        }
    }
}
