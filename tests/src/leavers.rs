//! Members with bank accounts of their own, who leave.

use mypay_bank::BankClient;
use mypay_schemas::closing::ClosingRequest;
use mypay_schemas::firmbanking::{BankAccount, PURPOSE_CLOSING, id_of_command};
use sqlx::Row;
use uuid::Uuid;

use crate::banks::HOLDER;
use crate::world::World;

/// How a member stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// `OPEN`, `CLOSING` or `CLOSED`.
    pub status: String,
    /// My money, whole won.
    pub balance: i64,
    /// What came back after it was closed, whole won.
    pub unclaimed: i64,
    /// What its closings have paid out, whole won.
    pub paid_out: i64,
}

impl World {
    /// Makes members with `won` each and a registered account at a bank.
    pub async fn leavers(
        &self,
        bank: &BankClient,
        bank_code: &str,
        count: usize,
        won: i64,
    ) -> anyhow::Result<Vec<(Uuid, BankAccount)>> {
        let members = self.members(count, won).await?;
        let mut leavers = Vec::with_capacity(count);
        for member in members {
            let account = self.receiver(bank, bank_code).await?;
            self.register(member, &account, HOLDER).await?;
            leavers.push((member, account));
        }
        Ok(leavers)
    }

    /// Registers a bank account under a holder's name that nobody checks.
    pub async fn register(
        &self,
        member: Uuid,
        account: &BankAccount,
        holder: &str,
    ) -> anyhow::Result<()> {
        sqlx::query(
            "INSERT INTO banking.registered_account
                    (member_id, bank_code, account_number, holder_name, registered_at)
             VALUES ($1, $2, $3, $4, now())
             ON CONFLICT (member_id) DO UPDATE SET bank_code = $2, account_number = $3, holder_name = $4",
        )
        .bind(member)
        .bind(&account.bank_code)
        .bind(&account.account_number)
        .bind(holder)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// How a member stands.
    pub async fn standing(&self, member: Uuid) -> anyhow::Result<Standing> {
        let row = sqlx::query(
            "SELECT m.status, a.balance,
                    coalesce((SELECT sum(balance) FROM money.account
                               WHERE kind = 10 AND owner = m.member_id), 0)::bigint,
                    coalesce((SELECT sum(amount) FROM membership.closing
                               WHERE member_id = m.member_id AND state = 'COMPLETED'), 0)::bigint
               FROM membership.member m JOIN money.account a ON a.account_id = m.member_id
              WHERE m.member_id = $1",
        )
        .bind(member)
        .fetch_one(&self.pool)
        .await?;
        Ok(Standing {
            status: row.try_get(0)?,
            balance: row.try_get(1)?,
            unclaimed: row.try_get(2)?,
            paid_out: row.try_get(3)?,
        })
    }

    /// Which of these members are closed, and what is kept for each, whole won.
    pub async fn leaving(&self, members: &[Uuid]) -> anyhow::Result<Vec<(Uuid, bool, i64)>> {
        let rows = sqlx::query(
            "SELECT m.member_id, m.status = 'CLOSED',
                    coalesce((SELECT sum(balance) FROM money.account
                               WHERE kind = 10 AND owner = m.member_id), 0)::bigint
               FROM membership.member m WHERE m.member_id = ANY($1)",
        )
        .bind(members)
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|row| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?)))
            .collect()
    }

    /// What accounts at the dummy bank hold together, whole won.
    pub async fn at_banks(&self, accounts: &[BankAccount]) -> anyhow::Result<i64> {
        let numbers: Vec<&str> = accounts.iter().map(|it| &*it.account_number).collect();
        Ok(sqlx::query_scalar(
            "SELECT coalesce(sum(balance), 0)::bigint FROM dummy_bank.account
              WHERE account_number = ANY($1)",
        )
        .bind(numbers)
        .fetch_one(&self.pool)
        .await?)
    }
}

/// The command that pays a closing out.
pub fn command_of(closing: &ClosingRequest) -> anyhow::Result<Uuid> {
    let id = Uuid::try_parse(&closing.message_id)?;
    Ok(id_of_command(PURPOSE_CLOSING, id))
}
