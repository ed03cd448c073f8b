//! `mypay settle`: asks for a settlement run, and waits for it if told to.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use chrono::{DateTime, Utc};
use mypay_idempotency::queue_log::{self, Known, Status};
use mypay_producers::Producer;
use mypay_producers::accept::{Answer, Envelope};
use mypay_producers::settlement::SettlementBody;
use mypay_schemas::Flow;
use mypay_schemas::identity::time_of;
use serde::Serialize;
use sqlx::PgPool;
use uuid::Uuid;

/// The exit code where the run was rejected.
const REJECTED: u8 = 1;
const LOOK: Duration = Duration::from_millis(100);
/// How long the relay gets to send the request on.
const SEND_ON: Duration = Duration::from_secs(10);

/// Settle franchises up to a cut.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Slips and cancels up to this instant belong to the run, RFC 3339; now where
    /// absent.
    #[arg(long)]
    cut: Option<DateTime<Utc>>,
    /// The one franchise to settle; all where absent.
    #[arg(long)]
    franchise: Option<Uuid>,
    /// The request's id, a UUID version 7: the same each time you try.
    #[arg(long)]
    id: Option<Uuid>,
    /// Wait until the run is made, at most so many seconds (120 where none are given).
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "120")]
    wait: Option<u64>,
}

/// What became of the request.
#[derive(Serialize)]
struct Settled {
    run_id: Uuid,
    cut_at: DateTime<Utc>,
    /// `ACCEPTED`, `COMPLETED` or `REJECTED`.
    status: &'static str,
    reason: Option<String>,
    /// The run's sums, once it is made.
    totals: Option<serde_json::Value>,
}

impl Args {
    pub(crate) async fn run(self, json: bool) -> anyhow::Result<ExitCode> {
        let id = self.id.unwrap_or_else(Uuid::now_v7);
        // By the id where no cut is given: a second try with it is the same run.
        let cut_at = match self.cut {
            Some(cut_at) => cut_at,
            None => DateTime::from_timestamp_millis(time_of(id)).context("the id's time")?,
        };
        let (producer, pool) = super::produce::open().await?;
        let asked = self.ask(&producer, id, cut_at).await;
        producer.close(SEND_ON).await?;
        asked?;
        let known = match self.wait {
            Some(seconds) => Some(wait(&pool, id, Duration::from_secs(seconds)).await?),
            None => None,
        };
        let settled = Settled::of(id, cut_at, known);
        settled.show(json)?;
        Ok(match settled.status {
            "REJECTED" => ExitCode::from(REJECTED),
            _ => ExitCode::SUCCESS,
        })
    }

    async fn ask(
        &self,
        producer: &Producer,
        id: Uuid,
        cut_at: DateTime<Utc>,
    ) -> anyhow::Result<()> {
        let acceptance = producer.acceptance();
        let envelope = Envelope {
            message_id: acceptance.check_id(&id.to_string())?,
            correlation_id: None,
            traceparent: None,
            requested_by: None,
        };
        let body = SettlementBody {
            cut_at,
            franchise_id: self.franchise.map(|id| id.to_string()),
        };
        match acceptance
            .accept(acceptance.prepare(envelope, body)?)
            .await?
        {
            Answer::Accepted { .. } | Answer::Known(_) => Ok(()),
            Answer::Conflict { flow } => {
                bail!("the id {id} belongs to another request ({flow}): a new run needs a new one")
            }
        }
    }
}

async fn wait(pool: &PgPool, id: Uuid, patience: Duration) -> anyhow::Result<Known> {
    let until = tokio::time::Instant::now() + patience;
    while tokio::time::Instant::now() < until {
        let mut connection = pool.acquire().await?;
        let known = queue_log::known(&mut connection, Flow::Settlement.name(), &[id]).await?;
        drop(connection);
        if let Some(known) = known.into_values().find(|it| it.status == Status::Done) {
            return Ok(known);
        }
        tokio::time::sleep(LOOK).await;
    }
    bail!(
        "the run {id} is not made after {patience:?}: does `mypay consume settlement` run? It is \
         durable; ask again with --id {id} --wait"
    )
}

impl Settled {
    fn of(run_id: Uuid, cut_at: DateTime<Utc>, known: Option<Known>) -> Self {
        let outcome = known.map(|known| known.outcome);
        let status = match outcome.as_ref().and_then(|outcome| outcome.success) {
            None => "ACCEPTED",
            Some(true) => "COMPLETED",
            Some(false) => "REJECTED",
        };
        let (reason, result) = outcome.map_or((None, None), |it| (it.reason, it.result));
        Self {
            run_id,
            cut_at,
            status,
            reason,
            totals: result.and_then(|mut kept| Some(kept.get_mut("totals")?.take())),
        }
    }

    fn show(&self, json: bool) -> anyhow::Result<()> {
        if json {
            println!("{}", serde_json::to_string_pretty(self)?);
            return Ok(());
        }
        println!("run {}: {}", self.run_id, self.status);
        println!("cut  {}", self.cut_at.to_rfc3339());
        if let Some(reason) = &self.reason {
            println!("reason {reason}");
        }
        for (name, sum) in self
            .totals
            .iter()
            .flat_map(|totals| totals.as_object())
            .flatten()
        {
            println!("{name:>12} {sum}");
        }
        Ok(())
    }
}
