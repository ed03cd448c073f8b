//! `mypay consume`: the consumers of one flow, some, or all.

mod settlement;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use mypay_bank::rest_window::RestWindow;
use mypay_bank::{BankClient, ClassTable, ClientConfig};
use mypay_consumers::closing::Closing;
use mypay_consumers::firmbanking::Firmbanking;
use mypay_consumers::metrics::Families;
use mypay_consumers::payment::Payment;
use mypay_consumers::recharge::Recharge;
use mypay_consumers::remittance::Remittance;
use mypay_consumers::settlement::{Settlement, WRITER};
use mypay_consumers::worker::{BankMetrics, Inquiry, Workers};
use mypay_consumers::{Pipeline, Settings};
use mypay_idempotency::relay::Relay;
use mypay_idempotency::slot::{BANK_WORKERS, Slot};
use mypay_ledger::limits::InForce;
use mypay_producers::schedule::Schedule;
use mypay_schemas::Flow;
use mypay_schemas::encoders::{Encoders, EncodersError};
use mypay_stack::Endpoints;
use prometheus_client::registry::Registry;
use sqlx::PgPool;
use sqlx::migrate::MigrateError;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

/// Consume requests, and work at the banks (with `firmbanking`).
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Flows: recharge, remittance, payment, settlement, firmbanking, closing, or all.
    #[arg(required = true, value_name = "FLOW")]
    flows: Vec<String>,
    /// Where `GET /metrics` answers, as in 0.0.0.0:9464; nowhere where absent.
    #[arg(long, env = "MYPAY_METRICS_LISTEN")]
    metrics_listen: Option<std::net::SocketAddr>,
    /// Seconds until the first inquiry about an answer that stayed away.
    #[arg(long, env = "MYPAY_INQUIRY_FIRST_SECONDS", default_value_t = 300.0)]
    inquiry_first: f64,
    /// Seconds between two inquiries at the most.
    #[arg(long, env = "MYPAY_INQUIRY_LONGEST_SECONDS", default_value_t = 3600.0)]
    inquiry_longest: f64,
    /// Seconds between two looks at a bank's notices of reversals.
    #[arg(long, env = "MYPAY_BANK_NOTICES_SECONDS", default_value_t = 10.0)]
    bank_notices: f64,
    /// Banks rest at night (23:30-00:30 in Korea by default). `off` is for the
    /// local stack, where a day is minutes long.
    #[arg(long, env = "MYPAY_BANK_REST", default_value = "on", value_parser = ["on", "off"])]
    bank_rest: String,
    /// Seconds after which "no such transaction" is believed; the banks' own
    /// settling times where absent.
    #[arg(long, env = "MYPAY_BANK_SETTLING_SECONDS")]
    bank_settling: Option<f64>,
    /// Another table of banks and answer codes than the one that MYPAY_BANK_ANSWER_CODES
    /// names, as for all that ask banks, or that is built in.
    #[arg(long)]
    answer_codes: Option<std::path::PathBuf>,
    /// When franchises are settled, as a cron expression in Korean time ("0 4 * * *"
    /// is each day at four); only when asked for where absent.
    #[arg(long, env = "MYPAY_SETTLE_AT")]
    settle_at: Option<Schedule>,
}

