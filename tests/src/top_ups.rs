//! Members with bank accounts to top up from, and what comes of those who lack
//! money.

use std::time::Duration;

use anyhow::Context;
use mypay_bank::BankClient;
use mypay_bank::wire::{AccountKind, AccountSeed};
use mypay_schemas::Flow;
use mypay_schemas::decoder::Decoder;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::banks::HOLDER;
use crate::topic::Offsets;
use crate::wait::eventually;
use crate::world::World;

impl World {
    /// Gives members accounts at a bank with `won` each, and registers them.
    pub async fn open_accounts(
        &self,
        client: &BankClient,
        bank_code: &str,
        members: &[Uuid],
        won: i64,
    ) -> anyhow::Result<()> {
        let numbers: Vec<String> = members
            .iter()
            .map(|member| format!("7{:013}", member.as_u128() % 10_000_000_000_000))
            .collect();
        let seeds: Vec<AccountSeed> = numbers
            .iter()
            .map(|number| AccountSeed {
                account_number: number.clone(),
                holder_name: HOLDER.into(),
                opening_balance: won,
                kind: AccountKind::Personal,
                status: Default::default(),
            })
            .collect();
        let seeded = client.seed_accounts(bank_code, &seeds).await;
        seeded.map_err(|error| anyhow::anyhow!("seeding accounts: {error}"))?;
        sqlx::query(
            "INSERT INTO banking.registered_account
                    (member_id, bank_code, account_number, holder_name, registered_at)
             SELECT m.id, $3, m.number, $4, now() FROM unnest($1::uuid[], $2::text[]) AS m(id, number)",
        )
        .bind(members)
        .bind(numbers)
        .bind(bank_code)
        .bind(HOLDER)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// All records of a topic since `from`, decoded.
    pub async fn decoded<T: DeserializeOwned>(
        &self,
        topic: &str,
        from: &Offsets,
    ) -> anyhow::Result<Vec<T>> {
        let mut decoder = Decoder::new(&self.endpoints.registry_url);
        let mut records = Vec::new();
        for record in self.read_from(topic, from)? {
            let payload = record.payload.as_deref().context("a value")?;
            records.push(decoder.decode(payload).await.context("decoding")?);
        }
        Ok(records)
    }

    /// Waits until `queue_log` has an outcome for each of these requests.
    pub async fn await_done(
        &self,
        flow: Flow,
        requests: &[Uuid],
        within: Duration,
    ) -> anyhow::Result<()> {
        let what = format!("{} {flow} requests to be done", requests.len());
        eventually(&what, within, async || {
            self.all_live()?;
            let statuses = self.statuses(flow.name(), requests).await?;
            let done = statuses.get("done").copied().unwrap_or(0);
            Ok((done as usize == requests.len()).then_some(()))
        })
        .await
    }

    /// Waits until so many of a flow's requests wait for their top-ups.
    pub async fn await_top_ups(
        &self,
        flow: Flow,
        requests: &[Uuid],
        count: usize,
        within: Duration,
    ) -> anyhow::Result<()> {
        let question = match flow {
            Flow::Remittance => {
                "SELECT count(*) FROM remittance.top_up
                  WHERE remittance_id = ANY($1) AND state = 'AWAITS_TOP_UP'"
            }
            _ => {
                "SELECT count(*) FROM payment.top_up
                  WHERE payment_id = ANY($1) AND state = 'AWAITS_TOP_UP'"
            }
        };
        eventually(
            &format!("{count} top-ups to be asked for"),
            within,
            async || {
                self.all_live()?;
                let waiting: i64 = sqlx::query_scalar(question)
                    .bind(requests)
                    .fetch_one(&self.pool)
                    .await?;
                Ok((waiting as usize == count).then_some(()))
            },
        )
        .await
    }
}
