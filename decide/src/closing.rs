//! Closing of a membership: what is left of my money goes to the member's bank
//! account, and the member takes part in nothing any more.
//!
//! A franchise is closed when it is settled: nothing is owed either way, no slip is
//! unsettled, no payout is at a bank, and none is on hold.

use mypay_schemas::closing::{CLOSING_REASON_MAX, ClosingRequest};
use mypay_schemas::firmbanking::BankAccount;
use uuid::Uuid;

use crate::account::{Account, AccountKind, SystemAccount};
use crate::book::{Book, EntryKind};
use crate::remittance::{Payout, paying_account};
use crate::{Decision, Reason};

/// How a membership stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It takes part in everything.
    Open,
    /// Its money is on the way to its bank account.
    Closing,
    /// It has ended.
    Closed,
}

/// A member as a closing finds it, with nobody changing it meanwhile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// How it stands.
    pub status: Status,
    /// What came back after it was closed and is kept for it, whole won.
    pub unclaimed: i64,
    /// Whether a remittance of the member's waits for its bank.
    pub payout_pending: bool,
    /// The registered bank account, and its holder.
    pub registered: Option<(BankAccount, String)>,
    /// What the member is as a franchise.
    pub franchise: Option<Franchise>,
}

/// A franchise as a closing finds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Franchise {
    /// What the ledger says it is owed, whole won; below zero where it owes.
    pub payable: i64,
    /// What earlier runs left, whole won.
    pub owed: i64,
    /// Whether it has slips or cancels that no run has settled.
    pub unsettled: bool,
    /// Whether a payout of its waits for its bank.
    pub payout_pending: bool,
    /// Whether staff holds its payouts back.
    pub on_hold: bool,
}

/// What becomes of a closing that is taken up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closing {
    /// The member.
    pub member_id: Uuid,
    /// What is paid out, whole won; 0 where nothing is left.
    pub amount: i64,
    /// Where to, where something is.
    pub payout: Option<Payout>,
    /// Whether it is what came back to a member who was closed before.
    pub unclaimed: bool,
}

/// Decides on a closing and posts it.
///
/// With nothing left the member is closed at once. Else the money goes in transit,
/// the member may do nothing more, and the bank's answer closes it or opens it
/// again. What came back to a closed member is paid out by closing it once more.
///
/// `corporate` are our accounts at banks whose contracts are in force.
pub fn decide(
    book: &mut Book,
    entry_id: Uuid,
    request: &ClosingRequest,
    membership: Option<&Membership>,
    corporate: &[BankAccount],
    partition: i32,
) -> Decision<Closing> {
    match check(book, request, membership, corporate) {
        Ok(closing) => post(book, entry_id, closing, partition),
        Err(reason) => Decision::Rejected(reason),
    }
}

fn check(
    book: &Book,
    request: &ClosingRequest,
    membership: Option<&Membership>,
    corporate: &[BankAccount],
) -> Result<Closing, Reason> {
    let reason = &request.reason;
    if reason.trim().is_empty()
        || reason.chars().count() > CLOSING_REASON_MAX
        || reason.contains(char::is_control)
    {
        return Err(Reason::InvalidReason);
    }
    let member_id = Uuid::try_parse(&request.member_id).map_err(|_| Reason::UnknownMember)?;
    let membership = membership.ok_or(Reason::UnknownMember)?;
    let amount = match membership.status {
        Status::Closing => return Err(Reason::ClosingUnderWay),
        Status::Closed if membership.unclaimed == 0 => return Err(Reason::MemberClosed),
        Status::Closed => membership.unclaimed,
        Status::Open => {
            check_nothing_is_under_way(membership)?;
            let money = book.open_member(member_id).ok_or(Reason::UnknownMember)?;
            if money.pending > 0 {
                return Err(Reason::RechargePending);
            }
            money.balance
        }
    };
    let payout = match amount {
        0 => None,
        _ if !request.pays_out => return Err(Reason::BalanceNotEmpty),
        _ => Some(payout(membership, corporate)?),
    };
    Ok(Closing {
        member_id,
        amount,
        payout,
        unclaimed: membership.status == Status::Closed,
    })
}

