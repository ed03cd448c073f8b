//! `mypay close`: a business date, ours against the banks'.

use std::process::ExitCode;

use anyhow::bail;
use chrono::NaiveDate;
use mypay_audit::close::DayClose;
use mypay_stack::Endpoints;

/// The two sides differ.
const DIFFERENT: u8 = 1;
/// It is too early, or a bank did not answer.
const NOT_YET: u8 = 2;

/// Close a business date: counts, amounts, fees and balances against the banks'.
///
/// Exit 0 where all is equal, 1 where anything differs, 2 while commands of the
/// day are in flight or a bank does not answer.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The business date in Korea, as in 2026-03-02.
    #[arg(long)]
    date: NaiveDate,
    /// One bank instead of all.
    #[arg(long, value_name = "CODE")]
    bank: Option<String>,
}

impl Args {
    pub(crate) async fn run(self, json: bool) -> anyhow::Result<ExitCode> {
        let endpoints = Endpoints::discover()?;
        let pool = mypay_database::reporting_pool(&endpoints.database_url, 2)?;
        let bank = self.bank.as_deref();
        let closes = mypay_audit::close::close(&pool, &endpoints.bank_url, self.date, bank).await?;
        if closes.is_empty() {
            bail!("there is no contract with such a bank: see GET /contracts");
        }
        if json {
            println!("{}", serde_json::to_string_pretty(&closes)?);
        } else {
            closes.iter().for_each(print);
        }
        Ok(exit_code(&closes))
    }
}

fn exit_code(closes: &[DayClose]) -> ExitCode {
    // What differs while something is in flight may be just that.
    let different = |close: &DayClose| !close.differences.is_empty() && !close.is_in_flight();
    if closes.iter().any(different) {
        ExitCode::from(DIFFERENT)
    } else if closes.iter().all(DayClose::is_closed) {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(NOT_YET)
    }
}

pub(super) fn print(close: &DayClose) {
    let of = format!("bank {}, {}", close.bank_code, close.date);
    if let Some(why) = &close.could_not {
        println!("{of}: could not compare: {why}");
        return;
    }
    if close.is_closed() {
        println!("{of}: closed, {} figures are equal", close.compared);
        return;
    }
    let in_flight = &close.in_flight;
    if close.is_in_flight() {
        println!(
            "{of}: in flight: {} commands ({} are cases, see mypay bank cases), {} undecided at \
             the bank, {} notices",
            in_flight.commands, in_flight.cases, in_flight.at_the_bank, in_flight.notices
        );
    } else {
        println!("{of}: NOT closed");
    }
    if close.differences.is_empty() {
        return;
    }
    let mut table = super::schemas::table(["what", "ours", "the bank's", "difference"]);
    for it in &close.differences {
        table.add_row([
            it.what.clone(),
            it.ours.to_string(),
            it.theirs.to_string(),
            (it.ours - it.theirs).to_string(),
        ]);
    }
    println!("{table}");
}
