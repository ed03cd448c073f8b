//! `mypay bench`: how fast a flow is, and where the time goes.

mod report;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use mypay_bench::drain::{Drain, Drained};
use mypay_bench::firmbanking::{self, Commands};
use mypay_bench::money::Books;
use mypay_bench::paced::{Pace, Paced};
use mypay_bench::requests::Load;
use mypay_bench::settlement::Settling;
use mypay_bench::town::{Town, opening};
use mypay_bench::world::World;
use mypay_bench::{edge, naive, older_rows, postgres_alone};
use mypay_schemas::Flow;
use mypay_stack::Stack;

use super::day::prepare;
use report::{Report, Shape};

/// Towns up to this size are founded anew for each run.
const SMALL_TOWN: u64 = 200_000;

/// Requests a second, and seconds, before a drain: brokers that have just been
/// started need several times the CPU that they need later.
const WARM_UP_RATE: u32 = 2_000;
const WARM_UP_SECONDS: usize = 20;

/// Franchises of a town, where none are given; a settlement has one for a thousand
/// slips.
const FRANCHISES: u64 = 200;

/// Requests a run, where no count is given; and commands, of which a bank takes 950,000 a
/// day.
const REQUESTS: u32 = 300_000;
const COMMANDS: u32 = 75_000;

/// Acceptances a second, where no rate is given.
const EDGE_RATE: u32 = 5_000;

/// What a flow is measured against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Against {
    /// A plain consumer: a message a transaction, its result awaited, its
    /// offset committed.
    Naive,
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Subject {
    /// A flow's consumer.
    Flow(Flow),
    /// The HTTP edge.
    Edge,
    /// Commands to a bank.
    Firmbanking,
    /// A settlement run in the middle of a drain of payments.
    Settlement,
}

impl std::str::FromStr for Subject {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            _ if text == "edge" => Ok(Subject::Edge),
            _ if text == "settlement" => Ok(Subject::Settlement),
            Ok(Flow::Firmbanking) => Ok(Subject::Firmbanking),
            Ok(flow @ (Flow::Remittance | Flow::Payment | Flow::Recharge)) => {
                Ok(Subject::Flow(flow))
            }
            _ => Err(
                "choose remittance, payment, recharge, settlement, firmbanking or edge".to_string(),
            ),
        }
    }
}

/// Measure a flow: messages a second, latency, and where the time goes.
///
/// Uses a stack of its own, `.mypay/bench` (or `$MYPAY_HOME`), and leaves it
/// running: `MYPAY_HOME=.mypay/bench mypay stack down --wipe` removes it.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// remittance, payment, recharge (from request to the command to the bank),
    /// firmbanking (from request over the bank to the result), settlement (a run
    /// in the middle of a drain of payments), or edge (durable
    /// acceptances over HTTP).
    subject: Subject,
    /// How many requests a run [default: 300000; commands to a bank: 75000]
    #[arg(long, value_parser = clap::value_parser!(u32).range(100..=20_000_000))]
    count: Option<u32>,
    /// How many runs are counted.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    runs: u32,
    /// How many runs come before them: the brokers' JVMs compile for some
    /// million messages until they are as fast as they get [default: 3; commands to a
    /// bank: 6]
    #[arg(long)]
    warm_up: Option<u32>,
    /// Requests a second: measures how long each waits for its result.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: Option<u32>,
    /// How long the client of the paced requests waits for more to send along,
    /// milliseconds (with --rate).
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(0..=1_000))]
    linger_ms: u32,
    /// How many members.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(10..=100_000_000))]
    accounts: u64,
    /// How many rows this week's partition of queue_log has at the least before it begins
    /// (remittance, payment, recharge); what lacks is made. Whoever audits this stack later
    /// finds them without messages.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=1_000_000_000))]
    queue_log: u64,
    /// How many franchises.
    #[arg(long, default_value_t = FRANCHISES, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    franchises: u64,
    /// Half of all remittances go to one member, all payments to one franchise.
    #[arg(long)]
    skewed: bool,
    /// How many slips wait for the settlement; they are made by a drain.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(100..=20_000_000))]
    slips: u32,
    /// How many consumer processes.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=6))]
    consumers: u8,
    /// Measure this, too (remittance only).
    #[arg(long)]
    against: Option<Against>,
    /// How long the bank takes for an answer, milliseconds (firmbanking only).
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(0..=5_000))]
    bank_ms: u64,
    /// How many requests the naive consumer gets.
    #[arg(long, default_value_t = 3_000)]
    naive_count: u32,
}

