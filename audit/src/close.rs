//! The daily close (대사): our commands of a business date against the bank's own
//! totals of that day, and our corporate cash by the ledger against its balance.
//!
//! The ledger has no business dates: an entry stands where it was posted. So the
//! balance of a day's end is the balance now, without what later days moved and
//! with what the day moved and is yet to be posted; all of it from one snapshot.

mod compare;
mod ours;

use chrono::NaiveDate;
use mypay_bank::{BankClient, ClientConfig};
use serde::Serialize;
use sqlx::PgPool;

pub use compare::{Difference, InFlight};

use crate::error::AuditError;

/// How a bank's day closes.
#[derive(Debug, Clone, Serialize)]
pub struct DayClose {
    /// The bank.
    pub bank_code: String,
    /// The business date.
    pub date: NaiveDate,
    /// What was compared.
    pub compared: usize,
    /// Where the two sides differ, by a won or a command.
    pub differences: Vec<Difference>,
    /// What is not settled yet: while there is something, the day cannot close.
    pub in_flight: InFlight,
    /// Why the bank's side could not be had.
    pub could_not: Option<String>,
}

impl DayClose {
    /// Whether the day is closed: nothing differs, and nothing is under way.
    pub fn is_closed(&self) -> bool {
        self.differences.is_empty() && self.could_not.is_none() && !self.is_in_flight()
    }

    /// Whether it is too early to say.
    pub fn is_in_flight(&self) -> bool {
        self.in_flight != InFlight::default()
    }
}

/// Closes a day at all banks with a contract, or at one.
///
/// # Errors
/// [`AuditError`] where the database could not be read. A bank that does not
/// answer is told in its [`DayClose`].
pub async fn close(
    pool: &PgPool,
    bank_url: &str,
    date: NaiveDate,
    only: Option<&str>,
) -> Result<Vec<DayClose>, AuditError> {
    let client = ClientConfig::of_environment(bank_url).and_then(BankClient::new);
    let mut closes = Vec::new();
    for (bank_code, account) in ours::accounts(pool).await? {
        if only.is_some_and(|only| only != bank_code) {
            continue;
        }
        let mut close = DayClose {
            bank_code: bank_code.clone(),
            date,
            compared: 0,
            differences: Vec::new(),
            in_flight: InFlight::default(),
            could_not: None,
        };
        // The bank first: what it has by then, we have or are about to hear.
        let theirs = match &client {
            Ok(client) => client.day_totals(&bank_code, date).await,
            Err(error) => {
                close.could_not = Some(error.to_string());
                closes.push(close);
                continue;
            }
        };
        let ours = ours::load(pool, &bank_code, &account, date).await?;
        match theirs {
            Ok(theirs) => {
                (close.compared, close.differences) = compare::compare(&ours, &theirs, &account);
                close.in_flight = compare::in_flight(&ours, &theirs);
            }
            Err(error) => close.could_not = Some(error.to_string()),
        }
        closes.push(close);
    }
    Ok(closes)
}
