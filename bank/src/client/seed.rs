//! Calls that only the dummy bank has: accounts out of nothing, and faults.

use std::time::Duration;

use reqwest::Method;

use super::BankClient;
use super::answer::{CallFailed, UnknownWhy};
use super::call::{Limits, SMALL};
use crate::dummy::Dial;
use crate::wire::AccountSeed;

/// The most accounts in one call.
pub const SEED_BATCH: usize = 5_000;

impl BankClient {
    /// Opens accounts at a dummy bank, in as many calls as it takes.
    ///
    /// Seeding again changes holders and states and makes no money.
    pub async fn seed_accounts(&self, bank: &str, seeds: &[AccountSeed]) -> Result<(), CallFailed> {
        let limits = Limits {
            timeout: Duration::from_secs(60),
            body: SMALL,
        };
        for batch in seeds.chunks(SEED_BATCH) {
            let reply = self
                .call(Method::POST, bank, "/accounts:batch", Some(&batch), limits)
                .await?;
            if !reply.status.is_success() {
                let said = String::from_utf8_lossy(&reply.body).into_owned();
                return Err(UnknownWhy::Unreadable(format!("{}: {said}", reply.status)).into());
            }
        }
        Ok(())
    }

    /// Sets the faults of the dummy bank at the base URL.
    pub async fn dial_faults(&self, dial: &Dial) -> Result<(), CallFailed> {
        let url = format!("{}/faults", self.config.base_url.trim_end_matches('/'));
        let response = self
            .http
            .put(url)
            .json(dial)
            .timeout(Duration::from_secs(10))
            .send()
            .await;
        let status = response
            .map_err(|e| UnknownWhy::ConnectionBroke(e.to_string()))?
            .status();
        if status.is_success() {
            Ok(())
        } else {
            Err(UnknownWhy::Status(status.as_u16()).into())
        }
    }
}
