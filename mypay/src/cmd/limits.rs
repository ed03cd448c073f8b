//! `mypay limits`: what members may hold and move, and what a remittance costs.

use std::process::ExitCode;

use chrono::{DateTime, Utc};
use clap::Subcommand;
use mypay_ledger::limits::set::{Change, set};
use mypay_ledger::limits::{Set, list};
use mypay_stack::Endpoints;
use sqlx::PgPool;

/// Show and set the limits on members' money.
///
/// They are kept in the database, and all consumers go by them from the same instant
/// on. What was set is never changed: it is in force until what is set next.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// All that were ever in force, the latest first, and those to come.
    Show,
    /// Set limits from an instant on; those that are not named stay.
    Set(New),
}

/// Whole won, all of them.
#[derive(clap::Args)]
struct New {
    #[command(flatten)]
    won: Won,
    /// From when on, RFC 3339: 10 s from now or later, so that all consumers know
    /// before; in 10 s where absent.
    #[arg(long, value_name = "INSTANT")]
    from: Option<DateTime<Utc>>,
    /// Who sets them.
    #[arg(long, value_name = "NAME")]
    by: String,
    /// Why.
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

#[derive(clap::Args)]
#[group(required = true, multiple = true)]
struct Won {
    /// What a member may hold, pending recharges counted in.
    #[arg(long, value_name = "WON")]
    balance_cap: Option<i64>,
    /// The smallest direct recharge.
    #[arg(long, value_name = "WON")]
    recharge_min: Option<i64>,
    /// The largest single remittance.
    #[arg(long, value_name = "WON")]
    remittance_max: Option<i64>,
    /// What a member may remit in one Korean day.
    #[arg(long, value_name = "WON")]
    remittance_daily: Option<i64>,
    /// Fee of a remittance between members.
    #[arg(long, value_name = "WON")]
    fee_to_member: Option<i64>,
    /// Fee of a remittance to a bank account.
    #[arg(long, value_name = "WON")]
    fee_to_bank: Option<i64>,
}

impl Args {
    pub(crate) async fn run(self, json: bool) -> anyhow::Result<ExitCode> {
        let pool = mypay_database::pool(&Endpoints::discover()?.database_url, 1)?;
        // They may be set before anything else runs.
        mypay_database::migrate(&pool).await?;
        match self.action {
            Action::Show => show(&list(&pool).await?, json)?,
            Action::Set(new) => {
                let set = new.set(&pool).await?;
                if json {
                    println!("{}", serde_json::to_string_pretty(&set)?);
                } else {
                    println!("in force from {}", set.in_force_from.to_rfc3339());
                    print(&[set]);
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl New {
    async fn set(self, pool: &PgPool) -> anyhow::Result<Set> {
        let change = Change {
            balance_cap: self.won.balance_cap,
            recharge_min: self.won.recharge_min,
            remittance_max: self.won.remittance_max,
            remittance_daily: self.won.remittance_daily,
            fee_to_member: self.won.fee_to_member,
            fee_to_bank: self.won.fee_to_bank,
        };
        Ok(set(pool, change, self.from, &self.by, &self.reason).await?)
    }
}

fn show(sets: &[Set], json: bool) -> anyhow::Result<()> {
    if json {
        println!("{}", serde_json::to_string_pretty(sets)?);
    } else {
        print(sets);
    }
    Ok(())
}

fn print(sets: &[Set]) {
    let mut table = super::schemas::table([
        "in force from",
        "balance cap",
        "recharge min",
        "remittance max",
        "a day",
        "fee to member",
        "fee to bank",
        "set by",
        "reason",
    ]);
    for set in sets {
        table.add_row([
            set.in_force_from.to_rfc3339(),
            set.balance_cap.to_string(),
            set.recharge_min.to_string(),
            set.remittance_max.to_string(),
            set.remittance_daily.to_string(),
            set.fee_to_member.to_string(),
            set.fee_to_bank.to_string(),
            set.set_by.clone(),
            set.reason.clone(),
        ]);
    }
    println!("{table}");
}
