//! The journal, and the accounts that are not members'.

use std::collections::HashMap;

use mypay_decide::account::bank_owner;
use mypay_decide::{AccountKind, EntryKind};
use sqlx::PgConnection;

use crate::copy;
use crate::error::AuditError;
use crate::sorted::has_id;

/// One debit and one credit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Posting {
    /// The journal entry.
    pub entry: u128,
    /// The account whose balance goes down.
    pub debit: u128,
    /// The account whose balance goes up.
    pub credit: u128,
    /// Whole won.
    pub amount: i64,
    /// Which step it is.
    pub kind: i16,
    /// Its place in the entry.
    pub line: i16,
}

has_id!(Posting => entry);

impl Posting {
    /// What postings are sorted by: those of an entry and kind lie together.
    pub(crate) fn order(&self) -> (u128, i16, i16) {
        (self.entry, self.kind, self.line)
    }
}

/// Of the postings of an entry, those of one flow.
///
/// An entry has the id of its request, and a client may use one id for requests
/// of two flows: their kinds tell them apart. `kinds` are neighbours.
pub(crate) fn of_kinds<'a>(entry: &'a [Posting], kinds: &[EntryKind]) -> &'a [Posting] {
    let wanted = |posting: &Posting| kinds.iter().any(|kind| *kind as i16 == posting.kind);
    let from = entry.iter().take_while(|posting| !wanted(posting)).count();
    let count = entry[from..]
        .iter()
        .take_while(|posting| wanted(posting))
        .count();
    &entry[from..from + count]
}

/// An account that is not a member's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct System {
    /// What it stands for.
    pub kind: i16,
    /// The franchise, the bank, or nil.
    pub owner: u128,
    /// Whole won, credit-positive.
    pub balance: i64,
}

/// A side of a posting, as a check expects it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// A member's money.
    Member(u128),
    /// Where money goes that comes back to a member: its money, or, where it is
    /// closed, what is kept for it.
    Back(u128),
    /// Any slot of an account of ours.
    Ours(AccountKind, u128),
}

impl Side {
    /// Our corporate account at a bank.
    pub(crate) fn cash(bank_code: &str) -> Self {
        Side::Ours(AccountKind::CorporateCash, bank_owner(bank_code).as_u128())
    }
}

/// What is in the schema `money`.
#[derive(Default)]
pub(crate) struct Ledger {
    /// All postings, by entry, kind and line.
    pub postings: Vec<Posting>,
    /// The accounts that are not members'.
    pub system: HashMap<u128, System>,
}

impl Ledger {
    /// Whether an account is the one that is expected.
    pub(crate) fn is(&self, account: u128, side: Side) -> bool {
        match (side, self.system.get(&account)) {
            (Side::Member(member) | Side::Back(member), None) => member == account,
            (Side::Back(member), Some(system)) => {
                system.kind == AccountKind::Unclaimed.number() && system.owner == member
            }
            (Side::Ours(kind, owner), Some(system)) => {
                system.kind == kind.number() && system.owner == owner
            }
            _ => false,
        }
    }

    /// The sum of an account's slots, whole won, credit-positive.
    pub(crate) fn balance(&self, kind: AccountKind, owner: u128) -> i64 {
        self.system
            .values()
            .filter(|account| account.kind == kind.number() && account.owner == owner)
            .map(|account| account.balance)
            .sum()
    }
}

/// Loads the ledger.
pub(crate) async fn load(connection: &mut PgConnection) -> Result<Ledger, AuditError> {
    const POSTINGS: &str = "SELECT entry_id, debit, credit, amount, kind, line FROM money.posting";
    const SYSTEM: &str =
        "SELECT account_id, kind, owner, balance FROM money.account WHERE kind <> 1";
    let mut ledger = Ledger::default();
    copy::rows(connection, POSTINGS, |fields| {
        ledger.postings.push(Posting {
            entry: fields.id()?,
            debit: fields.id()?,
            credit: fields.id()?,
            amount: fields.i64()?,
            kind: fields.i16()?,
            line: fields.i16()?,
        });
        Ok(())
    })
    .await?;
    copy::rows(connection, SYSTEM, |fields| {
        let account = fields.id()?;
        let system = System {
            kind: fields.i16()?,
            owner: fields.id()?,
            balance: fields.i64()?,
        };
        ledger.system.insert(account, system);
        Ok(())
    })
    .await?;
    ledger.postings.sort_unstable_by_key(Posting::order);
    Ok(ledger)
}
