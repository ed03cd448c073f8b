//! `mypay day`: a business day on real input, from the first member to the
//! audit.
//!
//! Nothing here looks behind the doors that a client has: members, requests and
//! answers go over HTTP, results are read from the topics, and some requests
//! are put on the topics directly, as an outside client would, good and bad.

mod edge;
mod follow;
mod plan;
mod processes;
mod send;
mod table;
mod town;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;
use mypay_auth::Sources;
use mypay_schemas::Flow;
use mypay_stack::{Endpoints, Stack};

use edge::Edge;
use follow::Follower;
pub(crate) use processes::prepare;

/// Run a business day through the pipeline, and audit it.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many requests.
    #[arg(long, env = "RUN_COUNT", default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(10..=5_000_000))]
    count: u32,
    /// How many customers the town has, when it is founded.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(10..=1_000_000))]
    members: u32,
    /// How many franchises.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    franchises: u32,
    /// The share of commands whose answer the bank loses after executing them.
    #[arg(long, default_value_t = 0.02)]
    lost_answers: f64,
    /// The same seed gives the same day.
    #[arg(long, default_value_t = 20_251_124)]
    seed: u64,
}

/// How long the last results are waited for, after the last request.
const LAST_RESULTS: Duration = Duration::from_secs(180);
/// How long the audit waits for what is still under way at the banks.
const AUDIT_WAIT: Duration = Duration::from_secs(120);

impl Args {
    pub(crate) async fn run(self, json: bool) -> anyhow::Result<ExitCode> {
        let began = Instant::now();
        let stack = Stack::of_this_checkout();
        let endpoints = Endpoints::discover()?;
        let say = |what: &str| eprintln!("{:>7.1}s  {what}", began.elapsed().as_secs_f64());

        processes::prepare(&endpoints, &say).await?;
        processes::start(&stack, &endpoints, &say).await?;
        let key = Sources::of_environment(stack.token_key()).key()?;
        let edge = Edge::new(&endpoints.api_url, &key)?;
        edge.until_healthy(Duration::from_secs(60))
            .await
            .with_context(|| {
                format!(
                    "the edge does not accept; its log is {}",
                    stack.log("edge").display()
                )
            })?;
        let bank = processes::dial_bank(&endpoints, self.seed, self.lost_answers).await?;
        let town = town::found(
            &edge,
            &bank,
            stack.home(),
            (self.members, self.franchises),
            &say,
        )
        .await
        .context("founding the town")?;

        let before = table::Counts::read(&endpoints.database_url).await?;
        let follower = Follower::start(&endpoints)?;
        let mut sender = send::Sender::new(edge.clone(), &endpoints, follower.watch()).await?;
        let plan = plan::Plan::of_a_day(&town, self.count, self.seed);
        say(&format!("{} requests: the morning's recharges", self.count));
        sender.send_all("recharges", plan.morning).await?;
        follower.until_quiet("results", LAST_RESULTS).await?;
        say("remittances and payments");
        sender.send_all("requests", plan.day).await?;
        sender.send_bad(plan.bad).await?;
        follower.until_quiet("results", LAST_RESULTS).await?;
        say("the evening's settlement");
        sender
            .send_all("settlement", vec![plan::settlement()])
            .await?;
        follower.until_quiet("results", LAST_RESULTS).await?;

        let after = table::Counts::read(&endpoints.database_url).await?;
        let days = follower.stop();
        let tally = sender.tally();
        say("the audit");
        let audit = mypay_audit::audit(&super::audit::servers()?, Some(AUDIT_WAIT)).await?;
        let clean = audit.verdict == mypay_audit::report::Verdict::Clean;
        if json {
            println!(
                "{}",
                serde_json::json!({
                    "flows": table::as_json(&days, &tally, &before, &after),
                    "audit": audit,
                    "seconds": began.elapsed().as_secs_f64(),
                })
            );
        } else {
            println!("\n{}", table::render(&days, &tally, &before, &after));
            super::audit::print(&audit);
            table::where_to_look(&stack, &endpoints);
        }
        let unanswered: usize = Flow::ALL.iter().map(|flow| days.unanswered(*flow)).sum();
        if unanswered > 0 {
            eprintln!(
                "error: {unanswered} requests have no result after {LAST_RESULTS:?}; look at GET /requests/<id> and the consumers' logs"
            );
        }
        Ok(ExitCode::from(u8::from(!clean || unanswered > 0)))
    }
}
