//! Firmbanking: real money from one bank account to another.

use mypay_schemas::firmbanking::{
    BankAccount, FirmbankingRequest, PURPOSE_RECHARGE, PURPOSE_UNDO, RESERVED,
};
use mypay_schemas::identity::derive;
use uuid::Uuid;

use crate::Reason;
use crate::account::{AccountKind, SystemAccount};
use crate::book::{Book, EntryKind, valid_amount};
use crate::text::unseen;

/// How many digits an account number has; as `mypay_bank::BankAccount` has it.
const ACCOUNT_NUMBER_DIGITS: std::ops::RangeInclusive<usize> = 6..=20;
/// The longest account number as people write it, in bytes.
const ACCOUNT_NUMBER_WRITTEN_MAX: usize = 64;
/// The longest name of an account's holder, in characters.
pub const HOLDER_NAME_MAX: usize = 100;
/// The longest purpose, in characters.
const PURPOSE_MAX: usize = 40;

/// What a request of another flow asked for, where one stands behind a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Which flow, as the command's purpose.
    pub purpose: &'static str,
    /// The amount it asked for, whole won.
    pub amount: i64,
    /// The account that is not ours: the one that a recharge or an undo draws from,
    /// the one a payout goes to.
    pub account: BankAccount,
    /// The bank that is to be commanded.
    pub from_bank: String,
    /// Whose account a payout must go to.
    pub holder_name: Option<String>,
}

/// A bank contract as a command sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contract {
    /// Our corporate account's number at that bank.
    pub corporate_account: String,
    /// Whether it is in force.
    pub in_force: bool,
}

/// The accounts of a command that may go to the bank.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// The account to debit; its bank is the one that is commanded.
    pub from: BankAccount,
    /// The account to credit.
    pub to: BankAccount,
    /// Whether that one is ours, too, as the contracts are now.
    pub to_ours: bool,
}

/// Decides whether a command may go to the bank.
///
/// `contract_of` gives the contract with a bank. The purposes of our own flows
/// are taken only with such a request behind them: otherwise anybody who can
/// write to the topic could draw money in a flow's name. Their commands move our
/// money on the account of the contract as it is now: the message names the one
/// of the instant it was written, and the contract may have been changed since.
pub fn decide<'a>(
    request: &FirmbankingRequest,
    origin: Option<&Origin>,
    contract_of: impl Fn(&str) -> Option<&'a Contract>,
) -> Result<Command, Reason> {
    if is_reserved(&request.purpose) {
        // Before all else: what is not a flow's gets no result either, which that
        // flow would take for an answer.
        let origin = origin.filter(|origin| is_of_flow(request, origin));
        let origin = origin.ok_or(Reason::UnknownOrigin)?;
        return of_flow(request, origin, contract_of);
    }
    valid_amount(request.amount)?;
    let purpose = request.purpose.as_str();
    if purpose.is_empty()
        || purpose.chars().count() > PURPOSE_MAX
        || purpose.contains(char::is_control)
    {
        return Err(Reason::InvalidPurpose);
    }
    if let Some(holder_name) = &request.to_holder_name
        && (holder_name.chars().count() > HOLDER_NAME_MAX
            || holder_name.contains(char::is_control)
            || unseen(holder_name).is_some())
    {
        return Err(Reason::InvalidHolderName);
    }
    let from = normalised(&request.from.bank_code, &request.from.account_number)?;
    let to = normalised(&request.to.bank_code, &request.to.account_number)?;
    if from == to {
        return Err(Reason::SameAccount);
    }
    let contract = in_force(contract_of(&from.bank_code))?;
    // A direct command moves our own money only; drawing from a member's account
    // needs a recharge.
    if from.account_number != contract.corporate_account {
        return Err(Reason::NotOurAccount);
    }
    let to_ours = is_ours(contract_of(&to.bank_code), &to);
    named(request, to_ours)?;
    Ok(Command { from, to, to_ours })
}

/// Nothing goes to somebody's account before its bank was asked whose it is: so it is
/// said whose it must be. Our own accounts are known.
fn named(request: &FirmbankingRequest, to_ours: bool) -> Result<(), Reason> {
    let name = request.to_holder_name.as_deref().unwrap_or_default();
    if !to_ours && name.trim().is_empty() {
        return Err(Reason::MissingHolderName);
    }
    Ok(())
}

/// Whether a command in a flow's name is what the flow asked for.
fn is_of_flow(request: &FirmbankingRequest, origin: &Origin) -> bool {
    let (from, to) = (&request.from, &request.to);
    let accounts_fit = if draws(&request.purpose) {
        is_same(from, &origin.account) && to.bank_code == from.bank_code
    } else {
        is_same(to, &origin.account)
    };
    accounts_fit
        && origin.purpose == request.purpose
        && origin.amount == request.amount
        && origin.from_bank == from.bank_code
        && origin.holder_name == request.to_holder_name
}

/// Whether two accounts are one, however their numbers are written.
fn is_same(one: &BankAccount, other: &BankAccount) -> bool {
    one.bank_code == other.bank_code
        && compact(&one.account_number).eq(compact(&other.account_number))
}

/// An account number without what people put between its digits.
fn compact(account_number: &str) -> impl Iterator<Item = char> {
    let written = account_number.chars();
    written.filter(|character| !matches!(character, '-' | ' '))
}

