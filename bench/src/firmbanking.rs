//! Commands to a bank that takes 50 ms for each: from the request on the topic to
//! the result on the topic, calls and both commits included.
//!
//! They move our own money to our account at another bank: a command to somebody
//! else's account names its holder, whose bank is asked first, and would be two calls.
//! So each command here is one call, and what is measured is the bank's one call.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use chrono::Utc;
use mypay_bank::command::MAX_NUMBER;
use mypay_bank::wire::{AccountKind, AccountSeed, Total};
use mypay_bank::{BankClient, ClientConfig};
use mypay_decide::limits::korean_day;
use mypay_schemas::Flow;
use mypay_schemas::firmbanking::{BankAccount, FirmbankingRequest};
use serde::Serialize;
use sqlx::Row;
use uuid::Uuid;

use crate::consumer::{Consumers, Told};
use crate::requests::{Feeder, Ready};
use crate::results::{self, Answers, Reader};
use crate::usage::{Cpu, until_quiet};
use crate::world::World;

/// The bank that is commanded.
const BANK: &str = "004";
/// The bank of the receiving account, ours as well.
const OTHER_BANK: &str = "020";
/// The name of the bank's process.
const NAME: &str = "bench-bank";
/// What our account is opened with: a won a command, and fees of a few hundred.
const OPENING: i64 = 100_000_000_000_000;

/// What is measured.
#[derive(Debug, Clone, Copy)]
pub struct Commands {
    /// How many.
    pub count: usize,
    /// How long the bank takes for each answer, milliseconds.
    pub bank_ms: u64,
}

/// How it went.
#[derive(Debug, Clone, Serialize)]
pub struct Commanded {
    /// Commands with a result, a second.
    pub commands_per_second: f64,
    /// From the consumer's assignment to the last result.
    pub seconds: f64,
    /// Calls that were under way at a time, mean.
    pub in_flight_mean: f64,
    /// How long a call took, milliseconds, mean.
    pub call_ms: f64,
    /// CPU time, the bank's own (in `bank`) beside PostgreSQL's, which serves both.
    pub cpu_seconds: Cpu,
    /// CPU time of the dummy bank.
    pub bank_cpu_seconds: f64,
    /// What the consumer tells.
    pub told: Told,
}

/// Fails unless so many commands have numbers left today: those that have none wait for
/// tomorrow, and a measurement would wait with them.
///
/// # Errors
/// PostgreSQL's, and too few numbers.
pub async fn ensure_numbers(pool: &sqlx::PgPool, wanted: u64) -> anyhow::Result<()> {
    let used: Option<i32> = sqlx::query_scalar(
        "SELECT last_number FROM banking.transaction_number
          WHERE bank_code = $1 AND business_date = $2",
    )
    .bind(BANK)
    .bind(korean_day(Utc::now()))
    .fetch_optional(pool)
    .await?;
    let left = u64::from(MAX_NUMBER).saturating_sub(u64::from(used.unwrap_or(0).unsigned_abs()));
    ensure!(
        wanted <= left,
        "{wanted} commands in all, and the bank has {left} of the day's {MAX_NUMBER} transaction \
         numbers left: give a smaller --count, --runs or --warm-up, or begin with a new stack"
    );
    Ok(())
}

impl Commands {
    /// Fills the topic, starts the consumer with its workers, waits for the last
    /// result, and sets results and the bank's own totals against what was asked.
    pub async fn run(self, world: &World) -> anyhow::Result<Commanded> {
        let bank = self.start_bank(world).await?;
        let measured = self.measure(world, &bank).await;
        world.stack.stop(NAME, Duration::from_secs(20)).await?;
        measured
    }

