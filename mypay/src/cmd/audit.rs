//! `mypay audit`: topics, queue_log, ledger, results and bank, set against each
//! other.

use std::process::ExitCode;
use std::time::Duration;

use mypay_audit::Servers;
use mypay_audit::report::{Check, Report, Verdict};
use mypay_stack::Endpoints;

/// Something is off.
const BROKEN: u8 = 1;
/// It could not be found out.
const COULD_NOT: u8 = 2;

/// Compare topics, queue_log, ledger, results and the bank's own statement;
/// exit 1 if something is off, 2 if it could not be found out.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Wait at most so many seconds for the pipeline to be idle.
    #[arg(long, value_name = "SECONDS")]
    wait: Option<u64>,
}

impl Args {
    pub(crate) async fn run(self, json: bool) -> anyhow::Result<ExitCode> {
        let wait = self.wait.map(Duration::from_secs);
        let report = mypay_audit::audit(&servers()?, wait).await?;
        if json {
            println!("{}", serde_json::to_string_pretty(&report)?);
        } else {
            print(&report);
        }
        Ok(exit_code(&report))
    }
}

/// Where the servers are, for an audit or a replay.
pub(crate) fn servers() -> anyhow::Result<Servers> {
    let endpoints = Endpoints::discover()?;
    Ok(Servers {
        bootstrap: endpoints.kafka_bootstrap,
        registry_url: endpoints.registry_url,
        database_url: endpoints.database_url,
        bank_url: endpoints.bank_url,
    })
}

/// 0 where all agrees, 1 where something is off, 2 where that is not known.
pub(crate) fn exit_code(report: &Report) -> ExitCode {
    match report.verdict {
        Verdict::Clean => ExitCode::SUCCESS,
        // What is off is off, whatever else could not be looked at.
        Verdict::Broken if report.checks.iter().any(|check| check.offenders_total > 0) => {
            ExitCode::from(BROKEN)
        }
        Verdict::Broken => ExitCode::from(COULD_NOT),
    }
}

/// The report for people: a row a check, what is off below, the verdict last.
pub(crate) fn print(report: &Report) {
    let mut table = super::schemas::table(["check", "compared", "off", ""]);
    for check in &report.checks {
        table.add_row([
            check.name.to_string(),
            check.compared.to_string(),
            check.offenders_total.to_string(),
            mark(check).to_string(),
        ]);
    }
    println!("{table}");
    for check in report.checks.iter().filter(|check| !check.ok) {
        print_broken(check);
    }
    for check in report
        .checks
        .iter()
        .filter(|check| check.name == "nothing_in_flight")
    {
        for note in &check.notes {
            println!("in flight: {note}");
        }
    }
    let seconds = report.took_ms as f64 / 1_000.0;
    let verdict = match report.verdict {
        Verdict::Clean => "clean",
        Verdict::Broken => "broken",
    };
    println!(
        "\nverdict: {verdict} ({} messages read, {seconds:.1} s)",
        report.messages_read
    );
}

fn mark(check: &Check) -> &'static str {
    match (check.ok, &check.could_not) {
        (true, _) => "ok",
        (false, Some(_)) => "could not compare",
        (false, None) => "BROKEN",
    }
}

fn print_broken(check: &Check) {
    println!("\n{}: {}", check.name, check.what);
    if let Some(why) = &check.could_not {
        println!("  {why}");
    }
    for offender in &check.offenders {
        let words = [&offender.id, &offender.place, &offender.problem];
        let words: Vec<&str> = words
            .into_iter()
            .map(String::as_str)
            .filter(|word| !word.is_empty())
            .collect();
        println!("  {}", words.join("  "));
    }
    let more = check
        .offenders_total
        .saturating_sub(check.offenders.len() as u64);
    if more > 0 {
        println!("  and {more} more");
    }
    println!("  look at: {}", check.look_at);
}
