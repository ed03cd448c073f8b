//! Remittance: my money of a member to a member or to an account at a bank.

use mypay_schemas::firmbanking::BankAccount;
use mypay_schemas::remittance::{BankReceiver, Receiver, RemittanceRequest};
use uuid::Uuid;

use crate::account::{Account, AccountKind, SystemAccount};
use crate::book::{Book, EntryKind, valid_amount};
use crate::firmbanking::{HOLDER_NAME_MAX, normalised};
use crate::text::unseen;
use crate::{Decision, Limits, Reason};

/// What becomes of an accepted remittance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// The sender.
    pub sender_id: Uuid,
    /// Taken from the sender besides the amount, whole won.
    pub fee: i64,
    /// The account to pay out to, where the receiver is one.
    pub payout: Option<Payout>,
}

/// A payout to somebody's bank account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payout {
    /// Our corporate account that it is paid from.
    pub from: BankAccount,
    /// The receiver's account.
    pub to: BankAccount,
    /// Whose account it must be.
    pub holder_name: String,
}

/// The corporate account that a payout to a bank is paid from: ours at that
/// bank, or else the first that we have (a transfer between banks).
pub fn paying_account<'a>(corporate: &'a [BankAccount], to_bank: &str) -> Option<&'a BankAccount> {
    corporate
        .iter()
        .find(|account| account.bank_code == to_bank)
        .or_else(|| corporate.first())
}

/// Decides on a remittance and posts it.
///
/// `corporate` are our accounts at banks whose contracts are in force;
/// `partition` is the lane's, for the slots of our own accounts.
pub fn decide(
    book: &mut Book,
    entry_id: Uuid,
    request: &RemittanceRequest,
    corporate: &[BankAccount],
    partition: i32,
    limits: &Limits,
) -> Decision<Accepted> {
    let decided = match &request.receiver {
        Receiver::MemberReceiver(receiver) => to_member(
            book,
            entry_id,
            request,
            &receiver.member_id,
            partition,
            limits,
        ),
        Receiver::BankReceiver(receiver) => to_bank(
            book, entry_id, request, receiver, corporate, partition, limits,
        ),
    };
    decided.unwrap_or_else(Decision::Rejected)
}

fn to_member(
    book: &mut Book,
    entry_id: Uuid,
    request: &RemittanceRequest,
    receiver: &str,
    partition: i32,
    limits: &Limits,
) -> Result<Decision<Accepted>, Reason> {
    let fee = limits.fee_to_member;
    let sender_id = check_sender(book, request, fee, limits)?;
    let receiver_id = Uuid::try_parse(receiver).map_err(|_| Reason::UnknownReceiver)?;
    if receiver_id == sender_id {
        return Err(Reason::SameMember);
    }
    let receiving = book
        .open_member(receiver_id)
        .ok_or(Reason::UnknownReceiver)?;
    if receiving.balance + receiving.pending + request.amount > limits.balance_cap {
        return Err(Reason::BalanceCapExceeded);
    }
    check_balance(book, sender_id, request.amount + fee)?;
    let sender = Account::Member(sender_id);
    let receiver = Account::Member(receiver_id);
    book.post(
        (entry_id, 0),
        EntryKind::Remittance,
        sender,
        receiver,
        request.amount,
    );
    book.mind_cap(receiver_id);
    book.count_sent(sender_id, request.amount);
    post_fee(
        book,
        entry_id,
        EntryKind::Remittance,
        sender,
        fee,
        partition,
    );
    Ok(Decision::Completed(Accepted {
        sender_id,
        fee,
        payout: None,
    }))
}

