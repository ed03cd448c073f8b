//! A transfer as the bank keeps it.

use chrono::{DateTime, NaiveDate, Utc};

use crate::account::BankAccount;
use crate::classes::Reason;
use crate::command::{TransferCommand, six_digits};

/// A transfer's name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct TransferKey {
    pub(crate) bank_code: String,
    pub(crate) business_date: NaiveDate,
    pub(crate) number: u32,
}

impl std::fmt::Display for TransferKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{}/{}/{}",
            self.bank_code,
            self.business_date,
            six_digits(self.number)
        )
    }
}

impl From<&TransferCommand> for TransferKey {
    fn from(command: &TransferCommand) -> Self {
        Self {
            bank_code: command.bank_code.clone(),
            business_date: command.business_date,
            number: command.number,
        }
    }
}

/// Where a transfer stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// No money has moved.
    InProgress {
        due_at: DateTime<Utc>,
        /// What the fault wants it to become; `None`: whatever the accounts say.
        planned: Option<Reason>,
    },
    Done {
        executed_at: DateTime<Utc>,
        fee: i64,
    },
    Refused(Reason),
}

/// What the faults ask of the execution of one transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Instructions {
    pub(crate) refuse: Option<Reason>,
    pub(crate) in_progress_until: Option<DateTime<Utc>>,
    pub(crate) hidden_until: Option<DateTime<Utc>>,
    pub(crate) reverse_at: Option<DateTime<Utc>>,
    pub(crate) notice_lost: bool,
}

/// A recorded transfer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Transfer {
    pub(crate) key: TransferKey,
    pub(crate) content_hash: [u8; 32],
    pub(crate) from: BankAccount,
    pub(crate) to: BankAccount,
    pub(crate) amount: i64,
    pub(crate) state: State,
    pub(crate) hidden_until: Option<DateTime<Utc>>,
    pub(crate) reverse_at: Option<DateTime<Utc>>,
    pub(crate) notice_lost: bool,
}