impl Args {
    pub(crate) async fn run(self, json: bool) -> anyhow::Result<ExitCode> {
        if self.against.is_some() && self.subject != Subject::Flow(Flow::Remittance) {
            bail!("the naive consumer knows remittances only");
        }
        if self.queue_log > 0 && !matches!(self.subject, Subject::Flow(_)) {
            bail!("--queue-log is for remittances, payments and recharges");
        }
        let world = connect().await?;
        let flow = match self.subject {
            Subject::Flow(flow) => flow,
            Subject::Edge => return self.edge(&world, json).await,
            Subject::Firmbanking => return self.firmbanking(&world, json).await,
            Subject::Settlement => return self.settlement(&world, json).await,
        };
        if self.queue_log > 0 {
            older_rows::ensure_rows(&world.pool, flow, self.queue_log, say).await?;
        }
        let mut report = Report::new(Shape {
            flow,
            count: self.count(),
            rate: self.rate,
            accounts: self.accounts,
            queue_log: self.queue_log,
            skewed: self.skewed,
            consumers: self.consumers,
        });
        match self.rate {
            None => self.drain(&world, flow, &mut report).await?,
            Some(rate) => self.pace(&world, flow, rate, &mut report).await?,
        }
        report.print(json)?;
        Ok(ExitCode::SUCCESS)
    }

    async fn drain(&self, world: &World, flow: Flow, report: &mut Report) -> anyhow::Result<()> {
        let mut town: Option<(Town, Books)> = None;
        if self.warm_ups() > 0 {
            self.warm_brokers_up(world, flow).await?;
        }
        for run in 0..self.warm_ups() + self.runs {
            let mut here = match town.take() {
                Some(here) if self.accounts > SMALL_TOWN => here,
                _ => (self.found(world, flow).await?, Books::default()),
            };
            let drain = Drain {
                flow,
                count: self.count() as usize,
                load: self.load(),
                consumers: self.consumers.into(),
            };
            let drained: Drained = drain.run(world, &here.0, &mut here.1).await?;
            say(&format!(
                "{}: {:.0} messages/s",
                self.name_of(run),
                drained.messages_per_second
            ));
            if run >= self.warm_ups() {
                report.drained.push(drained);
            }
            town = Some(here);
        }
        if flow == Flow::Remittance && !self.skewed && self.accounts <= SMALL_TOWN {
            say("PostgreSQL alone, the same rows");
            let town = self.found(world, flow).await?;
            let alone = postgres_alone::measure(world, &town, self.count() as usize).await?;
            report.postgres_alone = Some(alone);
        }
        if self.against == Some(Against::Naive) {
            say("the naive consumer");
            let town = self.found(world, flow).await?;
            report.naive = Some(naive::drain(world, &town, self.naive_count as usize).await?);
        }
        Ok(())
    }

    /// Many small requests, so that the brokers' JVMs compile what they run: of a small
    /// town, since a large one takes minutes to found.
    async fn warm_brokers_up(&self, world: &World, flow: Flow) -> anyhow::Result<()> {
        let pace = Pace {
            flow,
            count: WARM_UP_RATE as usize * WARM_UP_SECONDS,
            rate: WARM_UP_RATE,
            load: self.load(),
            linger_ms: self.linger_ms,
        };
        let members = self.accounts.min(SMALL_TOWN);
        let town = self.found_with(world, flow, members).await?;
        let paced = pace.run(world, &town).await?;
        let latency = paced.latency_ms;
        say(&format!(
            "warm-up: {WARM_UP_RATE} requests/s, p50 {:.0} ms",
            latency.p50
        ));
        Ok(())
    }

    async fn pace(
        &self,
        world: &World,
        flow: Flow,
        rate: u32,
        report: &mut Report,
    ) -> anyhow::Result<()> {
        let town = self.found(world, flow).await?;
        for run in 0..self.warm_ups() + self.runs {
            let pace = Pace {
                flow,
                count: self.count() as usize,
                rate,
                load: self.load(),
                linger_ms: self.linger_ms,
            };
            let paced: Paced = pace.run(world, &town).await?;
            let latency = paced.latency_ms;
            say(&format!(
                "{}: p50 {:.0} ms, p99 {:.0} ms",
                self.name_of(run),
                latency.p50,
                latency.p99
            ));
            if run >= self.warm_ups() {
                report.paced.push(paced);
            }
        }
        Ok(())
    }

