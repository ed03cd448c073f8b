//! Places for questions to the banks whose an account is.

use std::collections::HashMap;
use std::time::Duration;

use mypay_bank::ClassTable;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::super::problem::Problem;

/// How many may ask one bank at once: these calls are not in the rate that is kept
/// for commands.
const PLACES: usize = 32;
/// How long one of the places is waited for. They are all taken for longer where a
/// bank hangs, and whoever stood in line would learn no more than that, later.
const A_MOMENT: Duration = Duration::from_secs(1);

/// The places, each bank's own: one that hangs for as long as its time-out lets it
/// holds up nobody else's accounts.
pub(crate) struct Asking(HashMap<String, Semaphore>);

impl Asking {
    /// Places for all banks of a table.
    pub(in crate::http) fn of(table: &ClassTable) -> Self {
        let banks = table.banks().map(|bank| bank.bank_code.clone());
        Self(banks.map(|code| (code, Semaphore::new(PLACES))).collect())
    }

    /// A place at a bank, until it is dropped; `bank_unavailable` where none is free
    /// within a moment.
    pub(super) async fn place(&self, bank_code: &str) -> Result<SemaphorePermit<'_>, Problem> {
        let places = self.0.get(bank_code).ok_or_else(busy)?;
        let place = tokio::time::timeout(A_MOMENT, places.acquire()).await;
        place
            .map_err(|_| busy())?
            .map_err(|closed| Problem::defect(&closed))
    }
}

fn busy() -> Problem {
    Problem::unavailable(
        "bank_unavailable",
        "as many as may ask the bank at once wait for its answer: try again",
    )
}

#[cfg(test)]
mod tests {
    use axum::http::header::RETRY_AFTER;
    use axum::response::IntoResponse;

    use super::*;

    #[tokio::test]
    async fn a_bank_that_hangs_holds_up_its_own_registrations_alone() {
        let asking = Asking::of(&ClassTable::embedded());
        let mut hanging = Vec::new();
        for _ in 0..PLACES {
            hanging.push(asking.place("004").await.unwrap());
        }
        let refused = asking.place("004").await.unwrap_err().into_response();
        assert_eq!(refused.status(), 503);
        assert!(refused.headers().contains_key(RETRY_AFTER));
        assert!(asking.place("020").await.is_ok());
        hanging.pop();
        assert!(asking.place("004").await.is_ok());
    }

    #[tokio::test]
    async fn a_place_that_becomes_free_within_a_moment_is_taken() {
        let asking = Asking::of(&ClassTable::embedded());
        let mut asked = Vec::new();
        for _ in 0..PLACES {
            asked.push(asking.place("004").await.unwrap());
        }
        let soon = async {
            tokio::time::sleep(A_MOMENT / 10).await;
            asked.clear();
        };
        let (place, ()) = tokio::join!(asking.place("004"), soon);
        assert!(place.is_ok());
    }
}