impl Args {
    pub(crate) async fn run(self, _json: bool) -> anyhow::Result<ExitCode> {
        let flows = flows(&self.flows)?;
        let endpoints = Endpoints::discover()?;
        // A flow has three commits under way, its epoch, its upkeep and its slot.
        let pool = mypay_database::pool(&endpoints.database_url, 7 * flows.len() as u32 + 8)?;
        let stop = super::signals::stop();
        wait_for_database(&pool, stop.clone()).await?;
        let Some(encoders) = wait_for_schemas(&endpoints.registry_url, stop.clone()).await? else {
            return Ok(ExitCode::SUCCESS);
        };
        let settings = Settings {
            bootstrap: endpoints.kafka_bootstrap.clone(),
            registry_url: endpoints.registry_url.clone(),
        };
        let limits = Arc::new(InForce::default());
        let mut registry = Registry::default();
        let families = Families::register(&mut registry);
        let bank_metrics = BankMetrics::register(&mut registry);
        let mut tasks = JoinSet::new();
        for flow in flows {
            let metrics = families.of(flow);
            let (pool, settings, encoders, limits, stop) = (
                pool.clone(),
                settings.clone(),
                Arc::clone(&encoders),
                Arc::clone(&limits),
                stop.clone(),
            );
            match flow {
                Flow::Recharge => {
                    let handler = Recharge { encoders, limits };
                    tasks.spawn(Pipeline::new(handler, pool, settings, metrics).run(stop));
                }
                Flow::Remittance => {
                    let handler = Remittance { encoders, limits };
                    tasks.spawn(Pipeline::new(handler, pool, settings, metrics).run(stop));
                }
                Flow::Payment => {
                    let handler = Payment { encoders, limits };
                    tasks.spawn(Pipeline::new(handler, pool, settings, metrics).run(stop));
                }
                Flow::Closing => {
                    let handler = Closing { encoders, limits };
                    tasks.spawn(Pipeline::new(handler, pool, settings, metrics).run(stop));
                }
                Flow::Settlement => {
                    let bootstrap = settings.bootstrap.clone();
                    tasks.spawn(settlement::relay(pool.clone(), bootstrap, stop.clone()));
                    if let Some(schedule) = self.settle_at.clone() {
                        let scheduled = schedule.run(pool.clone(), Arc::clone(&encoders), WRITER);
                        let mut stop = stop.clone();
                        tasks.spawn(async move {
                            tokio::select! {
                                () = scheduled => {}
                                _ = stop.wait_for(|stop| *stop) => {}
                            }
                        });
                    }
                    let handler = Settlement {
                        encoders,
                        limits,
                        pool: pool.clone(),
                    };
                    tasks.spawn(Pipeline::new(handler, pool, settings, metrics).run(stop));
                }
                Flow::Firmbanking => {
                    let handler = Firmbanking {
                        encoders: Arc::clone(&encoders),
                    };
                    let pipeline = Pipeline::new(handler, pool.clone(), settings, metrics);
                    tasks.spawn(pipeline.run(stop.clone()));
                    let bank = self.bank(&endpoints)?;
                    let inquiry = Inquiry {
                        first: Duration::try_from_secs_f64(self.inquiry_first)?,
                        longest: Duration::try_from_secs_f64(self.inquiry_longest)?,
                    };
                    let at_banks = AtBanks {
                        pool,
                        bootstrap: endpoints.kafka_bootstrap.clone(),
                        encoders,
                        bank,
                        inquiry,
                        notices: Duration::try_from_secs_f64(self.bank_notices)?,
                        metrics: bank_metrics.clone(),
                    };
                    tasks.spawn(work(at_banks, stop));
                }
            }
        }
        if let Some(address) = self.metrics_listen {
            super::metrics::serve(address, registry).await?;
        }
        while let Some(ended) = tasks.join_next().await {
            ended.context("a consumer's task panicked")?;
        }
        Ok(ExitCode::SUCCESS)
    }

    fn bank(&self, endpoints: &Endpoints) -> anyhow::Result<BankClient> {
        let table = match &self.answer_codes {
            Some(path) => ClassTable::from_path(path)?,
            None => ClassTable::of_environment()?,
        };
        let settling = self
            .bank_settling
            .map(Duration::try_from_secs_f64)
            .transpose()?;
        // A window of no length never rests.
        let awake: RestWindow = "00:00-00:00".parse()?;
        let rests = self.bank_rest == "on";
        let table = table.adjusted(|bank| {
            if !rests {
                bank.rest_window = awake;
            }
            if let Some(settling) = settling {
                bank.settling_time = settling;
            }
        });
        let mut config = ClientConfig::new(&endpoints.bank_url);
        config.table = Arc::new(table);
        Ok(BankClient::new(config)?)
    }
}

/// What the workers at the banks need.
struct AtBanks {
    pool: PgPool,
    bootstrap: String,
    encoders: Arc<Encoders>,
    bank: BankClient,
    inquiry: Inquiry,
    notices: Duration,
    metrics: BankMetrics,
}

