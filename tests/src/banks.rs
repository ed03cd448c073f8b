//! Banks with contracts and accounts, and commands to them.

use std::path::PathBuf;

use anyhow::{Context, ensure};
use chrono::{NaiveDate, Utc};
use mypay_bank::dummy::Dial;
use mypay_bank::wire::{AccountKind, AccountSeed};
use mypay_bank::{BankClient, ClientConfig};
use mypay_decide::limits::korean_day;
use mypay_schemas::Flow;
use mypay_schemas::firmbanking::{BankAccount, FirmbankingRequest};
use reqwest::Method;
use serde_json::json;
use sqlx::Row;
use uuid::Uuid;

use crate::edge::Client;
use crate::requests::Outgoing;
use crate::wait::eventually;
use crate::world::World;

/// What a corporate account is opened with; as in `mypay day`, whose contracts
/// are the same.
const CAPITAL: i64 = 5_000_000_000;
/// Whose account every receiver's is.
pub const HOLDER: &str = "김민지";

/// Our corporate account at a bank.
pub fn corporate(bank_code: &str) -> BankAccount {
    BankAccount {
        bank_code: bank_code.to_owned(),
        account_number: format!("990{bank_code}000001"),
    }
}

/// A direct command of staff, under a new id: to [`HOLDER`], or to an account of ours.
pub fn command(from: BankAccount, to: BankAccount, amount: i64) -> FirmbankingRequest {
    let message_id = Uuid::now_v7().to_string();
    FirmbankingRequest {
        correlation_id: message_id.clone(),
        message_id,
        requested_at: Utc::now().timestamp_millis(),
        purpose: "staff".to_owned(),
        to_holder_name: (to != corporate(&to.bank_code)).then(|| HOLDER.to_owned()),
        from,
        to,
        amount,
        causation_id: None,
    }
}

impl World {
    /// Direct commands of 1,000 won each of one bank, and their messages.
    ///
    /// # Errors
    /// What cannot be encoded.
    pub fn commands(
        &self,
        from_bank: &str,
        to: &BankAccount,
        count: usize,
    ) -> anyhow::Result<(Vec<Uuid>, Vec<Outgoing>)> {
        let mut ids = Vec::new();
        let mut messages = Vec::new();
        for _ in 0..count {
            let request = command(corporate(from_bank), to.clone(), 1_000);
            ids.push(Uuid::try_parse(&request.message_id)?);
            messages.push(self.message(Flow::Firmbanking, &request)?);
        }
        Ok((ids, messages))
    }
}

/// The business date of a command that is made now.
pub fn today() -> NaiveDate {
    korean_day(Utc::now())
}

impl World {
    /// The dummy bank without faults, and contracts with some of its banks.
    pub async fn banks(&self, contracts: &[&str]) -> anyhow::Result<BankClient> {
        self.bank().await?;
        self.edge().await?;
        let client = BankClient::new(ClientConfig::new(&self.endpoints.bank_url))?;
        self.dial(&client, Dial::default()).await?;
        let edge = Client::new(self);
        for bank_code in contracts {
            let account = corporate(bank_code).account_number;
            let seed = AccountSeed {
                account_number: account.clone(),
                holder_name: "마이페이".into(),
                opening_balance: CAPITAL,
                kind: AccountKind::Corporate,
                status: Default::default(),
            };
            let seeded = client.seed_accounts(bank_code, &[seed]).await;
            seeded.map_err(|error| anyhow::anyhow!("seeding {account}: {error}"))?;
            let contract = json!({
                "bank_name": "test", "corporate_account": account, "fee": 300,
                "expires_on": "2099-12-31", "opening_capital": CAPITAL,
            });
            let path = format!("/contracts/{bank_code}");
            let put = edge.request(Method::PUT, &path, &contract);
            let answer = put.json(&contract).send().await?;
            ensure!(answer.status().is_success(), "{}", answer.text().await?);
        }
        Ok(client)
    }

    /// Sets the faults of the dummy bank.
    pub async fn dial(&self, client: &BankClient, dial: Dial) -> anyhow::Result<()> {
        let dialled = client.dial_faults(&dial).await;
        dialled.map_err(|error| anyhow::anyhow!("dialling faults: {error}"))
    }

