//! `mypay bank`: the dummy bank, the cases that no bank can settle, and payouts to undo.

mod cases;
mod undo;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Subcommand;
use mypay_bank::ClassTable;
use mypay_bank::dummy::{Dial, DummyBank, ServerConfig};
use tokio::signal::unix::{SignalKind, signal};

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the dummy bank until it is told to stop.
    Serve(Serve),
    /// List what no bank can settle any more.
    Cases,
    /// Show one case, with all that is known of it.
    Case(cases::Show),
    /// Decide a case, with a name and a reason; exit 1 where somebody was faster.
    Decide(cases::Decide),
    /// Propose to undo a payout that its bank has done; another operator approves.
    Undo(undo::Propose),
    /// Approve that a payout is undone, which another operator has proposed.
    ApproveUndo(undo::Approve),
}

#[derive(clap::Args)]
struct Serve {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, env = "MYPAY_BANK_LISTEN", default_value = "127.0.0.1:18090")]
    listen: SocketAddr,
    /// The PostgreSQL in which the bank keeps its schema `dummy_bank`.
    #[arg(long, env = "MYPAY_DATABASE_URL", hide_env_values = true)]
    database_url: String,
    /// With the same seed the same numbers meet the same faults.
    #[arg(long, env = "MYPAY_BANK_SEED", default_value_t = 1)]
    seed: u64,
    /// How long every answer takes, in milliseconds.
    #[arg(long, env = "MYPAY_BANK_LATENCY_MS", default_value_t = 0)]
    latency_ms: u64,
    /// A fault and its rate, for all banks or for one: cut=0.02, 020:slow=1.
    #[arg(
        long = "fault",
        value_name = "[BANK:]NAME=RATE",
        env = "MYPAY_BANK_FAULTS",
        value_delimiter = ','
    )]
    faults: Vec<String>,
    /// Let the banks rest in their windows (23:30 to 00:30 in Korea, by bank).
    #[arg(long, env = "MYPAY_BANK_REST_WINDOWS")]
    rest_windows: bool,
    /// Another table of banks and answer codes than the one that MYPAY_BANK_ANSWER_CODES
    /// names, as for those that ask the banks, or that is built in.
    #[arg(long, value_name = "FILE")]
    codes: Option<PathBuf>,
}

impl Args {
    pub(crate) async fn run(self, json: bool) -> anyhow::Result<ExitCode> {
        match self.command {
            Command::Serve(serve) => serve.run(json).await,
            Command::Cases => cases::list(json).await,
            Command::Case(show) => show.run(json).await,
            Command::Decide(decide) => decide.run(json).await,
            Command::Undo(propose) => propose.run(json).await,
            Command::ApproveUndo(approve) => approve.run(json).await,
        }
    }
}

impl Serve {
    async fn run(self, json: bool) -> anyhow::Result<ExitCode> {
        let mut dial = Dial {
            seed: self.seed,
            latency_ms: self.latency_ms,
            rest_windows: self.rest_windows,
            ..Dial::default()
        };
        // An environment variable that is set to nothing is one empty fault.
        for fault in self.faults.iter().filter(|fault| !fault.is_empty()) {
            dial.set(fault)?;
        }
        let table = match &self.codes {
            Some(path) => ClassTable::from_path(path)?,
            None => ClassTable::of_environment()?,
        };
        let (listen, database_url) = (self.listen, self.database_url);
        let config = ServerConfig {
            listen,
            database_url,
            table,
            dial,
        };
        let bank = DummyBank::bind(config).await?;
        let address = bank.local_addr();
        if json {
            println!(
                "{}",
                serde_json::json!({ "listening": address.to_string() })
            );
        } else {
            println!("the dummy bank listens on http://{address}");
        }
        let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
        bank.run(async move {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
        })
        .await?;
        Ok(ExitCode::SUCCESS)
    }
}