fn to_bank(
    book: &mut Book,
    entry_id: Uuid,
    request: &RemittanceRequest,
    receiver: &BankReceiver,
    corporate: &[BankAccount],
    partition: i32,
    limits: &Limits,
) -> Result<Decision<Accepted>, Reason> {
    let fee = limits.fee_to_bank;
    let to = normalised(&receiver.bank_code, &receiver.account_number)?;
    let holder_name = receiver.holder_name.trim();
    if holder_name.is_empty()
        || holder_name.chars().count() > HOLDER_NAME_MAX
        || holder_name.contains(char::is_control)
        || unseen(holder_name).is_some()
    {
        return Err(Reason::InvalidHolderName);
    }
    let sender_id = check_sender(book, request, fee, limits)?;
    let from = paying_account(corporate, &to.bank_code)
        .ok_or(Reason::NoContract)?
        .clone();
    check_balance(book, sender_id, request.amount + fee)?;
    let sender = Account::Member(sender_id);
    let transit = in_transit(partition);
    book.post(
        (entry_id, 0),
        EntryKind::RemittanceOut,
        sender,
        transit,
        request.amount,
    );
    book.count_sent(sender_id, request.amount);
    post_fee(
        book,
        entry_id,
        EntryKind::RemittanceOut,
        sender,
        fee,
        partition,
    );
    let payout = Some(Payout {
        from,
        to,
        holder_name: holder_name.to_string(),
    });
    Ok(Decision::AwaitsBank(Accepted {
        sender_id,
        fee,
        payout,
    }))
}

/// The fee of a remittance, whole won, by where it goes.
pub fn fee(request: &RemittanceRequest, limits: &Limits) -> i64 {
    match request.receiver {
        Receiver::MemberReceiver(_) => limits.fee_to_member,
        Receiver::BankReceiver(_) => limits.fee_to_bank,
    }
}

fn check_sender(
    book: &Book,
    request: &RemittanceRequest,
    fee: i64,
    limits: &Limits,
) -> Result<Uuid, Reason> {
    let amount = valid_amount(request.amount)?;
    if amount > limits.remittance_max {
        return Err(Reason::RemittanceLimitExceeded);
    }
    debug_assert!(fee >= 0);
    let sender_id = Uuid::try_parse(&request.sender_id).map_err(|_| Reason::UnknownMember)?;
    let money = book.open_member(sender_id).ok_or(Reason::UnknownMember)?;
    if money.sent + amount > limits.remittance_daily {
        return Err(Reason::DailyLimitExceeded);
    }
    Ok(sender_id)
}

fn check_balance(book: &Book, sender_id: Uuid, needed: i64) -> Result<(), Reason> {
    let money = book.open_member(sender_id).ok_or(Reason::UnknownMember)?;
    if money.balance < needed {
        return Err(Reason::InsufficientFunds);
    }
    Ok(())
}

fn post_fee(
    book: &mut Book,
    entry_id: Uuid,
    kind: EntryKind,
    sender: Account,
    fee: i64,
    partition: i32,
) {
    if fee > 0 {
        let income = SystemAccount::new(AccountKind::RemittanceFee, Uuid::nil(), partition);
        book.post((entry_id, 1), kind, sender, income, fee);
    }
}

fn in_transit(partition: i32) -> SystemAccount {
    SystemAccount::new(AccountKind::InTransit, Uuid::nil(), partition)
}

/// The bank has confirmed a payout: the money has left our account.
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

/// The bank has refused a payout: amount and fee go back to the sender.
///
/// The cap is not minded: it is the member's own money that comes back.
pub fn refused(
    book: &mut Book,
    entry_id: Uuid,
    sender_id: Uuid,
    (amount, fee): (i64, i64),
    partition: i32,
) {
    let sender = book.money_back(sender_id);
    book.post(
        (entry_id, 0),
        EntryKind::TransitRefused,
        in_transit(partition),
        sender,
        amount,
    );
    if fee > 0 {
        let income = SystemAccount::new(AccountKind::RemittanceFee, Uuid::nil(), partition);
        book.post(
            (entry_id, 1),
            EntryKind::TransitRefused,
            income,
            sender,
            fee,
        );
    }
}

/// The bank has undone a payout that it had done: the amount is the sender's
/// again, straight from our account, whatever the cap says. Where the sender was
/// closed meanwhile, it is kept apart.
///
/// The fee stays: what it paid for was done, and the bank keeps its own.
pub fn reversed(
    book: &mut Book,
    entry_id: Uuid,
    sender_id: Uuid,
    amount: i64,
    bank_code: &str,
    partition: i32,
) {
    let sender = book.money_back(sender_id);
    let cash = SystemAccount::corporate_cash(bank_code, partition);
    book.post((entry_id, 0), EntryKind::Reversal, cash, sender, amount);
}
