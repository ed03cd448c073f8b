//! `mypay trace`: all that the database knows of a message.

use std::process::ExitCode;

use mypay_audit::trace::{self, Trace};
use uuid::Uuid;

/// The database knows nothing of it.
const UNKNOWN: u8 = 1;

/// Tell all that the database knows of a message, in the order of time: who handled it
/// and how, what it brought about, and the money that it moved; exit 1 where it is
/// unknown.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// A message's id: a request's, a result's, a command's.
    id: Uuid,
}

impl Args {
    pub(crate) async fn run(self, json: bool) -> anyhow::Result<ExitCode> {
        let servers = super::audit::servers()?;
        let Some(trace) = trace::trace(&servers, self.id).await? else {
            eprintln!(
                "error: the database knows no message {}. One that no consumer has handled lies on \
                 its topic alone, one that died among the dead letters (`mypay dlq groups`), and \
                 what is older than 5 weeks may be forgotten",
                self.id
            );
            return Ok(ExitCode::from(UNKNOWN));
        };
        if json {
            println!("{}", serde_json::to_string_pretty(&trace)?);
        } else {
            print(&trace);
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn print(trace: &Trace) {
    for member in &trace.ids {
        println!("{}  {}", member.id, member.what);
    }
    let mut table = super::schemas::table(["at", "of", "table", "what"]);
    for step in &trace.steps {
        table.add_row([
            step.at.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(),
            step.of.clone(),
            step.table.to_string(),
            step.what.clone(),
        ]);
    }
    println!("\n{table}");
}