/// A command that a flow asked for. That is answered even where no bank could take it:
/// the flow would wait for ever. How the message writes the accounts does not matter,
/// or a forged one could have the flow's own command refused.
fn of_flow<'a>(
    request: &FirmbankingRequest,
    origin: &Origin,
    contract_of: impl Fn(&str) -> Option<&'a Contract>,
) -> Result<Command, Reason> {
    let theirs = normalised(&origin.account.bank_code, &origin.account.account_number)?;
    let contract = in_force(contract_of(&origin.from_bank))?;
    let ours = BankAccount {
        bank_code: origin.from_bank.clone(),
        account_number: contract.corporate_account.clone(),
    };
    let (from, to) = if draws(&request.purpose) {
        (theirs, ours)
    } else {
        (ours, theirs)
    };
    let to_ours = is_ours(contract_of(&to.bank_code), &to);
    // Nobody is paid on an account of ours: no flow would book what came in there.
    if to_ours != draws(&request.purpose) {
        return Err(Reason::ReceiverIsOurs);
    }
    if from == to {
        return Err(Reason::SameAccount);
    }
    named(request, to_ours)?;
    Ok(Command { from, to, to_ours })
}

fn is_ours(contract: Option<&Contract>, account: &BankAccount) -> bool {
    contract.is_some_and(|contract| contract.corporate_account == account.account_number)
}

fn in_force(contract: Option<&Contract>) -> Result<&Contract, Reason> {
    contract
        .filter(|contract| contract.in_force)
        .ok_or(Reason::NoContract)
}

/// A command that a bank has answered, as far as the ledger cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answered<'a> {
    /// The command.
    pub firmbanking_id: Uuid,
    /// What it was for.
    pub purpose: &'a str,
    /// The bank that was commanded.
    pub from_bank: &'a str,
    /// The bank of the receiving account, where that is ours too.
    pub to_ours: Option<&'a str>,
    /// Whole won.
    pub amount: i64,
}

impl Answered<'_> {
    /// The bank did it: its fee, and the money where no flow posts that.
    pub fn done(&self, book: &mut Book, fee: i64) {
        self.charged(book, fee);
        if !is_reserved(self.purpose) {
            let entry_id = derive(self.firmbanking_id, "transfer");
            let kind = EntryKind::Transfer;
            book.post(
                (entry_id, 0),
                kind,
                self.receiver(),
                self.cash(),
                self.amount,
            );
        }
    }

    /// The bank took its fee for the command, whole won, whichever way it went.
    pub fn charged(&self, book: &mut Book, fee: i64) {
        if fee > 0 {
            let expense = SystemAccount::new(AccountKind::FirmbankingFee, Uuid::nil(), 0);
            let entry_id = derive(self.firmbanking_id, "fee");
            let kind = EntryKind::FirmbankingFee;
            book.post((entry_id, 0), kind, expense, self.cash(), fee);
        }
    }

    /// The bank has undone it: the money is back where no flow posts that.
    pub fn reversed(&self, book: &mut Book) {
        if !is_reserved(self.purpose) {
            // Not as a flow's: a client may use one id for requests of two flows.
            let entry_id = direct_reversal_id(self.firmbanking_id);
            let kind = EntryKind::Reversal;
            book.post(
                (entry_id, 0),
                kind,
                self.cash(),
                self.receiver(),
                self.amount,
            );
        }
    }

    fn cash(&self) -> SystemAccount {
        SystemAccount::corporate_cash(self.from_bank, 0)
    }

    /// Who gets what a direct command of staff moves: our account at that bank, or
    /// somebody of whom the ledger knows nothing.
    fn receiver(&self) -> SystemAccount {
        match self.to_ours {
            Some(bank_code) => SystemAccount::corporate_cash(bank_code, 0),
            None => SystemAccount::new(AccountKind::Suspense, Uuid::nil(), 0),
        }
    }
}

/// The journal entry that undoes a direct command.
pub fn direct_reversal_id(firmbanking_id: Uuid) -> Uuid {
    derive(firmbanking_id, "transfer reversal")
}

/// Whether a command of this purpose draws money from another's account to ours: a
/// recharge, or what undoes a payout. All others pay out.
pub fn draws(purpose: &str) -> bool {
    matches!(purpose, PURPOSE_RECHARGE | PURPOSE_UNDO)
}

/// Whether a purpose is kept for ourselves.
pub fn is_reserved(purpose: &str) -> bool {
    RESERVED.contains(&purpose)
}

/// An account with its number reduced to its 6 to 20 digits.
///
/// People write account numbers with dashes and spaces; banks take digits.
pub fn normalised(bank_code: &str, account_number: &str) -> Result<BankAccount, Reason> {
    let bank_ok = bank_code.len() == 3 && bank_code.bytes().all(|byte| byte.is_ascii_digit());
    if !bank_ok {
        return Err(Reason::InvalidBankCode);
    }
    // Before the copy, so that a megabyte of dashes is not gone through.
    if account_number.len() > ACCOUNT_NUMBER_WRITTEN_MAX {
        return Err(Reason::InvalidAccountNumber);
    }
    let digits: String = compact(account_number).collect();
    let number_ok = ACCOUNT_NUMBER_DIGITS.contains(&digits.len())
        && digits.bytes().all(|byte| byte.is_ascii_digit());
    if !number_ok {
        return Err(Reason::InvalidAccountNumber);
    }
    Ok(BankAccount {
        bank_code: bank_code.to_string(),
        account_number: digits,
    })
}

#[cfg(test)]
mod tests;
