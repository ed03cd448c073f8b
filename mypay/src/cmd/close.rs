//! `mypay close`: a business date, ours against the banks'.

use std::process::ExitCode;

use anyhow::{bail, ensure};
use chrono::{NaiveDate, Utc};
use mypay_audit::close::DayClose;
use mypay_decide::limits::korean_day;
use mypay_stack::Endpoints;

/// All figures are equal.
const CLOSED: u8 = 0;
/// The two sides differ.
const DIFFERENT: u8 = 1;
/// It is too early, or could not be compared: as of every error of `mypay`.
const COULD_NOT: u8 = 2;

/// Close a business date: counts, amounts, fees and balances against the banks'.
///
/// Exit 0 where all is equal; 1 where anything differs, by 1 won or one command, and
/// both sides are listed; 2 where it could not be compared: commands of the day are in
/// flight, a bank or the database does not answer, there is no contract with the bank,
/// or the date is none or has not begun in Korea. Of several banks one that differs
/// counts before one that could not be compared.
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
        has_begun(self.date, korean_day(Utc::now()))?;
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
        Ok(ExitCode::from(exit_code(&closes)))
    }
}

/// A day that has not begun has no figures, and would be closed at nothing.
fn has_begun(date: NaiveDate, today: NaiveDate) -> anyhow::Result<()> {
    ensure!(
        date <= today,
        "{date} has not begun: it is {today} in Korea, and a day is closed once it is over"
    );
    Ok(())
}

fn exit_code(closes: &[DayClose]) -> u8 {
    // What differs while something is in flight may be just that.
    let different = |close: &DayClose| !close.differences.is_empty() && !close.is_in_flight();
    if closes.iter().any(different) {
        DIFFERENT
    } else if closes.iter().all(DayClose::is_closed) {
        CLOSED
    } else {
        COULD_NOT
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

#[cfg(test)]
mod tests {
    use super::*;
    use mypay_audit::close::{Difference, InFlight};

    fn equal() -> DayClose {
        DayClose {
            bank_code: "004".into(),
            date: NaiveDate::default(),
            compared: 16,
            differences: Vec::new(),
            in_flight: InFlight::default(),
            could_not: None,
        }
    }

    fn by_one_won() -> DayClose {
        let difference = Difference {
            what: "drawn: amount, won".into(),
            ours: 10_000,
            theirs: 10_001,
        };
        DayClose {
            differences: vec![difference],
            ..equal()
        }
    }

    fn silent() -> DayClose {
        DayClose {
            compared: 0,
            could_not: Some("connection refused".into()),
            ..equal()
        }
    }

    fn in_flight(close: DayClose) -> DayClose {
        let in_flight = InFlight {
            commands: 1,
            ..InFlight::default()
        };
        DayClose { in_flight, ..close }
    }

    #[test]
    fn one_won_is_told_from_nothing_and_from_what_could_not_be_compared() {
        assert_eq!(exit_code(&[equal(), equal()]), CLOSED);
        assert_eq!(exit_code(&[equal(), by_one_won()]), DIFFERENT);
        assert_eq!(exit_code(&[equal(), silent()]), COULD_NOT);
        assert_eq!(exit_code(&[silent(), by_one_won()]), DIFFERENT);
    }

    #[test]
    fn what_differs_while_something_is_in_flight_is_not_held_against_the_day() {
        assert_eq!(exit_code(&[in_flight(equal())]), COULD_NOT);
        assert_eq!(exit_code(&[equal(), in_flight(by_one_won())]), COULD_NOT);
    }

    #[test]
    fn tomorrow_is_not_closed() {
        let today = NaiveDate::from_ymd_opt(2026, 3, 2).expect("a date");
        let near = |days: i64| today + chrono::TimeDelta::days(days);
        assert!(has_begun(near(-400), today).is_ok() && has_begun(today, today).is_ok());
        let error = has_begun(near(1), today).expect_err("it has not begun");
        assert!(error.to_string().contains("2026-03-03 has not begun"));
    }
}
