//! `mypay stack`: the real servers on this machine.

use std::io::Write;
use std::process::ExitCode;
use std::time::Instant;

use comfy_table::{Table, presets};
use mypay_stack::{Endpoints, Role, ServiceStatus, Signal, Stack, parse_signal};

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Start what does not run, and wait until it is ready.
    Up,
    /// Stop all of it; the data stays.
    Down {
        /// Delete the data, too.
        #[arg(long)]
        wipe: bool,
    },
    /// What runs, where, and whether it answers; exit code 1 if a server does not.
    Status,
    /// The addresses as shell exports: eval "$(mypay stack env)".
    Env,
    /// Send a signal to one service, to see what happens; `up` starts it again.
    Kill {
        /// Its name, as `status` shows it.
        service: String,
        /// KILL, STOP, CONT, TERM or another.
        #[arg(long, default_value = "KILL", value_parser = parse_signal)]
        signal: Signal,
    },
    /// Record that the stack runs in Docker, at the ports docker-compose.yml publishes.
    UseDocker,
}

impl Args {
    pub(crate) async fn run(self, json: bool) -> anyhow::Result<ExitCode> {
        let stack = Stack::of_this_checkout();
        match self.command {
            Command::Up => up(&stack, json).await,
            Command::Down { wipe } => down(&stack, wipe).await,
            Command::Status => status(&stack, json).await,
            Command::Env => {
                show(&Endpoints::discover()?, json)?;
                Ok(ExitCode::SUCCESS)
            }
            Command::Kill { service, signal } => {
                stack.kill(&service, signal)?;
                Ok(ExitCode::SUCCESS)
            }
            Command::UseDocker => {
                show(&stack.use_docker()?, json)?;
                Ok(ExitCode::SUCCESS)
            }
        }
    }
}

async fn up(stack: &Stack, json: bool) -> anyhow::Result<ExitCode> {
    let begun = Instant::now();
    let endpoints = stack.up(timed(begun)).await?;
    eprintln!(
        "the stack is up; its state and logs are in {}",
        stack.home().display()
    );
    show(&endpoints, json)?;
    Ok(ExitCode::SUCCESS)
}

async fn down(stack: &Stack, wipe: bool) -> anyhow::Result<ExitCode> {
    stack.down(wipe, timed(Instant::now())).await?;
    eprintln!("nothing of {} runs", stack.home().display());
    Ok(ExitCode::SUCCESS)
}

/// Progress goes to standard error: standard output is for `eval` and `--json`.
fn timed(begun: Instant) -> impl Fn(&str) {
    move |what| eprintln!("{:>6.1}s  {what}", begun.elapsed().as_secs_f64())
}

fn show(endpoints: &Endpoints, json: bool) -> anyhow::Result<()> {
    if json {
        println!("{}", serde_json::to_string_pretty(endpoints)?);
    } else {
        for (name, value) in endpoints.variables() {
            println!("export {name}='{}'", value.replace('\'', r"'\''"));
        }
    }
    Ok(())
}

async fn status(stack: &Stack, json: bool) -> anyhow::Result<ExitCode> {
    let services = stack.status().await?;
    if json {
        writeln!(
            std::io::stdout(),
            "{}",
            serde_json::to_string_pretty(&services)?
        )?;
    } else {
        writeln!(std::io::stdout(), "{}", table(&services))?;
    }
    let server = |service: &&ServiceStatus| service.role != Some(Role::Program);
    let healthy = services
        .iter()
        .filter(server)
        .all(|service| service.ready == Some(true));
    Ok(ExitCode::from(u8::from(!healthy)))
}

fn table(services: &[ServiceStatus]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["service", "pid", "port", "process", "answers"]);
    for service in services {
        let condition = format!("{:?}", service.condition).to_lowercase();
        table.add_row([
            service.name.clone(),
            service
                .pid
                .map_or_else(|| "-".to_owned(), |pid| pid.to_string()),
            service
                .port
                .map_or_else(|| "-".to_owned(), |port| port.to_string()),
            condition,
            service
                .ready
                .map_or("-", |ready| if ready { "yes" } else { "no" })
                .to_owned(),
        ]);
    }
    table
}
