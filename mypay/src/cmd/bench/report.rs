//! What `mypay bench` prints.

use comfy_table::{Table, presets};
use mypay_bench::drain::Drained;
use mypay_bench::naive::Naive;
use mypay_bench::paced::{Latency, Paced};
use mypay_bench::postgres_alone::PostgresAlone;
use mypay_consumers::metrics::Step;
use mypay_schemas::Flow;
use serde::Serialize;

/// What was measured.
pub(super) struct Shape {
    pub(super) flow: Flow,
    pub(super) count: u32,
    pub(super) rate: Option<u32>,
    pub(super) accounts: u64,
    pub(super) queue_log: u64,
    pub(super) skewed: bool,
    pub(super) consumers: u8,
}

/// What came out.
pub(super) struct Report {
    shape: Shape,
    pub(super) drained: Vec<Drained>,
    pub(super) paced: Vec<Paced>,
    pub(super) postgres_alone: Option<PostgresAlone>,
    pub(super) naive: Option<Naive>,
}

/// The middle of some runs, and how far they lie apart.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
struct Spread {
    min: f64,
    median: f64,
    max: f64,
}

impl Spread {
    fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        let median = match values.len() {
            0 => return None,
            odd if odd % 2 == 1 => values[middle],
            _ => f64::midpoint(values[middle - 1], values[middle]),
        };
        Some(Self {
            min: values[0],
            median,
            max: values[values.len() - 1],
        })
    }
}

impl Report {
    pub(super) fn new(shape: Shape) -> Self {
        Self {
            shape,
            drained: Vec::new(),
            paced: Vec::new(),
            postgres_alone: None,
            naive: None,
        }
    }

    fn rates(&self) -> Option<Spread> {
        let drained = self.drained.iter().map(|run| run.messages_per_second);
        Spread::of(drained.chain(self.paced.iter().map(|run| run.messages_per_second)))
    }

    /// Of each quantile the median over the runs; of the slowest the slowest.
    fn latency(&self) -> Option<Latency> {
        let spread =
            |of: fn(&Latency) -> f64| Spread::of(self.paced.iter().map(|run| of(&run.latency_ms)));
        Some(Latency {
            p50: spread(|latency| latency.p50)?.median,
            p90: spread(|latency| latency.p90)?.median,
            p99: spread(|latency| latency.p99)?.median,
            max: spread(|latency| latency.max)?.max,
        })
    }

    fn times_naive(&self) -> Option<f64> {
        Some(self.rates()?.median / self.naive?.messages_per_second)
    }

    pub(super) fn print(&self, json: bool) -> anyhow::Result<()> {
        if json {
            println!("{}", serde_json::to_string_pretty(&self.as_json())?);
        } else {
            println!("{}", self.headline());
            println!("{}", self.table());
            println!("{}", self.beside());
        }
        Ok(())
    }

    fn as_json(&self) -> serde_json::Value {
        serde_json::json!({
            "flow": self.shape.flow.name(),
            "count": self.shape.count,
            "rate": self.shape.rate,
            "accounts": self.shape.accounts,
            "queue_log": self.shape.queue_log,
            "skewed": self.shape.skewed,
            "consumers": self.shape.consumers,
            "messages_per_second": self.rates(),
            "latency_ms": self.latency(),
            "drained": self.drained,
            "paced": self.paced,
            "postgres_alone": self.postgres_alone,
            "naive": self.naive,
            "times_naive": self.times_naive(),
        })
    }

    fn headline(&self) -> String {
        let Shape {
            flow,
            count,
            accounts,
            ..
        } = &self.shape;
        let mut text = format!("\n{flow}: {count} requests of {accounts} members");
        if self.shape.skewed {
            text += ", skewed";
        }
        if self.shape.queue_log > 0 {
            text += &format!(", {} rows in queue_log before", self.shape.queue_log);
        }
        if let Some(rates) = self.rates() {
            text += &format!(
                "\n{:.0} messages/s (median of {}; {:.0} to {:.0})",
                rates.median,
                self.drained.len() + self.paced.len(),
                rates.min,
                rates.max
            );
        }
        if let Some(latency) = self.latency() {
            text += &format!(
                "\nfrom request to result: p50 {:.1} ms, p90 {:.1} ms, p99 {:.1} ms, max {:.1} ms",
                latency.p50, latency.p90, latency.p99, latency.max
            );
        }
        text
    }

    /// The last run in detail.
    fn table(&self) -> Table {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        let (told, cpu, messages) = match (self.drained.last(), self.paced.last()) {
            (Some(run), _) => (&run.told, &run.cpu_seconds, f64::from(self.shape.count)),
            (None, Some(run)) => (&run.told, &run.cpu_seconds, run.told.handled as f64),
            (None, None) => return table,
        };
        let per_message = |seconds: f64| format!("{:.1} us", seconds * 1e6 / messages);
        table.add_row(["of the last run", "seconds", "a message"]);
        for step in Step::ALL {
            let seconds = told.steps.get(step.name()).copied().unwrap_or_default();
            table.add_row([
                format!("  {}", step.name()),
                format!("{seconds:.2}"),
                per_message(seconds),
            ]);
        }
        for (name, seconds) in [
            ("CPU: brokers", cpu.brokers),
            ("CPU: PostgreSQL", cpu.postgres),
            ("CPU: consumers", cpu.consumers),
            ("CPU: this measurement", cpu.bench),
        ] {
            table.add_row([
                name.to_string(),
                format!("{seconds:.2}"),
                per_message(seconds),
            ]);
        }
        table
    }

    fn beside(&self) -> String {
        let mut lines = Vec::new();
        let told = self.drained.last().map(|run| &run.told);
        if let Some(told) = told.or(self.paced.last().map(|run| &run.told)) {
            lines.push(format!(
                "{} commits of {:.0} messages ({} done again), {} Kafka transactions of {:.0} events, \
                 peak RSS {:.0} MB",
                told.batches,
                told.batch_mean,
                told.again,
                told.transactions,
                told.transaction_mean,
                told.peak_rss_mb
            ));
        }
        if let Some(alone) = &self.postgres_alone {
            let share = self
                .rates()
                .map_or(0.0, |rates| rates.median / alone.one_session * 100.0);
            lines.push(format!(
                "PostgreSQL alone, the same rows: {:.0} messages/s in one session, {:.0} in two; \
                 the drain reaches {share:.0} % of the one",
                alone.one_session, alone.two_sessions
            ));
        }
        if let (Some(naive), Some(times)) = (&self.naive, self.times_naive()) {
            lines.push(format!(
                "the naive consumer: {:.0} messages/s; the drain is {times:.0} times as fast",
                naive.messages_per_second
            ));
        }
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_one_or_between_the_two() {
        let spread = Spread::of([3.0, 1.0, 2.0]);
        let expected = Spread {
            min: 1.0,
            median: 2.0,
            max: 3.0,
        };
        assert_eq!(spread, Some(expected));
        assert_eq!(
            Spread::of([1.0, 2.0]).map(|spread| spread.median),
            Some(1.5)
        );
        assert_eq!(Spread::of([]), None);
    }
}
