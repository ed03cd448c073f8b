//! What decides about money.
//!
//! Every function here is a function of (state, request, now): no I/O, no
//! clock, no randomness, no async. What a decision needs is loaded before, and
//! what it changes is written after, in one commit with the claim on the
//! message (crate `mypay-consumers`). So a decision can be repeated, and tested
//! with any sequence of requests.

pub mod account;
pub mod bank_answer;
pub mod book;
pub mod cancel;
pub mod closing;
pub mod commission;
pub mod firmbanking;
pub mod limits;
pub mod notice;
pub mod payment;
pub mod reason;
pub mod recharge;
pub mod remittance;
pub mod settlement;
pub mod text;
pub mod top_up;

#[cfg(test)]
mod sequences;

pub use account::{Account, AccountKind, SystemAccount};
pub use book::{Book, EntryKind, MemberMoney, Posting};
pub use limits::Limits;
pub use reason::Reason;

/// What a decision comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision<T> {
    /// Everything is done; the result event says `COMPLETED`.
    Completed(T),
    /// A business answer; nothing moved. The result event says `REJECTED`.
    Rejected(Reason),
    /// Money is reserved, and a bank must answer before there is a result.
    AwaitsBank(T),
}
