//! What a bank tells about a day: totals and notices.

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

/// A count, an amount, and the fees taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Total {
    /// Transfers.
    pub count: i64,
    /// Won.
    pub amount: i64,
    /// Won.
    pub fees: i64,
}

/// A corporate account at the close of a day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountClose {
    /// The account.
    pub account_number: String,
    /// The sum of all lines up to and including the day.
    pub closing_balance: i64,
    /// The balance now.
    pub balance: i64,
}

/// `GET /banks/{bank}/day-totals/{date}`: the commands that this bank executed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DayTotals {
    /// The bank.
    pub bank_code: String,
    /// The day.
    pub business_date: NaiveDate,
    /// Done, from a corporate account.
    pub outgoing: Total,
    /// Done, from somebody else's account to a corporate one.
    pub incoming: Total,
    /// Done, between others.
    pub other: Total,
    /// Not decided yet; no money has moved.
    pub in_progress: Total,
    /// Refused and recorded; no money has moved.
    pub refused: Total,
    /// Notified on this day that they came back, whatever day they were of.
    pub reversed: Total,
    /// Our accounts there.
    pub accounts: Vec<AccountClose>,
}

/// A notice of the bank: a transfer that was done has come back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// The bank.
    pub bank_code: String,
    /// The day of the notice.
    pub notice_date: NaiveDate,
    /// 1, 2, 3 ... by bank and day, without gaps: a gap is a notice that got lost.
    pub notice_number: i64,
    /// The business date of the reversed transfer.
    pub business_date: NaiveDate,
    /// The number of the reversed transfer, six digits.
    pub number: String,
    /// Won that came back. The fee does not come back.
    pub amount: i64,
    /// When.
    pub reversed_at: DateTime<Utc>,
}

/// `GET /banks/{bank}/notices?date=&after=&limit=`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NoticePage {
    /// In the order of their numbers, perhaps with gaps.
    pub notices: Vec<Notice>,
    /// The highest number given on that day; 0: none. It shows a gap at the end.
    pub last_number: i64,
}
