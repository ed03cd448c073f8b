//! `mypay`: a thin command line over the crates.
//!
//! One file a command under `cmd/`; each has its arguments and one `run`.

mod cmd;
#[cfg(test)]
mod configuration_tests;

use clap::{Parser, Subcommand};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Exactly-once money movement on Kafka.
#[derive(Parser)]
#[command(name = "mypay", version, about, max_term_width = 100)]
struct Cli {
    /// Print results as JSON, for machines.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start, stop and look at the local stack of real servers.
    Stack(cmd::stack::Args),
    /// Plan, apply and compare the topics.
    Topics(cmd::topics::Args),
    /// Check and register the Avro schemas.
    Schemas(cmd::schemas::Args),
    /// Run the dummy bank; list and decide what no bank can settle.
    Bank(cmd::bank::Args),
    /// Consume the requests of flows, and work at the banks.
    Consume(Box<cmd::consume::Args>),
    /// Serve the HTTP API.
    Serve(cmd::serve::Args),
    /// Make a bearer token for the HTTP API.
    Token(cmd::token::Args),
    /// Put requests from a file through the durable acceptance.
    Produce(cmd::produce::Args),
    /// Settle franchises up to a cut.
    Settle(cmd::settle::Args),
    /// Show and set the limits on members' money.
    Limits(cmd::limits::Args),
    /// Compare topics, queue_log, ledger, results and the banks' statements.
    Audit(cmd::audit::Args),
    /// Close a business date: our commands and cash against the banks' own totals.
    Close(cmd::close::Args),
    /// Put the messages of a time range through again, under their own ids.
    Replay(cmd::replay::Args),
    /// Look at the dead letters, put their messages through again, or give one up.
    Dlq(cmd::dlq::Args),
    /// Tell all that the database knows of a message.
    Trace(cmd::trace::Args),
    /// Drop the weeks of queue_log that lie before its horizon.
    Purge(cmd::purge::Args),
    /// Run a business day through the pipeline, and audit it.
    Day(cmd::day::Args),
    /// Measure a flow: messages a second, latency, and where the time goes.
    Bench(cmd::bench::Args),
}

fn main() -> std::process::ExitCode {
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a tokio runtime: the process has no threads left?");
    let outcome = runtime.block_on(async {
        cmd::telemetry::init()?;
        mypay_kafka::read_properties()?;
        match cli.command {
            Command::Stack(args) => args.run(cli.json).await,
            Command::Topics(args) => args.run(cli.json).await,
            Command::Schemas(args) => args.run(cli.json).await,
            Command::Bank(args) => args.run(cli.json).await,
            Command::Consume(args) => args.run(cli.json).await,
            Command::Serve(args) => args.run(cli.json).await,
            Command::Token(args) => args.run(cli.json).await,
            Command::Produce(args) => args.run(cli.json).await,
            Command::Settle(args) => args.run(cli.json).await,
            Command::Limits(args) => args.run(cli.json).await,
            Command::Audit(args) => args.run(cli.json).await,
            Command::Close(args) => args.run(cli.json).await,
            Command::Replay(args) => args.run(cli.json).await,
            Command::Dlq(args) => args.run(cli.json).await,
            Command::Trace(args) => args.run(cli.json).await,
            Command::Purge(args) => args.run(cli.json).await,
            Command::Day(args) => args.run(cli.json).await,
            Command::Bench(args) => args.run(cli.json).await,
        }
    });
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            std::process::ExitCode::from(2)
        }
    }
}
