//! `mypay purge`: what `queue_log` remembers from before its horizon.

use std::process::ExitCode;

use chrono::{DateTime, Utc};
use mypay_idempotency::horizon::purge::{self, HEARD, KEEP_WEEKS, KEEP_WEEKS_MIN, Old, PurgeError};
use mypay_stack::Endpoints;
use serde_json::json;

/// An old week stays, because something of it is under way.
const STAYS: u8 = 1;

/// Drop the old weeks of queue_log, the oldest first.
///
/// An id from before is remembered no more, and refused: the topics, which keep
/// their messages for a shorter time, cannot bring it again; but what a bank undoes
/// of so old a week cannot be posted any more, and is for people. A week of which
/// something is still under way is kept, and so are those after it: exit 1. Once a
/// week is often enough; consumers go on meanwhile.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many weeks are kept besides this one.
    #[arg(long, value_name = "N", default_value_t = KEEP_WEEKS,
          value_parser = clap::value_parser!(i64).range(KEEP_WEEKS_MIN..))]
    keep_weeks: i64,
    /// Show what would be dropped.
    #[arg(long)]
    dry_run: bool,
}

impl Args {
    pub(crate) async fn run(self, json: bool) -> anyhow::Result<ExitCode> {
        let pool = mypay_database::reporting_pool(&Endpoints::discover()?.database_url, 1)?;
        let old = purge::old(&pool, self.keep_weeks).await?;
        let free = old.iter().take_while(|week| week.open == 0).count();
        if !json {
            print(&old, free);
        }
        let mut dropped = Vec::new();
        let mut stays = old.get(free);
        if let (Some(last), false) = (old[..free].last(), self.dry_run) {
            match purge::tell(&pool, last.week + 1, Utc::now()).await {
                // Since the look above.
                Err(PurgeError::UnderWay(week)) => stays = old.iter().find(|it| it.week == week),
                told => {
                    told?;
                    if !json {
                        println!("waiting {} s until all consumers know", HEARD.as_secs());
                    }
                    tokio::time::sleep(HEARD).await;
                    for old in &old[..free] {
                        if !purge::drop_week(&pool, old.week).await? {
                            stays = Some(old);
                            break;
                        }
                        dropped.push(old.week);
                    }
                }
            }
        }
        if json {
            let report = json!({ "weeks": old, "dropped": dropped, "dry_run": self.dry_run });
            println!("{report:#}");
        } else if self.dry_run {
            println!("a dry run: nothing was dropped");
        } else if free > 0 {
            println!("{} of {} weeks dropped", dropped.len(), old.len());
        }
        let Some(week) = stays else {
            return Ok(ExitCode::SUCCESS);
        };
        eprintln!(
            "the week from {} stays, and those after it: something of it is under way (`mypay audit` and `mypay dlq groups` tell what)",
            day(week.from)
        );
        Ok(ExitCode::from(STAYS))
    }
}

fn print(old: &[Old], free: usize) {
    if old.is_empty() {
        println!("queue_log has nothing so old");
        return;
    }
    let mut table = super::schemas::table(["week from", "rows", "MB", "under way", ""]);
    for (number, week) in old.iter().enumerate() {
        let rows = match week.rows {
            ..0 => "unknown".to_string(),
            rows => rows.to_string(),
        };
        table.add_row([
            day(week.from),
            rows,
            (week.bytes / 1_000_000).to_string(),
            week.open.to_string(),
            if number < free { "goes" } else { "stays" }.to_string(),
        ]);
    }
    println!("{table}");
}

fn day(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d").to_string()
}
