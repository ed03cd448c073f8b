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
    /// Their commissions, whole won.
    pub commission: i64,
    /// Owed from earlier runs (refused payouts, carried nets), whole won.
    pub owed: i64,
    /// Whether it has a registered account to pay out to.
    pub has_account: bool,
}

/// What is done about a franchise's net.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Net {
    /// Paid out, whole won.
    Pay(i64),
    /// Kept for the next run, whole won; may be negative.
    Carry(i64),
}

/// What is to be done about a franchise in a run.
///
/// A net that is not positive is not paid but carried, as is one that has no
/// account to go to.
pub fn net(found: &Found) -> Net {
    let net = found.gross - found.commission + found.owed;
    if net > 0 && found.has_account {
        Net::Pay(net)
    } else {
        Net::Carry(net)
    }
}

/// Posts a franchise's part of a run: the commission is taken, and what is
/// paid goes in transit.
pub fn post(book: &mut Book, payout_id: Uuid, found: &Found) -> Net {
    let net = net(found);
    let payable = SystemAccount::new(AccountKind::FranchisePayable, found.franchise_id, 0);
    if found.commission > 0 {
        let income = SystemAccount::new(AccountKind::Commission, Uuid::nil(), 0);
        book.post(
            (payout_id, 0),
            EntryKind::Settlement,
            payable,
            income,
            found.commission,
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
