//! `mypay replay`: a range of requests once more, under their own ids.

use std::io::IsTerminal;
use std::process::ExitCode;

use anyhow::Context;
use chrono::{DateTime, TimeDelta, Utc};
use indicatif::{ProgressBar, ProgressStyle};
use mypay_audit::replay::{self, Counts};
use serde_json::json;

/// Put the requests of a range of time through again, under their own ids: what
/// was done stays done, what was never handled is handled.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The request topic, as in my.remittance.request.
    #[arg(long)]
    topic: String,
    /// Begin of the range by the broker's time: RFC 3339, or back from now: -2h, -30m, -1d.
    #[arg(long, value_name = "TIME", value_parser = instant, allow_hyphen_values = true)]
    from: DateTime<Utc>,
    /// End of the range, not included; the topic's end as it is now where absent.
    #[arg(long, value_name = "TIME", value_parser = instant, allow_hyphen_values = true)]
    to: Option<DateTime<Utc>>,
    /// Count, and put nothing through.
    #[arg(long)]
    dry_run: bool,
}

impl Args {
    pub(crate) async fn run(self, json: bool) -> anyhow::Result<ExitCode> {
        let servers = super::audit::servers()?;
        let plan = replay::plan(&servers, &self.topic, self.from, self.to).await?;
        let (topic, counts) = (plan.topic, plan.counts);
        if !json {
            print(topic, &counts);
        }
        let put_through = if self.dry_run {
            0
        } else {
            let bar = bar(counts.put_through(), json);
            let put_through = plan.apply(&servers, {
                let bar = bar.clone();
                move |produced| bar.set_position(produced)
            });
            let put_through = put_through.await?;
            bar.finish_and_clear();
            put_through
        };
        if json {
            let mut report = serde_json::to_value(counts)?;
            report["topic"] = json!(topic);
            report["from"] = json!(self.from);
            report["to"] = json!(self.to);
            report["dry_run"] = json!(self.dry_run);
            report["put_through"] = json!(put_through);
            println!("{report:#}");
        } else if self.dry_run {
            println!("a dry run: nothing was put through");
        } else {
            println!(
                "{put_through} requests were put through again; `mypay audit --wait 60` tells when they are handled"
            );
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// An instant: RFC 3339, or a time back from now.
fn instant(text: &str) -> anyhow::Result<DateTime<Utc>> {
    if let Some(back) = text.strip_prefix('-') {
        let now = Utc::now();
        return now
            .checked_sub_signed(span(back)?)
            .context("that is before all time");
    }
    let instant = DateTime::parse_from_rfc3339(text);
    let instant =
        instant.context("neither RFC 3339 (2026-11-24T09:00:00Z) nor back from now (-2h)")?;
    Ok(instant.with_timezone(&Utc))
}

/// A number and its unit: 90s, 30m, 2h, 1d.
fn span(text: &str) -> anyhow::Result<TimeDelta> {
    let unit = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(unit);
    let number: i64 = number
        .parse()
        .context("a number comes before the unit: -2h")?;
    let span = match unit {
        "s" => TimeDelta::try_seconds(number),
        "m" => TimeDelta::try_minutes(number),
        "h" => TimeDelta::try_hours(number),
        "d" => TimeDelta::try_days(number),
        _ => anyhow::bail!("the unit is s, m, h or d: -2h"),
    };
    span.context("that is before all time")
}

fn print(topic: &str, counts: &Counts) {
    let mut table = super::schemas::table(["in the range", "requests"]);
    let rows = [
        ("done already; they stay as they are", counts.already_done),
        ("in progress at a bank; they stay so", counts.in_progress),
        ("never handled; they will be", counts.never_handled),
        ("the same request again; put through once", counts.repeated),
        ("left out: id used with other content", counts.conflicts),
        (
            "left out: id without a time, or out of bounds",
            counts.refused_ids,
        ),
        ("left out: cannot be decoded", counts.undecodable),
    ];
    for (what, count) in rows {
        table.add_row([what.to_string(), count.to_string()]);
    }
    println!(
        "{topic}: {} messages in the range\n{table}",
        counts.messages
    );
}

fn bar(requests: u64, json: bool) -> ProgressBar {
    if json || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} requests, {eta} left");
    ProgressBar::new(requests).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_rfc_3339_or_back_from_now() {
        let two_hours_ago = instant("-2h").expect("relative");
        assert_eq!((Utc::now() - two_hours_ago).num_minutes(), 120);
        assert_eq!(
            instant("2026-11-24T18:00:00+09:00")
                .expect("absolute")
                .to_rfc3339(),
            "2026-11-24T09:00:00+00:00"
        );
        for bad in [
            "",
            "-",
            "-h",
            "2h",
            "-2w",
            "yesterday",
            "-99999999999999999d",
        ] {
            assert!(instant(bad).is_err(), "{bad}");
        }
    }
}
