//! The consumers of all flows, and the workers at the bank.
//!
//! One file a flow says what happens to its messages; [`runtime`] is the way
//! that all of them go: poll, decode, fence, claim, load, decide, write,
//! commit, emit.

pub mod bank_result;
pub mod bank_reversal;
pub mod closing;
pub mod contracts;
pub mod firmbanking;
pub mod payment;
pub mod recharge;
pub mod remittance;
pub mod runtime;
pub mod settlement;
pub mod top_up;
mod undo;
pub mod worker;

#[cfg(test)]
mod watched;

pub use runtime::metrics;
pub use runtime::pipeline::{Pipeline, Settings};
