//! What can come of a call.

use chrono::{DateTime, Utc};

use crate::classes::Reason;
use crate::command::CommandError;

/// What is known of a transfer after a call about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The money has moved. It may still be reversed by a notice, days later.
    Done {
        /// The bank's own reference.
        bank_reference: String,
        /// Won.
        fee: i64,
        /// When, by the bank's clock.
        executed_at: DateTime<Utc>,
    },
    /// The money has not moved.
    Refused {
        /// The bank's code.
        code: String,
        /// Ours. Mind [`Reason::is_passing`].
        reason: Reason,
        /// Won.
        fee: i64,
    },
    /// The bank has it and has not decided: inquire later.
    InProgress,
    /// It may have moved or not: inquire. Never refund, never send under a new number.
    Unknown {
        /// What was seen.
        why: UnknownWhy,
    },
    /// Not a byte has left: it may be sent again, with the same number.
    NotSent {
        /// What was seen.
        why: NotSentWhy,
    },
    /// To an inquiry only: "no such transaction". Whether to believe it depends on
    /// the bank and its settling time, and is the caller's decision.
    NotFound,
}

/// Why it is not known what became of a call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnknownWhy {
    /// No answer in time.
    #[error("no answer in time")]
    TimedOut,
    /// The connection broke after it was made.
    #[error("the connection broke: {0}")]
    ConnectionBroke(String),
    /// A status that says nothing of the transfer (5xx, a redirect, ...).
    #[error("HTTP status {0}")]
    Status(u16),
    /// A body that cannot be read.
    #[error("the answer is unreadable: {0}")]
    Unreadable(String),
    /// A code that is missing from the bank's table.
    #[error("the code {0:?} is not in the bank's table")]
    CodeNotInTable(String),
    /// The answer is about another transaction.
    #[error("the answer is about another transaction: {0}")]
    OtherTransaction(String),
    /// A known code that makes no sense here, such as "no such transaction" to a transfer.
    #[error("the code {0:?} is no answer to this call")]
    CodeOutOfPlace(String),
}

impl UnknownWhy {
    /// A short code for tables and metrics.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::TimedOut => "timed_out",
            Self::ConnectionBroke(_) => "connection_broke",
            Self::Status(_) => "http_status",
            Self::Unreadable(_) => "unreadable",
            Self::CodeNotInTable(_) => "code_not_in_table",
            Self::OtherTransaction(_) => "other_transaction",
            Self::CodeOutOfPlace(_) => "code_out_of_place",
        }
    }
}

/// Why nothing was sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotSentWhy {
    /// No connection could be made.
    #[error("no connection: {0}")]
    NoConnection(String),
    /// The bank is not in the table: there is no contract.
    #[error("bank {0} is not in the table")]
    NoSuchBank(String),
    /// No bank could take such a command: a defect on our side.
    #[error(transparent)]
    Malformed(#[from] CommandError),
    /// The address of the bank is no URL, or the like.
    #[error("the request cannot be made: {0}")]
    Request(String),
}

impl NotSentWhy {
    /// Whether sending again later can help; false: somebody has to mend something.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::NoConnection(_))
    }
}

/// A query that brought no answer. Queries move nothing: they can be repeated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallFailed {
    /// Nothing was sent.
    #[error("not sent: {0}")]
    NotSent(#[from] NotSentWhy),
    /// No usable answer.
    #[error("no usable answer: {0}")]
    Unknown(#[from] UnknownWhy),
}

impl From<CallFailed> for Answer {
    fn from(failed: CallFailed) -> Self {
        match failed {
            CallFailed::NotSent(why) => Self::NotSent { why },
            CallFailed::Unknown(why) => Self::Unknown { why },
        }
    }
}

/// Whose an account is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HolderAnswer {
    /// Money can go there.
    Open {
        /// As the bank writes it.
        holder_name: String,
    },
    /// It exists and is closed.
    Closed {
        /// As the bank writes it.
        holder_name: String,
    },
    /// It does not exist.
    NoSuchAccount,
    /// The bank did not say: neither a match nor a mismatch.
    Unavailable {
        /// What was seen.
        why: CallFailed,
    },
}
