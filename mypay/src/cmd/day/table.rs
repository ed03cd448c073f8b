//! The day in numbers.

use std::collections::HashMap;

use comfy_table::{Cell, CellAlignment};
use mypay_schemas::Flow;
use mypay_stack::{Endpoints, Stack};
use serde_json::{Value, json};
use sqlx::Row;

use super::follow::{Days, FlowDay};
use super::send::Sent;

/// What the lanes have counted, a consumer: duplicates and dead letters.
pub(super) struct Counts(HashMap<String, (i64, i64)>);

impl Counts {
    pub(super) async fn read(database_url: &str) -> anyhow::Result<Self> {
        let pool = mypay_database::reporting_pool(database_url, 1)?;
        let rows = sqlx::query(
            "SELECT consumer, sum(duplicates)::bigint, sum(dead_letters)::bigint FROM lane GROUP BY consumer",
        )
        .fetch_all(&pool)
        .await?;
        let counts = rows
            .iter()
            .map(|row| Ok((row.try_get(0)?, (row.try_get(1)?, row.try_get(2)?))))
            .collect::<Result<_, sqlx::Error>>()?;
        Ok(Self(counts))
    }

    fn since(&self, before: &Self, flow: Flow) -> (i64, i64) {
        let of = |counts: &Self| counts.0.get(flow.name()).copied().unwrap_or_default();
        let (now, then) = (of(self), of(before));
        (now.0 - then.0, now.1 - then.1)
    }
}

/// One flow's numbers.
struct Line {
    flow: Flow,
    sent: Sent,
    results: u64,
    completed: u64,
    rejected: Vec<(String, u64)>,
    duplicates: u64,
    dead_letters: i64,
    p50: f64,
    p99: f64,
    per_second: f64,
}

fn lines(days: &Days, tally: &HashMap<Flow, Sent>, before: &Counts, after: &Counts) -> Vec<Line> {
    let empty = FlowDay::default();
    Flow::ALL
        .into_iter()
        .map(|flow| {
            let day = days.flows.get(&flow).unwrap_or(&empty);
            let sent = tally.get(&flow).copied().unwrap_or_default();
            let (duplicates, dead_letters) = after.since(before, flow);
            let mut rejected: Vec<_> = day.rejected.clone().into_iter().collect();
            rejected.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
            let results = day.completed + rejected.iter().map(|(_, count)| count).sum::<u64>();
            let seconds = day
                .first_sent
                .zip(day.last_seen)
                .map_or(0.0, |(first, last)| {
                    last.duration_since(first).as_secs_f64()
                });
            Line {
                flow,
                sent,
                results,
                completed: day.completed,
                rejected,
                duplicates: duplicates as u64 + sent.known,
                dead_letters,
                p50: day.latency.value_at_quantile(0.5) as f64 / 1_000.0,
                p99: day.latency.value_at_quantile(0.99) as f64 / 1_000.0,
                per_second: if seconds > 0.0 {
                    results as f64 / seconds
                } else {
                    0.0
                },
            }
        })
        .collect()
}

/// The table for people.
pub(super) fn render(
    days: &Days,
    tally: &HashMap<Flow, Sent>,
    before: &Counts,
    after: &Counts,
) -> String {
    let mut table = crate::cmd::schemas::table([
        "flow",
        "requests",
        "results",
        "completed",
        "rejected",
        "duplicates\nsuppressed",
        "conflicts\nrefused",
        "dead\nletters",
        "p50 ms",
        "p99 ms",
        "results/s",
    ]);
    for line in lines(days, tally, before, after) {
        let rejected = line
            .rejected
            .iter()
            .map(|(reason, count)| format!("{count} {reason}"))
            .collect::<Vec<_>>()
            .join("\n");
        let number = |value: String| Cell::new(value).set_alignment(CellAlignment::Right);
        table.add_row([
            Cell::new(line.flow),
            number(line.sent.requests.to_string()),
            number(line.results.to_string()),
            number(line.completed.to_string()),
            Cell::new(rejected),
            number(line.duplicates.to_string()),
            number(line.sent.conflicts_refused.to_string()),
            number(line.dead_letters.to_string()),
            number(format!("{:.0}", line.p50)),
            number(format!("{:.0}", line.p99)),
            number(format!("{:.0}", line.per_second)),
        ]);
    }
    format!(
        "{table}\nfirmbanking's requests are made by the other flows; p50 and p99 are from sending to the\nresult as a read_committed reader sees it, the bank's time and inquiries included.\n"
    )
}

/// The table for machines.
pub(super) fn as_json(
    days: &Days,
    tally: &HashMap<Flow, Sent>,
    before: &Counts,
    after: &Counts,
) -> Value {
    lines(days, tally, before, after)
        .into_iter()
        .map(|line| {
            let rejected: serde_json::Map<String, Value> = line
                .rejected
                .into_iter()
                .map(|(reason, count)| (reason, count.into()))
                .collect();
            json!({
                "flow": line.flow.name(),
                "requests": line.sent.requests,
                "sent_again": line.sent.again,
                "conflicts": line.sent.conflicts,
                "conflicts_refused": line.sent.conflicts_refused,
                "bad": line.sent.bad,
                "results": line.results,
                "completed": line.completed,
                "rejected": rejected,
                "duplicates_suppressed": line.duplicates,
                "dead_letters": line.dead_letters,
                "latency_ms": { "p50": line.p50, "p99": line.p99 },
                "results_per_second": line.per_second,
            })
        })
        .collect()
}

/// Where to look next.
pub(super) fn where_to_look(stack: &Stack, endpoints: &Endpoints) {
    let api = endpoints.api_url.trim_end_matches('/');
    println!("\nwhere to look");
    println!("  API          {api}/docs  ({api}/openapi.json, {api}/health)");
    println!("  token        target/release/mypay token --role staff --subject <your name>");
    println!("  Kafka        {}", endpoints.kafka_bootstrap);
    println!("  registry     {}", endpoints.registry_url);
    println!("  kafka-ui     comes with Docker: docker compose up (see the README)");
    println!("  logs         {}/logs", stack.home().display());
    println!(
        "  addresses    eval \"$(target/release/mypay stack env)\"; psql \"$MYPAY_DATABASE_URL\""
    );
    println!("  all of it stays up; a second `make run` works on it, `make down` stops it");
}
