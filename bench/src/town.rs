//! The members and franchises of a measurement.
//!
//! They are written straight into the tables: founding ten million members over
//! HTTP is not what is measured. The money that they begin with is taken from
//! the capital account, so that all balances still add up to zero.

use anyhow::Context;
use mypay_decide::{AccountKind, SystemAccount};
use sqlx::PgPool;
use sqlx::postgres::PgPoolCopyExt;
use uuid::Uuid;

/// The bank at which members have their accounts.
pub const BANK: &str = "088";

/// What every member of a town begins with, whole won.
pub fn opening(flow: mypay_schemas::Flow) -> i64 {
    match flow {
        // Room under the cap for what is recharged.
        mypay_schemas::Flow::Recharge => 0,
        _ => 1_000_000,
    }
}

/// Some members and franchises, who exist in the tables.
#[derive(Debug, Clone)]
pub struct Town {
    seed: u64,
    /// How many members.
    pub members: u64,
    /// How many franchises.
    pub franchises: u64,
}

impl Town {
    /// A member's id: spread over the whole range, as random ids are.
    pub fn member(&self, number: u64) -> Uuid {
        self.id(number)
    }

    /// A franchise's id.
    pub fn franchise(&self, number: u64) -> Uuid {
        self.id(u64::MAX - number)
    }

    fn id(&self, number: u64) -> Uuid {
        let high = mix(self.seed ^ mix(number));
        let low = mix(high ^ number);
        uuid::Builder::from_random_bytes(((u128::from(high) << 64) | u128::from(low)).to_be_bytes())
            .into_uuid()
    }

    /// Puts a new town into the tables.
    pub async fn found(
        pool: &PgPool,
        members: u64,
        franchises: u64,
        opening: i64,
    ) -> anyhow::Result<Self> {
        let town = Self {
            seed: fastrand::u64(..),
            members,
            franchises,
        };
        town.copy_accounts(pool, opening).await?;
        town.copy_bank_accounts(pool).await?;
        let franchises: Vec<Uuid> = (0..franchises)
            .map(|number| town.franchise(number))
            .collect();
        sqlx::query(
            "INSERT INTO membership.member (member_id, kind, name, area, content_hash, created_at)
             SELECT id, 'FRANCHISE', 'bench', 'bench', '', now() FROM unnest($1::uuid[]) AS f(id)",
        )
        .bind(&franchises)
        .execute(pool)
        .await?;
        sqlx::query(
            "INSERT INTO payment.commission_rate (franchise_id, in_force_from, bps)
             SELECT id, '2020-01-01', 250 FROM unnest($1::uuid[]) AS f(id)",
        )
        .bind(&franchises)
        .execute(pool)
        .await?;
        sqlx::query(
            "INSERT INTO banking.contract (bank_code, bank_name, corporate_account, expires_on, fee)
             VALUES ($1, 'bench', '1000000001', '2999-12-31', 0) ON CONFLICT DO NOTHING",
        )
        .bind(BANK)
        .execute(pool)
        .await?;
        let capital = SystemAccount::new(AccountKind::Capital, Uuid::nil(), 0);
        sqlx::query(
            "INSERT INTO money.account AS a (account_id, kind, slot, owner, balance)
             VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (account_id) DO UPDATE SET balance = a.balance + EXCLUDED.balance",
        )
        .bind(capital.id())
        .bind(capital.kind.number())
        .bind(capital.slot)
        .bind(capital.owner)
        .bind(-opening * members as i64)
        .execute(pool)
        .await?;
        for table in [
            "money.account",
            "banking.registered_account",
            "membership.member",
        ] {
            sqlx::query(sqlx::AssertSqlSafe(format!("VACUUM ANALYZE {table}")))
                .execute(pool)
                .await?;
        }
        Ok(town)
    }

    async fn copy_accounts(&self, pool: &PgPool, opening: i64) -> anyhow::Result<()> {
        let into = "COPY money.account (account_id, kind, owner, balance) FROM STDIN";
        let kind = AccountKind::MemberMoney.number();
        self.copy(pool, into, |id| format!("{id}\t{kind}\t{id}\t{opening}\n"))
            .await
    }

    async fn copy_bank_accounts(&self, pool: &PgPool) -> anyhow::Result<()> {
        let into = "COPY banking.registered_account
                    (member_id, bank_code, account_number, holder_name, registered_at) FROM STDIN";
        self.copy(pool, into, |id| {
            let account = id.as_u128() % 1_000_000_000_000;
            format!("{id}\t{BANK}\t{account:012}\tbench\t2026-01-01\n")
        })
        .await
    }

    async fn copy(
        &self,
        pool: &PgPool,
        into: &str,
        line: impl Fn(Uuid) -> String,
    ) -> anyhow::Result<()> {
        let lines = (0..self.members).map(|number| Ok(line(self.member(number))));
        copy_lines(pool, into, lines).await
    }
}

/// Copies lines of text by a `COPY ... FROM STDIN`, about a megabyte at a time.
pub(crate) async fn copy_lines(
    pool: &PgPool,
    into: &str,
    lines: impl Iterator<Item = anyhow::Result<String>>,
) -> anyhow::Result<()> {
    let mut copy = pool.copy_in_raw(into).await.context("COPY")?;
    let mut text = String::new();
    for line in lines {
        text += &line?;
        if text.len() > 1 << 20 {
            copy.send(std::mem::take(&mut text).into_bytes()).await?;
        }
    }
    copy.send(text.into_bytes()).await?;
    copy.finish().await?;
    Ok(())
}

/// One step of splitmix64: spreads numbers evenly, and the same each time.
fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn nobody_shares_an_id() {
        let town = Town {
            seed: 7,
            members: 100_000,
            franchises: 1_000,
        };
        let ids: HashSet<Uuid> = (0..town.members)
            .map(|number| town.member(number))
            .chain((0..town.franchises).map(|number| town.franchise(number)))
            .collect();
        assert_eq!(ids.len(), 101_000);
    }
}
