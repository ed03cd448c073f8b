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
