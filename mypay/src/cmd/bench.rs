//! `mypay bench`: how fast a flow is, and where the time goes.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use mypay_bench::drain::{Drain, Drained};
use mypay_bench::money::Books;
use mypay_bench::paced::{Pace, Paced};
use mypay_bench::requests::Load;
use mypay_bench::town::{Town, opening};
use mypay_bench::world::World;
use mypay_schemas::Flow;
use mypay_stack::Stack;

use super::day::prepare;

/// Towns up to this size are founded anew for each run.
const SMALL_TOWN: u64 = 200_000;

/// Measure a flow: messages a second, latency, and where the time goes.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// remittance, payment or recharge (from request to the command to the bank).
    flow: Flow,
    /// How many requests a run.
    #[arg(long, default_value_t = 300_000, value_parser = clap::value_parser!(u32).range(100..=20_000_000))]
    count: u32,
    /// How many runs.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    runs: u32,
    /// Requests a second: measures how long each waits for its result.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: Option<u32>,
    /// How many members.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(10..=100_000_000))]
    accounts: u64,
    /// How many franchises.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    franchises: u64,
    /// Half of all remittances go to one member, all payments to one franchise.
    #[arg(long)]
    skewed: bool,
    /// How many consumer processes.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=6))]
    consumers: u8,
}

impl Args {
    pub(crate) async fn run(self, json: bool) -> anyhow::Result<ExitCode> {
        if matches!(self.flow, Flow::Firmbanking | Flow::Settlement) {
            bail!("{} is not measured: choose remittance, payment or recharge", self.flow);
        }
        let home = Stack::of_this_checkout().home().join("bench");
        let stack = match std::env::var_os("MYPAY_HOME") {
            Some(_) => Stack::of_this_checkout(),
            None => Stack::at(home),
        };
        let say = |what: &str| eprintln!("{what}");
        let endpoints = stack.up(say).await?;
        prepare(&endpoints, &say).await?;
        let world = World::connect(stack, endpoints).await?;
        match self.rate {
            None => self.drain(&world, json).await,
            Some(rate) => self.pace(&world, rate, json).await,
        }
    }

    async fn found(&self, world: &World) -> anyhow::Result<Town> {
        Town::found(&world.pool, self.accounts, self.franchises, opening(self.flow))
            .await
            .context("founding a town")
    }

    fn load(&self) -> Load {
        if self.skewed { Load::Skewed } else { Load::Even }
    }

    async fn drain(&self, world: &World, json: bool) -> anyhow::Result<ExitCode> {
        let mut runs: Vec<Drained> = Vec::new();
        let mut town: Option<(Town, Books)> = None;
        for _ in 0..self.runs {
            let mut here = match town.take() {
                Some(here) if self.accounts > SMALL_TOWN => here,
                _ => (self.found(world).await?, Books::default()),
            };
            let drain = Drain {
                flow: self.flow,
                count: self.count as usize,
                load: self.load(),
                consumers: self.consumers.into(),
            };
            let drained = drain.run(world, &here.0, &mut here.1).await?;
            eprintln!("{}", serde_json::to_string(&drained)?);
            runs.push(drained);
            town = Some(here);
        }
        let mut rates: Vec<f64> = runs.iter().map(|run| run.messages_per_second).collect();
        rates.sort_by(f64::total_cmp);
        println!("{rates:?} {json}");
        Ok(ExitCode::SUCCESS)
    }

    async fn pace(&self, world: &World, rate: u32, json: bool) -> anyhow::Result<ExitCode> {
        let town = self.found(world).await?;
        let mut runs: Vec<Paced> = Vec::new();
        for _ in 0..self.runs {
            let pace = Pace {
                flow: self.flow,
                count: self.count as usize,
                rate,
                load: self.load(),
            };
            let paced = pace.run(world, &town).await?;
            eprintln!("{}", serde_json::to_string(&paced)?);
            runs.push(paced);
        }
        println!("{json}");
        let _ = Duration::ZERO;
        Ok(ExitCode::SUCCESS)
    }
}