    async fn start_bank(self, world: &World) -> anyhow::Result<BankClient> {
        let mypay = std::env::current_exe().context("the path of this program")?;
        let url = world.endpoints.bank_url.trim_end_matches('/').to_string();
        let listen = url.split_once("://").map_or(&*url, |(_, rest)| rest);
        let latency = self.bank_ms.to_string();
        let args = [
            "bank",
            "serve",
            "--listen",
            listen,
            "--latency-ms",
            &latency,
        ];
        world
            .stack
            .spawn(NAME, &mypay, args, world.endpoints.variables())?;
        let bank = BankClient::new(ClientConfig::new(url))?;
        let began = Instant::now();
        while let Err(error) = bank.day_totals(BANK, korean_day(Utc::now())).await {
            ensure!(
                began.elapsed() < Duration::from_secs(30),
                "the bank: {error}"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        for (bank_code, opening_balance) in [(BANK, OPENING), (OTHER_BANK, 0)] {
            let seed = AccountSeed {
                account_number: ours(bank_code).account_number,
                holder_name: "bench".into(),
                opening_balance,
                kind: AccountKind::Corporate,
                status: Default::default(),
            };
            let seeded = bank.seed_accounts(bank_code, &[seed]).await;
            seeded.map_err(|error| anyhow::anyhow!("seeding accounts: {error}"))?;
            sqlx::query(
                "INSERT INTO banking.contract
                        (bank_code, bank_name, corporate_account, expires_on, fee)
                 VALUES ($1, 'bench', $2, '2999-12-31', 300)
                 ON CONFLICT (bank_code)
                 DO UPDATE SET corporate_account = EXCLUDED.corporate_account",
            )
            .bind(bank_code)
            .bind(ours(bank_code).account_number)
            .execute(&world.pool)
            .await?;
        }
        Ok(bank)
    }

    async fn measure(self, world: &World, bank: &BankClient) -> anyhow::Result<Commanded> {
        let date = korean_day(Utc::now());
        let paid_before = totals(bank, date).await?;
        let topic = results::topic(Flow::Firmbanking);
        let reader = Arc::new(Reader::at_end(&world.endpoints.kafka_bootstrap, topic)?);
        let asked = self.fill(world)?;
        until_quiet(Duration::from_secs(30)).await;

        let bank_name = [NAME.to_string()];
        let (before, bank_before) = (
            Cpu::now(&world.stack, &[]),
            Cpu::now(&world.stack, &bank_name).consumers,
        );
        let consumers = Consumers::start(&world.stack, &world.endpoints, Flow::Firmbanking, 1)?;
        let reading = {
            let (reader, count) = (Arc::clone(&reader), asked.len());
            tokio::task::spawn_blocking(move || reader.until_read(count))
        };
        let ready = consumers.until_assigned().await?;
        let ended = reading.await?.context("the results")?;
        let cpu = Cpu::now(&world.stack, &consumers.names).since(before);
        let bank_cpu = Cpu::now(&world.stack, &bank_name).consumers - bank_before;
        let call_seconds = consumers.sum("mypay_bank_call_seconds_total{").await?;
        let told = consumers.told().await?;
        consumers.stop().await?;

        check(world, &reader, &asked).await?;
        let paid = totals(bank, date).await?;
        let sum: i64 = asked.iter().map(|(_, amount)| amount).sum();
        ensure!(
            (
                paid.count - paid_before.count,
                paid.amount - paid_before.amount
            ) == (asked.len() as i64, sum),
            "the bank paid {paid:?} in all, {paid_before:?} before: not what was asked"
        );
        let seconds = ended - ready;
        Ok(Commanded {
            commands_per_second: asked.len() as f64 / seconds,
            seconds,
            in_flight_mean: call_seconds / seconds,
            call_ms: call_seconds * 1_000.0 / asked.len() as f64,
            cpu_seconds: cpu,
            bank_cpu_seconds: bank_cpu,
            told,
        })
    }

    fn fill(self, world: &World) -> anyhow::Result<Vec<(Uuid, i64)>> {
        let feeder = Feeder::new(&world.endpoints.kafka_bootstrap, 50)?;
        let topic = Flow::Firmbanking.request_topic();
        let mut asked = Vec::with_capacity(self.count);
        for _ in 0..self.count {
            let id = Uuid::now_v7();
            let amount = fastrand::i64(1..=1_000);
            let request = FirmbankingRequest {
                message_id: id.to_string(),
                correlation_id: id.to_string(),
                requested_at: Utc::now().timestamp_millis(),
                purpose: "bench".to_string(),
                from: ours(BANK),
                to: ours(OTHER_BANK),
                amount,
                to_holder_name: None,
                causation_id: None,
            };
            let payload = world.encoders.encode(topic, &request)?;
            feeder.put(
                Flow::Firmbanking,
                &Ready::new(id, amount, request.message_id, payload),
            )?;
            asked.push((id, amount));
        }
        feeder.flush()?;
        Ok(asked)
    }
}

/// Our account at a bank.
fn ours(bank_code: &str) -> BankAccount {
    BankAccount {
        bank_code: bank_code.to_string(),
        account_number: format!("990{bank_code}000001"),
    }
}

async fn totals(bank: &BankClient, date: chrono::NaiveDate) -> anyhow::Result<Total> {
    let totals = bank.day_totals(BANK, date).await;
    Ok(totals
        .map_err(|error| anyhow::anyhow!("the bank's totals: {error}"))?
        .outgoing)
}

/// Each command has one result and one number.
async fn check(world: &World, reader: &Reader, asked: &[(Uuid, i64)]) -> anyhow::Result<()> {
    let answers = Answers::read(reader, Flow::Firmbanking, &world.endpoints.registry_url).await?;
    answers.are_once_for(asked.iter().map(|(id, _)| *id))?;
    let ids: Vec<Uuid> = asked.iter().map(|(id, _)| *id).collect();
    let row = sqlx::query(
        "SELECT count(DISTINCT (business_date, transaction_number)), max(calls)
           FROM banking.firmbanking WHERE firmbanking_id = ANY($1) AND state = 'done'",
    )
    .bind(&ids)
    .fetch_one(&world.pool)
    .await?;
    let (numbers, calls): (i64, i32) = (row.try_get(0)?, row.try_get(1)?);
    ensure!(
        numbers as usize == asked.len() && calls == 1,
        "{numbers} numbers for {} commands, called up to {calls} times",
        asked.len()
    );
    Ok(())
}