/// What comes later, from a bank or from a run, would find nobody.
fn check_nothing_is_under_way(membership: &Membership) -> Result<(), Reason> {
    if membership.payout_pending {
        return Err(Reason::PayoutPending);
    }
    let Some(franchise) = membership.franchise else {
        return Ok(());
    };
    if franchise.on_hold {
        return Err(Reason::FranchiseOnHold);
    }
    if franchise.payout_pending {
        return Err(Reason::PayoutPending);
    }
    if franchise.payable != 0 || franchise.owed != 0 || franchise.unsettled {
        return Err(Reason::FranchiseNotSettled);
    }
    Ok(())
}

fn payout(membership: &Membership, corporate: &[BankAccount]) -> Result<Payout, Reason> {
    let (to, holder_name) = membership.registered.clone().ok_or(Reason::NoBankAccount)?;
    let from = paying_account(corporate, &to.bank_code)
        .ok_or(Reason::NoContract)?
        .clone();
    Ok(Payout {
        from,
        to,
        holder_name,
    })
}

fn post(book: &mut Book, entry_id: Uuid, closing: Closing, partition: i32) -> Decision<Closing> {
    let member_id = closing.member_id;
    let from = if closing.unclaimed {
        Account::System(SystemAccount::unclaimed(member_id))
    } else {
        Account::Member(member_id)
    };
    if closing.amount > 0 {
        let transit = in_transit(partition);
        book.post(
            (entry_id, 0),
            EntryKind::Closing,
            from,
            transit,
            closing.amount,
        );
    }
    if !closing.unclaimed {
        book.close(member_id);
    }
    if closing.amount > 0 {
        Decision::AwaitsBank(closing)
    } else {
        Decision::Completed(closing)
    }
}

/// The bank has confirmed the payout: the money has left our account.
pub fn confirmed(book: &mut Book, entry_id: Uuid, amount: i64, bank_code: &str, partition: i32) {
    let cash = SystemAccount::corporate_cash(bank_code, partition);
    book.post(
        (entry_id, 0),
        EntryKind::TransitConfirmed,
        in_transit(partition),
        cash,
        amount,
    );
}

/// The bank has refused the payout of a member that was open before: it is open
/// again, and has its money, what came back meanwhile included.
pub fn reopened(
    book: &mut Book,
    entry_id: Uuid,
    member_id: Uuid,
    (amount, unclaimed): (i64, i64),
    partition: i32,
) {
    let member = Account::Member(member_id);
    book.reopen(member_id);
    let transit = in_transit(partition);
    let kind = EntryKind::TransitRefused;
    book.post((entry_id, 0), kind, transit, member, amount);
    if unclaimed > 0 {
        let kept = SystemAccount::unclaimed(member_id);
        book.post((entry_id, 1), kind, kept, member, unclaimed);
    }
}

/// The bank has refused the payout of what came back to a closed member: it is
/// kept for the member again.
pub fn kept_again(book: &mut Book, entry_id: Uuid, member_id: Uuid, amount: i64, partition: i32) {
    let kept = SystemAccount::unclaimed(member_id);
    let transit = in_transit(partition);
    let kind = EntryKind::TransitRefused;
    book.post((entry_id, 0), kind, transit, kept, amount);
}

/// The bank has undone the payout: it is kept for the member, who stays closed.
pub fn reversed(book: &mut Book, entry_id: Uuid, member_id: Uuid, amount: i64, bank_code: &str) {
    let cash = SystemAccount::corporate_cash(bank_code, 0);
    let kept = SystemAccount::unclaimed(member_id);
    book.post((entry_id, 0), EntryKind::Reversal, cash, kept, amount);
}

fn in_transit(partition: i32) -> SystemAccount {
    SystemAccount::new(AccountKind::InTransit, Uuid::nil(), partition)
}

#[cfg(test)]
mod tests;
