//! What goes over the wire, for both sides: JSON, numbers of transfers as six digits.

mod day;

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

use crate::account::BankAccount;
pub use day::{AccountClose, DayTotals, Notice, NoticePage, Total};

/// `POST /banks/{bank}/transfers`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransferRequest {
    /// `YYYY-MM-DD`.
    pub business_date: String,
    /// Six digits.
    pub number: String,
    /// Debited.
    pub from: BankAccount,
    /// Credited.
    pub to: BankAccount,
    /// Won.
    pub amount: i64,
}

/// The answer to a transfer and to an inquiry about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransferAnswer {
    /// The bank that speaks.
    pub bank_code: String,
    /// Echoed, so that an answer to another question is not taken for ours.
    pub business_date: String,
    /// Echoed.
    pub number: String,
    /// What it means is in the table of classes.
    pub code: String,
    /// For people; never parsed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// The bank's own reference, when done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bank_reference: Option<String>,
    /// Won that the bank took for it.
    #[serde(default)]
    pub fee: i64,
    /// When the money moved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub executed_at: Option<DateTime<Utc>>,
}

/// Whose account it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccountKind {
    /// Somebody's.
    #[default]
    Personal,
    /// Ours: the bank takes its fees from it.
    Corporate,
}

/// Whether an account can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccountStatus {
    /// It can.
    #[default]
    Open,
    /// It cannot, in either direction.
    Closed,
}

/// `PUT /banks/{bank}/accounts/{account_number}`; dummy bank only.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccountSeed {
    /// In the batch form; in the single form the path says it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub account_number: String,
    /// The holder.
    pub holder_name: String,
    /// Won; counts only when the account is new, so that seeding twice makes no money.
    #[serde(default)]
    pub opening_balance: i64,
    /// Counts only when the account is new.
    #[serde(default)]
    pub kind: AccountKind,
    /// Set each time.
    #[serde(default)]
    pub status: AccountStatus,
}

/// `GET /banks/{bank}/accounts/{account_number}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountInfo {
    /// The bank.
    pub bank_code: String,
    /// The account.
    pub account_number: String,
    /// The holder.
    pub holder_name: String,
    /// Whose it is.
    pub kind: AccountKind,
    /// Whether it can be used.
    pub status: AccountStatus,
    /// Won.
    pub balance: i64,
}

/// What a statement line is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LineKind {
    /// The money with which the account was opened.
    Opening,
    /// A transfer, with the fee if this account paid it.
    Transfer,
    /// A fee for a transfer between other accounts.
    Fee,
    /// A transfer that came back.
    Reversal,
}

/// One line of an account's statement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatementLine {
    /// 1, 2, 3 ... without gaps: the cursor.
    pub line_number: i64,
    /// What it is about.
    pub kind: LineKind,
    /// The day to which it counts in the totals.
    pub business_date: NaiveDate,
    /// The executing bank of the transfer; null for the opening.
    pub transfer_bank_code: Option<String>,
    /// The business date of the transfer itself (a reversal comes on a later one).
    pub transfer_date: Option<NaiveDate>,
    /// The number of the transfer, six digits.
    pub number: Option<String>,
    /// The other side.
    pub counterparty: Option<BankAccount>,
    /// Won: positive came in, negative went out. Without the fee.
    pub amount: i64,
    /// Won that the bank took on top.
    pub fee: i64,
    /// `balance_after` of the line before, + amount - fee.
    pub balance_after: i64,
    /// When.
    pub executed_at: DateTime<Utc>,
}

/// A page of a statement.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StatementPage {
    /// In the order of their numbers.
    pub lines: Vec<StatementLine>,
    /// Where the next page begins (`after`); null at the end.
    pub next: Option<i64>,
}