/// The workers at the banks, with an outbox and a relay of their own.
async fn work(at_banks: AtBanks, stop: watch::Receiver<bool>) {
    let AtBanks {
        pool,
        bootstrap,
        encoders,
        bank,
        inquiry,
        notices,
        metrics,
    } = at_banks;
    while !*stop.borrow() {
        let slot = match Slot::take(&pool, BANK_WORKERS).await {
            Ok(slot) => slot,
            Err(error) => {
                tracing::warn!(%error, "no slot for the bank workers yet");
                tokio::time::sleep(Duration::from_secs(1)).await;
                continue;
            }
        };
        let bell = Arc::new(Notify::new());
        let relay = Relay::new(pool.clone(), &bootstrap, &slot.name(), Arc::clone(&bell));
        let relay = tokio::spawn(relay.run());
        let adopting = tokio::spawn(mypay_producers::adopt::run(
            pool.clone(),
            bootstrap.clone(),
            slot.name(),
        ));
        let (end, mut ended) = watch::channel(false);
        let workers = Workers {
            pool: pool.clone(),
            bank: bank.clone(),
            encoders: Arc::clone(&encoders),
            writer: slot.name(),
            bell,
            inquiry,
            notices,
            metrics: metrics.clone(),
            sharers: Default::default(),
        };
        let mut working = tokio::spawn(workers.run(ended.clone()));
        let mut stopping = stop.clone();
        tokio::select! {
            _ = stopping.wait_for(|stop| *stop) => {}
            () = mypay_idempotency::slot::until_lost(slot.lost()) => {}
            _ = &mut working => {}
        }
        end.send_replace(true);
        ended.mark_unchanged();
        if !working.is_finished()
            && tokio::time::timeout(Duration::from_secs(10), &mut working)
                .await
                .is_err()
        {
            // The leases run out, and inquiries find out.
            working.abort();
        }
        until_sent(&pool, &slot.name()).await;
        relay.abort();
        adopting.abort();
        if *stop.borrow()
            && let Err(error) = slot.give_back().await
        {
            tracing::warn!(%error, "the bank workers' slot was not given back");
        }
    }
}

/// Waits a moment for the relay to send what the workers wrote last. What it
/// leaves is sent by whoever takes the slot, or adopts its outbox.
async fn until_sent(pool: &PgPool, writer: &str) {
    for _ in 0..30 {
        let left = sqlx::query("SELECT 1 FROM outbox WHERE writer = $1 LIMIT 1")
            .bind(writer)
            .fetch_optional(pool)
            .await;
        if !matches!(left, Ok(Some(_))) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn flows(names: &[String]) -> anyhow::Result<Vec<Flow>> {
    if names.iter().any(|name| name == "all") {
        return Ok(Flow::ALL.to_vec());
    }
    let mut flows: Vec<Flow> = names
        .iter()
        .map(|name| name.parse().map_err(anyhow::Error::msg))
        .collect::<Result<_, _>>()?;
    flows.sort_unstable();
    flows.dedup();
    Ok(flows)
}

/// Waits until the database answers, and brings its tables up to date.
async fn wait_for_database(pool: &PgPool, stop: watch::Receiver<bool>) -> anyhow::Result<()> {
    loop {
        match mypay_database::migrate(pool).await {
            Ok(()) => return Ok(()),
            Err(MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _))
                if mypay_idempotency::is_transient(&error) && !*stop.borrow() =>
            {
                tracing::warn!(%error, "waiting for the database");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            Err(error) => return Err(error).context("bringing the tables up to date"),
        }
    }
}

/// Waits until the registry answers; `None` where the process was stopped.
async fn wait_for_schemas(
    registry_url: &str,
    stop: watch::Receiver<bool>,
) -> anyhow::Result<Option<Arc<Encoders>>> {
    while !*stop.borrow() {
        match Encoders::look_up(registry_url).await {
            Ok(encoders) => return Ok(Some(Arc::new(encoders))),
            Err(EncodersError::Registry(error)) => {
                tracing::warn!(%error, "waiting for the schema registry");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(None)
}
