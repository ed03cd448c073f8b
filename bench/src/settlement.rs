//! A settlement run in the middle of a drain of payments.
//!
//! The slips are made through the pipeline, by draining payments.

use std::time::{Duration, Instant};

use anyhow::ensure;
use chrono::Utc;
use mypay_schemas::settlement::SettlementRequest;
use mypay_schemas::{Flow, Request};
use rdkafka::producer::{FutureProducer, FutureRecord};
use serde::Serialize;
use sqlx::{PgPool, Row};
use uuid::Uuid;

use crate::consumer::Consumers;
use crate::drain::{Drain, Drained};
use crate::money::Books;
use crate::requests::Load;
use crate::results::Reader;
use crate::town::{BANK, Town};
use crate::world::World;

/// A run that is not made within this time has failed.
const STUCK: Duration = Duration::from_secs(120);

/// What is measured.
#[derive(Debug, Clone, Copy)]
pub struct Settling {
    /// Slips that wait to be settled; they are made by payments, drained before.
    pub slips: usize,
    /// Payments that are drained while the run is made.
    pub payments: usize,
}

/// How it went.
#[derive(Debug, Clone, Serialize)]
pub struct Settled {
    /// Slips that the run settled: those that waited, and those that came before
    /// its cut.
    pub slips: i64,
    /// Payouts, whose requests to the bank were read from the topic.
    pub payouts: i64,
    /// From the request to the last payout request on the topic, read_committed.
    pub seconds: f64,
    /// Payments a second of a drain of the same size, with nothing else to do.
    pub payments_alone_per_second: f64,
    /// Payments a second of the drain that the run was in the middle of.
    pub payments_beside_per_second: f64,
    /// Payments a second from the request to the last payout request.
    pub payments_meanwhile_per_second: f64,
}

impl Settling {
    /// Drains payments, then drains more and settles in the middle of it.
    pub async fn run(self, world: &World, town: &Town) -> anyhow::Result<Settled> {
        give_accounts(&world.pool, town).await?;
        let mut books = Books::default();
        drain(self.slips).run(world, town, &mut books).await?;
        // The first drain has warmed the brokers up; what the second does alone is
        // what the third is held against.
        let alone = drain(self.payments).run(world, town, &mut books).await?;
        let consumers = Consumers::start(&world.stack, &world.endpoints, Flow::Settlement, 1)?;
        consumers.until_assigned().await?;
        // Older than the payments: what is counted as theirs begins with them.
        let run_id = Uuid::now_v7();
        tokio::time::sleep(Duration::from_millis(10)).await;
        let payments = drain(self.payments);
        let (beside, run) = tokio::join!(
            payments.run(world, town, &mut books),
            self.settle(world, town, run_id)
        );
        let (beside, run) = (beside?, run?);
        consumers.stop().await?;
        self.told(&world.pool, run_id, &alone, &beside, run).await
    }

    /// Asks for the run once the payments are under way; waits for its payouts.
    async fn settle(self, world: &World, town: &Town, run_id: Uuid) -> anyhow::Result<Run> {
        let begin = handled(&world.pool).await?;
        let bootstrap = &world.endpoints.kafka_bootstrap;
        let reader = Reader::at_end(bootstrap, Flow::Firmbanking.request_topic())?;
        let producer: FutureProducer =
            mypay_kafka::client(bootstrap).set("acks", "all").create()?;
        until_handled(&world.pool, begin + self.payments as i64 / 6).await?;
        let before = handled(&world.pool).await?;
        let began = Instant::now();
        let now = Utc::now().timestamp_millis();
        let request = SettlementRequest {
            message_id: run_id.to_string(),
            correlation_id: run_id.to_string(),
            requested_at: now,
            cut_at: now,
            franchise_id: None,
            causation_id: None,
        };
        let topic = Flow::Settlement.request_topic();
        let payload = world.encoders.encode(topic, &request)?;
        let record = FutureRecord::to(topic).key(request.key()).payload(&payload);
        producer
            .send(record, Duration::from_secs(10))
            .await
            .map_err(|(error, _)| error)?;
        let franchises = town.franchises;
        tokio::task::spawn_blocking(move || until_paid_out(&reader, franchises)).await??;
        let seconds = began.elapsed().as_secs_f64();
        let meanwhile = (handled(&world.pool).await? - before) as f64 / seconds;
        Ok(Run { seconds, meanwhile })
    }

    async fn told(
        self,
        pool: &PgPool,
        run_id: Uuid,
        alone: &Drained,
        beside: &Drained,
        run: Run,
    ) -> anyhow::Result<Settled> {
        let row = sqlx::query("SELECT slips, payouts FROM settlement.run WHERE run_id = $1")
            .bind(run_id)
            .fetch_one(pool)
            .await?;
        let slips: i64 = row.try_get(0)?;
        ensure!(
            slips >= self.slips as i64,
            "the run settled {slips} slips of {}",
            self.slips
        );
        Ok(Settled {
            slips,
            payouts: row.try_get(1)?,
            seconds: run.seconds,
            payments_alone_per_second: alone.messages_per_second,
            payments_beside_per_second: beside.messages_per_second,
            payments_meanwhile_per_second: run.meanwhile,
        })
    }
}

struct Run {
    seconds: f64,
    meanwhile: f64,
}

fn drain(count: usize) -> Drain {
    Drain {
        flow: Flow::Payment,
        count,
        load: Load::Even,
        consumers: 1,
    }
}

/// Franchises of a town have no accounts, since payments need none.
async fn give_accounts(pool: &PgPool, town: &Town) -> anyhow::Result<()> {
    let franchises: Vec<Uuid> = (0..town.franchises)
        .map(|number| town.franchise(number))
        .collect();
    sqlx::query(
        "INSERT INTO banking.registered_account
                (member_id, bank_code, account_number, holder_name, registered_at)
         SELECT f.id, $2, lpad(f.number::text, 12, '0'), 'bench', now()
           FROM unnest($1::uuid[]) WITH ORDINALITY AS f(id, number)",
    )
    .bind(&franchises)
    .bind(BANK)
    .execute(pool)
    .await?;
    Ok(())
}

/// How many payments were handled so far.
async fn handled(pool: &PgPool) -> anyhow::Result<i64> {
    Ok(
        sqlx::query(
            "SELECT coalesce(sum(handled), 0)::bigint FROM lane WHERE consumer = 'payment'",
        )
        .fetch_one(pool)
        .await?
        .try_get(0)?,
    )
}

async fn until_handled(pool: &PgPool, count: i64) -> anyhow::Result<()> {
    let began = Instant::now();
    while handled(pool).await? < count {
        ensure!(began.elapsed() < STUCK, "the payments do not move");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

fn until_paid_out(reader: &Reader, franchises: u64) -> anyhow::Result<()> {
    let began = Instant::now();
    let mut left = franchises;
    while left > 0 {
        if reader.next(Duration::from_millis(200), |_| ())?.is_some() {
            left -= 1;
        }
        ensure!(
            began.elapsed() < STUCK,
            "{left} payout requests are missing"
        );
    }
    Ok(())
}