    async fn edge(&self, world: &World, json: bool) -> anyhow::Result<ExitCode> {
        let town = self.found(world, Flow::Remittance).await?;
        let rate = self.rate.unwrap_or(EDGE_RATE);
        let mut runs = Vec::new();
        for run in 0..self.warm_ups() + self.runs {
            let accepted = edge::measure(world, &town, self.count() as usize, rate).await?;
            let latency = accepted.latency_ms;
            say(&format!(
                "{}: {:.0} acceptances/s, p50 {:.1} ms, p99 {:.1} ms, max {:.1} ms",
                self.name_of(run),
                accepted.messages_per_second,
                latency.p50,
                latency.p99,
                latency.max
            ));
            if run >= self.warm_ups() {
                runs.push(accepted);
            }
        }
        if json {
            println!("{}", serde_json::to_string_pretty(&runs)?);
        }
        Ok(ExitCode::SUCCESS)
    }

    fn count(&self) -> u32 {
        self.count.unwrap_or(match self.subject {
            Subject::Firmbanking => COMMANDS,
            _ => REQUESTS,
        })
    }

    async fn firmbanking(&self, world: &World, json: bool) -> anyhow::Result<ExitCode> {
        let wanted = u64::from(self.warm_ups() + self.runs) * u64::from(self.count());
        firmbanking::ensure_numbers(&world.pool, wanted).await?;
        let mut runs = Vec::new();
        for run in 0..self.warm_ups() + self.runs {
            let commands = Commands {
                count: self.count() as usize,
                bank_ms: self.bank_ms,
            };
            let commanded = commands.run(world).await?;
            let (cpu, calls) = (commanded.cpu_seconds, commanded.in_flight_mean);
            say(&format!(
                "{}: {:.0} commands/s, {calls:.0} calls in flight (mean), {:.0} ms each; CPU of \
                 consumer {:.1} s, bank {:.1} s, PostgreSQL {:.1} s, brokers {:.1} s",
                self.name_of(run),
                commanded.commands_per_second,
                commanded.call_ms,
                cpu.consumers,
                commanded.bank_cpu_seconds,
                cpu.postgres,
                cpu.brokers,
            ));
            if run >= self.warm_ups() {
                runs.push(commanded);
            }
        }
        if json {
            println!("{}", serde_json::to_string_pretty(&runs)?);
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn settlement(&self, world: &World, json: bool) -> anyhow::Result<ExitCode> {
        // As many franchises as the size of the run asks for, unless told otherwise.
        let franchises = match self.franchises {
            FRANCHISES => (u64::from(self.slips) / 1_000).max(1),
            told => told,
        };
        let town = Town::found(
            &world.pool,
            self.accounts,
            franchises,
            opening(Flow::Payment),
        )
        .await
        .context("founding a town")?;
        let settling = Settling {
            slips: self.slips as usize,
            payments: self.count() as usize,
        };
        let settled = settling.run(world, &town).await?;
        say(&format!(
            "{} slips, {} payout requests on the topic after {:.1} s; payments: {:.0}/s alone, {:.0}/s meanwhile",
            settled.slips,
            settled.payouts,
            settled.seconds,
            settled.payments_alone_per_second,
            settled.payments_meanwhile_per_second,
        ));
        if json {
            println!("{}", serde_json::to_string_pretty(&settled)?);
        }
        Ok(ExitCode::SUCCESS)
    }

    fn name_of(&self, run: u32) -> String {
        match run.checked_sub(self.warm_ups()) {
            None => "warm-up".to_string(),
            Some(counted) => format!("run {} of {}", counted + 1, self.runs),
        }
    }

    async fn found(&self, world: &World, flow: Flow) -> anyhow::Result<Town> {
        self.found_with(world, flow, self.accounts).await
    }

    async fn found_with(&self, world: &World, flow: Flow, members: u64) -> anyhow::Result<Town> {
        Town::found(&world.pool, members, self.franchises, opening(flow))
            .await
            .context("founding a town")
    }

    fn warm_ups(&self) -> u32 {
        self.warm_up.unwrap_or(match self.subject {
            Subject::Firmbanking => 6,
            _ => 3,
        })
    }

    fn load(&self) -> Load {
        if self.skewed {
            Load::Skewed
        } else {
            Load::Even
        }
    }
}

async fn connect() -> anyhow::Result<World> {
    let stack = match std::env::var_os("MYPAY_HOME") {
        Some(_) => Stack::of_this_checkout(),
        None => Stack::at(Stack::of_this_checkout().home().join("bench")),
    };
    let endpoints = stack.up(say).await?;
    // What a measurement that was cut short has left running.
    for service in stack.status().await? {
        if service.name.starts_with("bench-") {
            stack.stop(&service.name, Duration::from_secs(20)).await?;
        }
    }
    prepare(&endpoints, &say).await?;
    World::connect(stack, endpoints).await
}

fn say(what: &str) {
    eprintln!("{what}");
}
