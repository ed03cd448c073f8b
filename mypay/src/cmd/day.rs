//! `mypay day`: a business day on real input, from the first member to the
//! audit.
//!
//! Nothing here looks behind the doors that a client has: members, requests and
//! answers go over HTTP, results are read from the topics, and some requests
//! are put on the topics directly, as an outside client would, good and bad.

mod edge;
mod evening;
mod follow;
mod plan;
mod processes;
mod send;
mod staff;
mod table;
mod town;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;
use mypay_auth::Sources;
use mypay_decide::limits::korean_day;
use mypay_schemas::Flow;
use mypay_stack::{Endpoints, Stack};

use edge::Edge;
use evening::Happened;
use follow::Follower;
pub(crate) use processes::prepare;
use send::Sender;
use staff::Paid;
use town::Town;

/// Run a business day through the pipeline, and audit it.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many requests, besides cancels and runs.
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
/// From so many requests on, a day must have shown all that it can.
const SHOWS_ALL: u32 = 5_000;
/// Where there are fewer for each franchise, one may be paid by nobody.
const SHOWS_ALL_EACH: u32 = 25;
/// How long the bank's maintenance window is.
const REST: Duration = Duration::from_secs(4);

impl Args {
    /// Whether the day is so long that all that it can show must have happened.
    fn shows_all(&self) -> bool {
        self.count >= SHOWS_ALL && self.count >= self.franchises.saturating_mul(SHOWS_ALL_EACH)
    }

    pub(crate) async fn run(self, json: bool) -> anyhow::Result<ExitCode> {
        let began = Instant::now();
        let stack = Stack::of_this_checkout();
        let endpoints = Endpoints::discover()?;
        let say = |what: &str| eprintln!("{:>7.1}s  {what}", began.elapsed().as_secs_f64());
        let first_day = korean_day(chrono::Utc::now());

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
        let faults = processes::faults(self.seed, self.lost_answers, None)?;
        let bank = processes::dial_bank(&endpoints, &faults).await?;
        let size = (self.members, self.franchises);
        let town = town::found(&edge, &bank, stack.home(), size, &say)
            .await
            .context("founding the town")?;

        let before = table::Counts::read(&endpoints.database_url).await?;
        let happened_before = Happened::read(&endpoints.database_url).await?;
        let follower = Follower::start(&endpoints)?;
        let mut day = Day {
            sender: Sender::new(edge.clone(), &endpoints, follower.watch()).await?,
            args: &self,
            endpoints: &endpoints,
            edge,
            follower,
            town,
            say: &say,
        };
        day.pass().await?;

        let after = table::Counts::read(&endpoints.database_url).await?;
        let tally = day.sender.tally();
        let days = day.follower.stop();
        say("the close with the banks");
        let dates = (first_day, korean_day(chrono::Utc::now()));
        let closes = evening::closes(&endpoints, dates).await?;
        let happened = Happened::read(&endpoints.database_url).await?;
        let happened = happened.since(happened_before);
        let mut missing = happened.missing();
        if !self.shows_all() {
            missing.clear();
        }
        say("the audit");
        let audit = mypay_audit::audit(&super::audit::servers()?, Some(AUDIT_WAIT)).await?;
        let clean = audit.verdict == mypay_audit::report::Verdict::Clean;
        let closed = closes.iter().all(|close| close.is_closed());
        if json {
            println!(
                "{}",
                serde_json::json!({
                    "flows": table::as_json(&days, &tally, &before, &after),
                    "also": happened,
                    "did_not_happen": missing,
                    "closes": closes,
                    "audit": audit,
                    "seconds": began.elapsed().as_secs_f64(),
                })
            );
        } else {
            println!("\n{}", table::render(&days, &tally, &before, &after));
            happened.print();
            closes.iter().for_each(super::close::print);
            println!();
            super::audit::print(&audit);
            table::where_to_look(&stack, &endpoints);
        }
        let unanswered: usize = Flow::ALL.iter().map(|flow| days.unanswered(*flow)).sum();
        if unanswered > 0 {
            eprintln!(
                "error: {unanswered} requests have no result after {LAST_RESULTS:?}; look at GET /requests/<id> and the consumers' logs"
            );
        }
        for what in &missing {
            eprintln!(
                "error: 0 {what}: a day of {} requests must show some",
                self.count
            );
        }
        let good = clean && closed && unanswered == 0 && missing.is_empty();
        Ok(ExitCode::from(u8::from(!good)))
    }
}

/// A day under way.
struct Day<'a, S> {
    args: &'a Args,
    endpoints: &'a Endpoints,
    edge: Edge,
    sender: Sender,
    follower: Follower,
    town: Town,
    say: &'a S,
}

impl<S: Fn(&str)> Day<'_, S> {
    /// From the first recharge to the last payout.
    async fn pass(&mut self) -> anyhow::Result<()> {
        let count = self.args.count;
        let plan = plan::Plan::of_a_day(&self.town, count, self.args.seed);
        let resting = self.town.banks.first().cloned().unwrap_or_default();
        self.say(&format!(
            "{count} requests: the morning's recharges; bank {resting} rests for {} s",
            REST.as_secs()
        ));
        let rest = self.rest(&resting).await?;
        self.sender.send_all("recharges", plan.morning).await?;
        rest.await??;
        self.all_answered().await?;

        self.say("remittances and payments");
        let paid = Paid::of(&plan.noon);
        self.sender.send_all("requests", plan.noon).await?;
        self.all_answered().await?;
        self.say("the noon settlement");
        self.send(plan::settlement()).await?;

        let changed = staff::change_commissions(&self.edge, &self.town).await?;
        self.say(&format!(
            "{changed} franchises have another commission; cancels, remittances and payments"
        ));
        let cancels = staff::cancels(&self.town, &paid, &self.follower.watch().paid());
        self.sender.send_all("cancels", cancels).await?;
        self.sender.send_all("requests", plan.afternoon).await?;
        self.sender.send_bad(plan.bad).await?;
        self.all_answered().await?;

        // The last, since the first is below zero by now.
        let held = self.town.franchises.last().cloned().unwrap_or_default();
        staff::hold(&self.edge, &held).await?;
        self.say("the evening's settlement, one franchise on hold");
        self.send(plan::settlement()).await?;
        staff::release(&self.edge, &held).await?;
        self.say("the hold is released, and the payout tried again");
        self.send(plan::retry(&held)).await?;
        // Until the last payout that a bank undoes is undone.
        tokio::time::sleep(processes::REVERSAL + Duration::from_secs(1)).await;
        Ok(())
    }

    fn say(&self, what: &str) {
        (self.say)(what);
    }

    /// A bank's maintenance window begins, and ends by itself.
    async fn rest(
        &self,
        bank_code: &str,
    ) -> anyhow::Result<tokio::task::JoinHandle<anyhow::Result<()>>> {
        let (seed, lost) = (self.args.seed, self.args.lost_answers);
        let resting = processes::faults(seed, lost, Some(bank_code))?;
        let bank = processes::dial_bank(self.endpoints, &resting).await?;
        let awake = processes::faults(seed, lost, None)?;
        Ok(tokio::spawn(async move {
            tokio::time::sleep(REST).await;
            bank.dial_faults(&awake).await?;
            Ok(())
        }))
    }

    async fn send(&mut self, planned: plan::Planned) -> anyhow::Result<()> {
        self.sender.send_all("requests", vec![planned]).await?;
        self.all_answered().await
    }

    async fn all_answered(&self) -> anyhow::Result<()> {
        self.follower.until_quiet("results", LAST_RESULTS).await
    }
}
