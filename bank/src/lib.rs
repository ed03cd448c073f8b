//! The bank client, the table of answer codes, and the dummy bank.
//!
//! [`client`] speaks to a bank and sorts every possible answer, silence
//! included, into [`client::Answer`]. [`classes`] is the data that says what a
//! bank's code means. [`dummy`] is a bank to talk to: a server of its own that
//! keeps its own truth, and lies, stalls and breaks off as told.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod account;
pub mod classes;
pub mod client;
pub mod command;
pub mod dummy;
pub mod rest_window;
pub mod wire;

pub use account::BankAccount;
pub use classes::{Class, ClassTable, Reason};
pub use client::{Answer, BankClient, ClientConfig, HolderAnswer};
pub use command::TransferCommand;
