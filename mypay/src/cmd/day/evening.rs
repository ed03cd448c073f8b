//! How the day ends: what came back or was kept, and the close with the banks.

use std::time::{Duration, Instant};

use chrono::NaiveDate;
use mypay_audit::close::{DayClose, close};
use mypay_stack::Endpoints;
use serde::Serialize;
use sqlx::Row;

/// How long notices and late answers are waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// What happened besides requests and results, counted.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(super) struct Happened {
    /// Payouts to other banks that came back by a notice.
    pub(super) reversals: i64,
    /// Cancels, in whole and in part.
    pub(super) cancels: i64,
    /// Nets that a run kept because they were not above zero.
    pub(super) not_positive: i64,
    /// Nets that a run kept because staff had said so.
    pub(super) on_hold: i64,
    /// Payouts to franchises.
    pub(super) payouts: i64,
    /// Commands that met a bank in its maintenance window, and went later.
    pub(super) rested: i64,
    /// Remittances and payments that recharged first what they lacked.
    pub(super) top_ups: i64,
}

impl Happened {
    pub(super) async fn read(database_url: &str) -> anyhow::Result<Self> {
        let pool = mypay_database::reporting_pool(database_url, 1)?;
        let row = sqlx::query(
            "SELECT (SELECT count(*) FROM banking.reversal),
                    (SELECT count(*) FROM payment.cancel),
                    (SELECT count(*) FROM settlement.payout WHERE carried_for = 'not_positive'),
                    (SELECT count(*) FROM settlement.payout WHERE carried_for = 'on_hold'),
                    (SELECT count(*) FROM settlement.payout WHERE state = 'COMPLETED'),
                    (SELECT count(DISTINCT firmbanking_id) FROM banking.firmbanking_history
                      WHERE detail LIKE 'the bank rests%'),
                    (SELECT count(*) FROM remittance.top_up WHERE state = 'TOPPED_UP')
                  + (SELECT count(*) FROM payment.top_up WHERE state = 'TOPPED_UP')",
        )
        .fetch_one(&pool)
        .await?;
        Ok(Self {
            reversals: row.try_get(0)?,
            cancels: row.try_get(1)?,
            not_positive: row.try_get(2)?,
            on_hold: row.try_get(3)?,
            payouts: row.try_get(4)?,
            rested: row.try_get(5)?,
            top_ups: row.try_get(6)?,
        })
    }

    pub(super) fn since(self, before: Self) -> Self {
        Self {
            reversals: self.reversals - before.reversals,
            cancels: self.cancels - before.cancels,
            not_positive: self.not_positive - before.not_positive,
            on_hold: self.on_hold - before.on_hold,
            payouts: self.payouts - before.payouts,
            rested: self.rested - before.rested,
            top_ups: self.top_ups - before.top_ups,
        }
    }

    /// What of it a day must show and did not: a day is green for what it shows.
    pub(super) fn missing(&self) -> Vec<&'static str> {
        let missing = self.told().into_iter().filter(|(count, _)| *count <= 0);
        missing.map(|(_, what)| what).collect()
    }

    /// For people.
    pub(super) fn print(&self) {
        println!("also on this day");
        for (count, what) in self.told() {
            println!("  {count:>6}  {what}");
        }
        println!();
    }

    fn told(&self) -> [(i64, &'static str); 7] {
        [
            (
                self.top_ups,
                "remittances and payments topped up on the way",
            ),
            (self.cancels, "cancels of payments, in whole or in part"),
            (
                self.rested,
                "commands met a bank in its maintenance window, and went later",
            ),
            (
                self.reversals,
                "payouts came back from another bank, by its notice",
            ),
            (self.payouts, "payouts to franchises"),
            (
                self.not_positive,
                "nets below zero, carried to the next run",
            ),
            (
                self.on_hold,
                "nets held back by staff, and paid by a retry after the release",
            ),
        ]
    }
}

/// Closes the days from one to another with all banks, once nothing is in flight
/// any more.
pub(super) async fn closes(
    endpoints: &Endpoints,
    (from, to): (NaiveDate, NaiveDate),
) -> anyhow::Result<Vec<DayClose>> {
    let pool = mypay_database::reporting_pool(&endpoints.database_url, 2)?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut closes = Vec::new();
        for date in from.iter_days().take_while(|date| *date <= to) {
            closes.extend(close(&pool, &endpoints.bank_url, date, None).await?);
        }
        let open = closes.iter().any(|close| !close.is_closed());
        if !open || Instant::now() >= deadline {
            return Ok(closes);
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_names_what_it_did_not_show() {
        let all = Happened {
            reversals: 1,
            cancels: 1,
            not_positive: 1,
            on_hold: 1,
            payouts: 1,
            rested: 1,
            top_ups: 1,
        };
        assert!(all.missing().is_empty());
        let before = Happened {
            rested: 1,
            ..Happened::default()
        };
        let missing = all.since(before).missing();
        assert_eq!(missing.len(), 1);
        assert!(missing[0].contains("maintenance window"), "{missing:?}");
        assert_eq!(Happened::default().missing().len(), 7);
    }
}
