//! The consumers under measurement: the same program that runs in production,
//! as processes of their own.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use mypay_schemas::Flow;
use mypay_stack::{Endpoints, Stack};
use serde::Serialize;

use crate::usage::peak_rss_mb;

/// Some consumers of one flow.
pub struct Consumers {
    stack: Stack,
    flow: Flow,
    /// Their names in the stack.
    pub names: Vec<String>,
    ports: Vec<u16>,
    started: f64,
}

/// What consumers tell of themselves, added up.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Told {
    /// Seconds by step. Steps of different stages overlap.
    pub steps: BTreeMap<String, f64>,
    /// PostgreSQL commits.
    pub batches: u64,
    /// Messages a commit, mean.
    pub batch_mean: f64,
    /// Batches that were rolled back and done again.
    pub again: u64,
    /// Kafka transactions.
    pub transactions: u64,
    /// Events a transaction, mean.
    pub transaction_mean: f64,
    /// Messages handled for the first time.
    pub handled: u64,
    /// Messages that were known already.
    pub duplicates: u64,
    /// Peak resident memory of the largest, MB.
    pub peak_rss_mb: f64,
}

impl Consumers {
    /// Starts `count` consumers of a flow.
    pub fn start(
        stack: &Stack,
        endpoints: &Endpoints,
        flow: Flow,
        count: usize,
    ) -> anyhow::Result<Self> {
        let mypay = std::env::current_exe().context("the path of this program")?;
        let mut consumers = Self {
            stack: stack.clone(),
            flow,
            names: Vec::new(),
            ports: Vec::new(),
            started: now(),
        };
        for number in 0..count {
            let name = format!("bench-{flow}-{number}");
            let port = free_port()?;
            let listen = format!("127.0.0.1:{port}");
            let args = ["consume", flow.name(), "--metrics-listen", &listen];
            // At night, too.
            let awake = [("MYPAY_BANK_REST", "off")];
            stack.spawn(
                &name,
                &mypay,
                args,
                endpoints.variables().into_iter().chain(awake),
            )?;
            consumers.names.push(name);
            consumers.ports.push(port);
        }
        Ok(consumers)
    }

    /// Waits until the group has given all of them their partitions; the time
    /// when it gave the first of them any, in seconds since the epoch.
    pub async fn until_assigned(&self) -> anyhow::Result<f64> {
        let began = Instant::now();
        // The first to join begins with all partitions; its time is read before
        // the next one joins, and is overwritten then.
        let mut first = f64::INFINITY;
        loop {
            let mut waiting = self.ports.len();
            for port in &self.ports {
                if let Ok(text) = scrape(*port).await {
                    let at = sample(
                        &text,
                        "mypay_consumer_assigned_timestamp_seconds",
                        self.flow,
                        "",
                    );
                    if at > self.started {
                        waiting -= 1;
                        first = first.min(at);
                    }
                }
            }
            if waiting == 0 {
                return Ok(first);
            }
            self.are_alive()?;
            if began.elapsed() > Duration::from_secs(60) {
                bail!("{waiting} consumers have no partitions after a minute");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Fails if one of them has ended.
    pub fn are_alive(&self) -> anyhow::Result<()> {
        for name in &self.names {
            if !self.stack.is_running(name) {
                bail!("{name} has ended:\n{}", self.stack.log_tail(name, 20));
            }
        }
        Ok(())
    }

    /// What they tell of themselves.
    pub async fn told(&self) -> anyhow::Result<Told> {
        let mut told = Told::default();
        let (mut batched, mut emitted) = (0.0, 0.0);
        for (name, port) in self.names.iter().zip(&self.ports) {
            let text = scrape(*port).await?;
            let of = |metric: &str, label: &str| sample(&text, metric, self.flow, label);
            for (step, seconds) in steps(&text) {
                *told.steps.entry(step).or_default() += seconds;
            }
            told.batches += of("mypay_consumer_batch_messages_count", "") as u64;
            batched += of("mypay_consumer_batch_messages_sum", "");
            told.again += of("mypay_consumer_batches_again_total", "") as u64;
            told.transactions += of("mypay_consumer_transaction_events_count", "") as u64;
            emitted += of("mypay_consumer_transaction_events_sum", "");
            told.handled += of("mypay_consumer_messages_total", ",outcome=\"handled\"") as u64;
            told.duplicates += of("mypay_consumer_messages_total", ",outcome=\"duplicate\"") as u64;
            let rss = self.stack.pid(name).and_then(peak_rss_mb);
            told.peak_rss_mb = told.peak_rss_mb.max(rss.unwrap_or_default());
        }
        told.batch_mean = batched / told.batches.max(1) as f64;
        told.transaction_mean = emitted / told.transactions.max(1) as f64;
        Ok(told)
    }

    /// The sum of all samples whose lines begin so.
    pub async fn sum(&self, prefix: &str) -> anyhow::Result<f64> {
        let mut sum = 0.0;
        for port in &self.ports {
            let text = scrape(*port).await?;
            let samples = text.lines().filter(|line| line.starts_with(prefix));
            sum += samples
                .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
                .sum::<f64>();
        }
        Ok(sum)
    }

    /// Stops them.
    pub async fn stop(self) -> anyhow::Result<()> {
        for name in &self.names {
            self.stack.stop(name, Duration::from_secs(20)).await?;
        }
        Ok(())
    }
}

/// Seconds since the epoch.
pub fn now() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0.0, |since| since.as_secs_f64())
}

fn free_port() -> anyhow::Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?
        .local_addr()?
        .port())
}

async fn scrape(port: u16) -> anyhow::Result<String> {
    let answer = reqwest::get(format!("http://127.0.0.1:{port}/metrics")).await?;
    Ok(answer.error_for_status()?.text().await?)
}

/// The value of a flow's metric; zero where it was not counted yet.
fn sample(text: &str, metric: &str, flow: Flow, label: &str) -> f64 {
    let name = format!("{metric}{{flow=\"{flow}\"{label}}} ");
    text.lines()
        .find_map(|line| line.strip_prefix(&name)?.parse().ok())
        .unwrap_or_default()
}

fn steps(text: &str) -> impl Iterator<Item = (String, f64)> {
    text.lines().filter_map(|line| {
        let (labels, value) = line
            .strip_prefix("mypay_consumer_step_seconds_total{")?
            .split_once("} ")?;
        let (_, step) = labels.split_once("step=\"")?;
        Some((step.trim_end_matches('"').to_string(), value.parse().ok()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
mypay_consumer_step_seconds_total{flow=\"payment\",step=\"commit\"} 1.5
mypay_consumer_messages_total{flow=\"payment\",outcome=\"handled\"} 3
mypay_consumer_batch_messages_count{flow=\"payment\"} 2
";

    #[test]
    fn the_text_of_a_consumer_is_understood() {
        let flow = Flow::Payment;
        let handled = sample(
            TEXT,
            "mypay_consumer_messages_total",
            flow,
            ",outcome=\"handled\"",
        );
        assert_eq!(handled, 3.0);
        assert_eq!(
            sample(TEXT, "mypay_consumer_batch_messages_count", flow, ""),
            2.0
        );
        assert_eq!(
            sample(TEXT, "mypay_consumer_batches_again_total", flow, ""),
            0.0
        );
        let steps: Vec<_> = steps(TEXT).collect();
        assert_eq!(steps, [("commit".to_string(), 1.5)]);
    }
}
