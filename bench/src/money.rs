//! Whether the money is where it must be.

use std::collections::HashMap;

use anyhow::ensure;
use mypay_schemas::Flow;
use mypay_schemas::identity::lower_bound;
use sqlx::{PgPool, Row};
use uuid::Uuid;

use crate::requests::Ready;
use crate::town::Town;

/// What members of a town must have beyond what they began with.
#[derive(Debug, Default)]
pub struct Books(HashMap<u64, i64>);

impl Books {
    /// A request was granted.
    pub fn granted(&mut self, flow: Flow, request: &Asked) {
        // A recharge is credited when its bank has confirmed it: not here.
        if flow == Flow::Recharge {
            return;
        }
        *self.0.entry(request.from).or_default() -= request.amount;
        if let Some(to) = request.to {
            *self.0.entry(to).or_default() += request.amount;
        }
    }

    /// Fails unless each member that was touched has what it must have, and all
    /// balances of the whole ledger add up to zero.
    pub async fn agree(&self, pool: &PgPool, town: &Town, opening: i64) -> anyhow::Result<()> {
        let (ids, balances): (Vec<Uuid>, Vec<i64>) = self
            .0
            .iter()
            .map(|(member, change)| (town.member(*member), opening + change))
            .unzip();
        let wrong: i64 = sqlx::query(
            "SELECT count(*) FROM unnest($1::uuid[], $2::bigint[]) AS e(id, balance)
               LEFT JOIN money.account a ON a.account_id = e.id
              WHERE a.balance IS DISTINCT FROM e.balance",
        )
        .bind(&ids)
        .bind(&balances)
        .fetch_one(pool)
        .await?
        .try_get(0)?;
        ensure!(
            wrong == 0,
            "{wrong} of {} members do not have what they must have",
            ids.len()
        );
        let sum: i64 = sqlx::query("SELECT coalesce(sum(balance), 0)::bigint FROM money.account")
            .fetch_one(pool)
            .await?
            .try_get(0)?;
        ensure!(
            sum == 0,
            "the balances of all accounts add up to {sum}, not 0"
        );
        Ok(())
    }
}

/// What is kept of a request until its outcome is checked.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    /// Its id.
    pub id: Uuid,
    from: u64,
    to: Option<u64>,
    amount: i64,
}

impl From<&Ready> for Asked {
    fn from(ready: &Ready) -> Self {
        Self {
            id: ready.id,
            from: ready.from,
            to: ready.to,
            amount: ready.amount,
        }
    }
}

/// Fails unless `queue_log` has exactly these requests as handled, and the
/// ledger has their postings and no others, since an instant (milliseconds).
pub async fn rows_agree(
    pool: &PgPool,
    flow: Flow,
    since: i64,
    asked: &[Asked],
) -> anyhow::Result<()> {
    let ids: Vec<Uuid> = asked.iter().map(|asked| asked.id).collect();
    let handled: i64 = sqlx::query(
        "SELECT count(*) FROM queue_log
          WHERE consumer = $1 AND message_id >= $2 AND message_id = ANY($3)
            AND (processed_status = 'success' OR status = 'processing')",
    )
    .bind(flow.name())
    .bind(lower_bound(since))
    .bind(&ids)
    .fetch_one(pool)
    .await?
    .try_get(0)?;
    ensure!(
        handled == ids.len() as i64,
        "queue_log has {handled} of {} requests as granted",
        ids.len()
    );
    if flow == Flow::Recharge {
        return Ok(());
    }
    let row = sqlx::query(
        "SELECT count(*), coalesce(sum(amount), 0)::bigint FROM money.posting WHERE entry_id >= $1",
    )
    .bind(lower_bound(since))
    .fetch_one(pool)
    .await?;
    let (postings, moved): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
    let amount: i64 = asked.iter().map(|asked| asked.amount).sum();
    ensure!(
        (postings, moved) == (ids.len() as i64, amount),
        "{postings} postings move {moved} won; {} requests asked for {amount}",
        ids.len()
    );
    Ok(())
}
