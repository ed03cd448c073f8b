//! What the banks did, by their own book.

use std::collections::{HashMap, HashSet};

use anyhow::{Context, ensure};
use sqlx::{PgPool, Row};

use super::ledger::{Account, Command, key};

/// From, to and amount: requests are drawn so that this tells which is meant.
type Transfer = (Account, Account, i64);

/// A number that a bank knows: bank, business date, number.
pub type Number = (String, String, i32);

/// A round's transfers, as the banks have them.
#[derive(Debug, Default)]
pub struct Truth(HashMap<Transfer, Vec<(bool, bool)>>);

impl Truth {
    /// Reads the transfers that were not read before.
    pub async fn read(pool: &PgPool, read: &mut HashSet<Number>) -> anyhow::Result<Self> {
        let rows = sqlx::query(
            "SELECT t.bank_code, t.business_date::text, t.number, t.from_bank, t.from_account, t.to_bank, t.to_account,
                    t.amount, t.status,
                    EXISTS (SELECT FROM dummy_bank.notice n
                             WHERE n.bank_code = t.bank_code AND n.number = t.number
                               AND n.business_date = t.business_date)
               FROM dummy_bank.transfer t",
        )
        .fetch_all(pool)
        .await?;
        let mut truth = Self::default();
        for row in rows {
            if !read.insert((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?)) {
                continue;
            }
            let transfer = (
                (row.try_get(3)?, row.try_get(4)?),
                (row.try_get(5)?, row.try_get(6)?),
                row.try_get(7)?,
            );
            let status: String = row.try_get(8)?;
            ensure!(status != "in_progress", "{transfer:?} is in progress");
            let did = (status == "done", row.try_get(9)?);
            truth.0.entry(transfer).or_default().push(did);
        }
        Ok(truth)
    }

    /// What the bank did with a command: whether it was done, whether undone. Each
    /// transfer answers for one command.
    pub fn of(&mut self, command: &Command) -> anyhow::Result<(bool, bool)> {
        let transfer = (key(&command.from), key(&command.to), command.amount);
        let found = self.0.get_mut(&transfer).and_then(Vec::pop);
        if command.mismatch {
            ensure!(
                found.is_none(),
                "a bank was commanded, and the holder is another: {command:?}"
            );
            return Ok((false, false));
        }
        found.with_context(|| format!("no bank ever got {command:?}"))
    }

    /// Fails if a bank did something that nobody had asked for.
    pub fn is_used_up(&self) -> anyhow::Result<()> {
        let left: Vec<_> = self.0.iter().filter(|(_, did)| !did.is_empty()).collect();
        ensure!(left.is_empty(), "banks did what nobody asked for: {left:?}");
        Ok(())
    }
}
