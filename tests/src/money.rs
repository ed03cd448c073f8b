//! Balances, postings, and what they must add up to.

use std::collections::HashMap;

use anyhow::ensure;
use sqlx::Row;
use uuid::Uuid;

use crate::world::World;

/// What members must have, by a reckoning of the test's own.
#[derive(Debug, Clone, Default)]
pub struct Reckoning(HashMap<Uuid, i64>);

impl Reckoning {
    /// Members who begin with so much each.
    pub fn new(members: &[Uuid], won: i64) -> Self {
        Self(members.iter().map(|member| (*member, won)).collect())
    }

    /// Money goes from one to another.
    pub fn remit(&mut self, from: Uuid, to: Uuid, won: i64) {
        *self.0.entry(from).or_default() -= won;
        *self.0.entry(to).or_default() += won;
    }

    /// Money leaves a member.
    pub fn spend(&mut self, from: Uuid, won: i64) {
        *self.0.entry(from).or_default() -= won;
    }
}

impl World {
    /// What members have, whole won.
    pub async fn balances(&self, members: &[Uuid]) -> anyhow::Result<HashMap<Uuid, i64>> {
        let rows =
            sqlx::query("SELECT account_id, balance FROM money.account WHERE account_id = ANY($1)")
                .bind(members)
                .fetch_all(&self.pool)
                .await?;
        rows.iter()
            .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
            .collect()
    }

    /// Fails unless every member has what was reckoned.
    pub async fn balances_are(&self, reckoned: &Reckoning) -> anyhow::Result<()> {
        let members: Vec<Uuid> = reckoned.0.keys().copied().collect();
        let balances = self.balances(&members).await?;
        let wrong = reckoned
            .0
            .iter()
            .find(|(member, won)| balances.get(*member) != Some(*won));
        ensure!(
            wrong.is_none(),
            "a balance is not {wrong:?}, but {:?}",
            wrong.map(|(m, _)| balances.get(m))
        );
        Ok(())
    }

    /// Fails unless each account's balance is the sum of its postings, and all
    /// of them add up to zero: no money was made or lost.
    pub async fn ledger_adds_up(&self) -> anyhow::Result<()> {
        let off = sqlx::query(
            "WITH moved AS (
                 SELECT account_id, sum(amount) AS won
                   FROM (SELECT credit AS account_id, amount FROM money.posting
                          UNION ALL
                         SELECT debit, -amount FROM money.posting) p
                  GROUP BY account_id)
             SELECT coalesce(a.account_id, m.account_id)::text
                    || ': balance ' || coalesce(a.balance::text, '-')
                    || ', postings ' || coalesce(m.won::text, '-')
               FROM money.account a FULL JOIN moved m ON m.account_id = a.account_id
              WHERE coalesce(a.balance, 0) <> coalesce(m.won, 0)
              LIMIT 5",
        )
        .fetch_all(&self.pool)
        .await?;
        let off: Vec<String> = off
            .iter()
            .map(|row| row.try_get(0))
            .collect::<Result<_, _>>()?;
        ensure!(off.is_empty(), "balances are not their postings: {off:?}");
        let sum: i64 = sqlx::query("SELECT sum(balance)::bigint FROM money.account")
            .fetch_one(&self.pool)
            .await?
            .try_get(0)?;
        ensure!(
            sum == 0,
            "the balances of all accounts add up to {sum} won, not to zero"
        );
        Ok(())
    }

    /// How many postings each of these entries has; none is not in the map.
    pub async fn postings_of(&self, entries: &[Uuid]) -> anyhow::Result<HashMap<Uuid, i64>> {
        let rows = sqlx::query(
            "SELECT entry_id, count(*) FROM money.posting WHERE entry_id = ANY($1) GROUP BY 1",
        )
        .bind(entries)
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
            .collect()
    }

    /// How many of these messages a consumer has in `queue_log`, by status.
    pub async fn statuses(
        &self,
        consumer: &str,
        messages: &[Uuid],
    ) -> anyhow::Result<HashMap<String, i64>> {
        let rows = sqlx::query(
            "SELECT status::text, count(*) FROM queue_log
              WHERE consumer = $1 AND message_id = ANY($2) GROUP BY 1",
        )
        .bind(consumer)
        .bind(messages)
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
            .collect()
    }
}
