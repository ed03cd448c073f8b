//! A journal entry against what it ought to be.

use mypay_decide::{AccountKind, EntryKind};

use crate::ledger::{Ledger, Posting, Side};
use crate::rows::shown;

/// A line that an entry ought to have.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line {
    pub(super) kind: EntryKind,
    pub(super) debit: Side,
    pub(super) credit: Side,
    pub(super) amount: i64,
}

/// Our account for money that has left a balance and is not confirmed.
pub(super) const IN_TRANSIT: Side = Side::Ours(AccountKind::InTransit, 0);
/// Our income from remittances.
pub(super) const REMITTANCE_FEE: Side = Side::Ours(AccountKind::RemittanceFee, 0);

/// What is wrong with an entry; `None`: it is just what it ought to be.
pub(super) fn difference(ledger: &Ledger, found: &[Posting], expected: &[Line]) -> Option<String> {
    if found.len() != expected.len() {
        return Some(match (found.len(), expected.len()) {
            (0, _) => "the money never moved: there is no posting".to_string(),
            (_, 0) => format!("money moved that should not: {}", sum(found)),
            (found, expected) => format!("{found} postings instead of {expected}"),
        });
    }
    found.iter().zip(expected).find_map(|(posting, line)| {
        if posting.kind != line.kind as i16 {
            Some(format!("line {} is of another kind", posting.line))
        } else if posting.amount != line.amount {
            Some(format!(
                "{} won moved instead of {}",
                posting.amount, line.amount
            ))
        } else if !ledger.is(posting.debit, line.debit) {
            Some(format!(
                "debited {} instead of {}",
                shown(posting.debit),
                side(line.debit)
            ))
        } else if !ledger.is(posting.credit, line.credit) {
            Some(format!(
                "credited {} instead of {}",
                shown(posting.credit),
                side(line.credit)
            ))
        } else {
            None
        }
    })
}

fn sum(postings: &[Posting]) -> String {
    let amounts: Vec<String> = postings
        .iter()
        .take(4)
        .map(|posting| format!("{} won", posting.amount))
        .collect();
    amounts.join(", ")
}

fn side(side: Side) -> String {
    match side {
        Side::Member(member) | Side::Back(member) => shown(member),
        Side::Ours(kind, 0) => kind.name().to_string(),
        Side::Ours(kind, owner) => format!("{} of {}", kind.name(), shown(owner)),
    }
}