    /// An account of [`HOLDER`] at a bank, new and empty.
    pub async fn receiver(
        &self,
        client: &BankClient,
        bank_code: &str,
    ) -> anyhow::Result<BankAccount> {
        let number = Uuid::now_v7().as_u128() % 1_000_000_000_000;
        let seed = AccountSeed {
            account_number: format!("5{number:012}"),
            holder_name: HOLDER.into(),
            opening_balance: 0,
            kind: AccountKind::Personal,
            status: Default::default(),
        };
        let account = BankAccount {
            bank_code: bank_code.to_owned(),
            account_number: seed.account_number.clone(),
        };
        let seeded = client.seed_accounts(bank_code, &[seed]).await;
        seeded.map_err(|error| anyhow::anyhow!("seeding {account:?}: {error}"))?;
        Ok(account)
    }

    /// A contract is suspended: nothing is paid from that bank any more.
    pub async fn suspend(&self, bank_code: &str) -> anyhow::Result<()> {
        sqlx::query("UPDATE banking.contract SET status = 'SUSPENDED' WHERE bank_code = $1")
            .bind(bank_code)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Suspends all contracts but one, so that no other bank pays in its place. Gives
    /// which were in force.
    pub async fn only_contract(&self, bank_code: &str) -> anyhow::Result<Vec<String>> {
        Ok(sqlx::query_scalar(
            "UPDATE banking.contract SET status = 'SUSPENDED'
              WHERE bank_code <> $1 AND status = 'ACTIVE' RETURNING bank_code",
        )
        .bind(bank_code)
        .fetch_all(&self.pool)
        .await?)
    }

    /// Contracts are in force again.
    pub async fn contracts_in_force(&self, banks: &[String]) -> anyhow::Result<()> {
        sqlx::query("UPDATE banking.contract SET status = 'ACTIVE' WHERE bank_code = ANY($1)")
            .bind(banks)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// All contracts are in force again, whichever were suspended.
    pub async fn all_contracts_in_force(&self) -> anyhow::Result<()> {
        sqlx::query("UPDATE banking.contract SET status = 'ACTIVE'")
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// The table of answer codes with other texts in it, as a file.
    pub fn answer_codes(&self, replaced: &[(&str, &str)]) -> anyhow::Result<PathBuf> {
        let mut table =
            std::fs::read_to_string(crate::world::workspace().join("bank/answer_codes.yaml"))?;
        for (what, with) in replaced {
            ensure!(table.contains(what), "the table has no {what}");
            table = table.replace(what, with);
        }
        let path = self
            .stack
            .home()
            .join(format!("codes-{}.yaml", Uuid::now_v7()));
        std::fs::write(&path, table).with_context(|| path.display().to_string())?;
        Ok(path)
    }

    /// How many of these commands are in each state.
    pub async fn command_states(
        &self,
        commands: &[Uuid],
    ) -> anyhow::Result<std::collections::HashMap<String, i64>> {
        let rows = sqlx::query(
            "SELECT state, count(*) FROM banking.firmbanking
              WHERE firmbanking_id = ANY($1) GROUP BY 1",
        )
        .bind(commands)
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
            .collect()
    }

    /// Waits until so many of these commands are in a state.
    pub async fn await_commands(
        &self,
        commands: &[Uuid],
        state: &str,
        count: usize,
        within: std::time::Duration,
    ) -> anyhow::Result<()> {
        eventually(&format!("{count} commands {state}"), within, async || {
            self.all_live()?;
            let states = self.command_states(commands).await?;
            let found = states.get(state).copied().unwrap_or(0);
            Ok((found as usize >= count).then_some(()))
        })
        .await
    }

    /// How this day closes: the exit code of `mypay close`, and what it said.
    pub async fn closes(&self, bank_code: &str) -> anyhow::Result<(Option<i32>, String)> {
        self.closes_on(bank_code, today()).await
    }

    /// How a day closes: the exit code of `mypay close`, and what it said.
    pub async fn closes_on(
        &self,
        bank_code: &str,
        date: NaiveDate,
    ) -> anyhow::Result<(Option<i32>, String)> {
        let date = date.to_string();
        let output = self
            .mypay(&["close", "--date", &date, "--bank", bank_code])
            .await?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let complained = String::from_utf8_lossy(&output.stderr).into_owned();
        Ok((output.status.code(), said + &complained))
    }
}
