//! `mypay produce`: the requests of a file into their topic.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use indicatif::{ProgressBar, ProgressStyle};
use mypay_producers::accept::{AcceptError, Pending, PrepareError};
use mypay_producers::metrics::Metrics;
use mypay_producers::producer::{Producer, Settings, Stage};
use mypay_producers::{Acceptance, Answer, Submission, line};
use mypay_schemas::Flow;
use mypay_stack::Endpoints;
use serde::Serialize;
use sqlx::PgPool;
use tokio::fs::File;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::sync::watch;

/// A line was refused, or in conflict with an earlier request.
const REFUSED: u8 = 1;
/// How many requests wait for their commit at once: some commits' worth.
const IN_FLIGHT: usize = 2_000;
/// So often is a neighbour tried that does not answer at the start.
const TRIES: usize = 5;
/// For so long the database may be away while the file is read.
const PATIENCE: Duration = Duration::from_secs(60);
/// How many of the bad lines are shown.
const SHOWN: usize = 20;

/// Put the requests of a file into their topic, durably and each once.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// recharge, remittance, payment, settlement or firmbanking.
    flow: Flow,
    /// One JSON request a line, as the HTTP API takes it, with its `message_id`
    /// (a UUID version 7) if it has one. A line without gets a new one: the file
    /// is then a new set of requests each time it is read.
    #[arg(long, value_name = "FILE")]
    file: PathBuf,
    /// Seconds to wait for Kafka after the last line.
    #[arg(long, default_value_t = 60)]
    wait: u64,
}

/// What became of the lines.
#[derive(Default, Serialize)]
struct Summary {
    lines: u64,
    accepted: u64,
    duplicates: u64,
    conflicts: u64,
    refused: u64,
    bad_lines: Vec<BadLine>,
    /// Accepted, and not in Kafka yet: an edge that runs sends it on.
    unsent: i64,
    seconds: f64,
}

/// A line that made no request.
#[derive(Serialize)]
struct BadLine {
    line: u64,
    reason: &'static str,
    detail: String,
}

/// A line in the queue.
struct Sent {
    line: u64,
    submission: Submission,
    pending: Pending,
}

impl Args {
    pub(crate) async fn run(self, json: bool) -> anyhow::Result<ExitCode> {
        let began = Instant::now();
        let (producer, _) = open().await?;
        let bar = bar(&self.file).await?;
        let mut stop = super::signals::stop();
        let read = read(self.flow, &self.file, producer.acceptance(), &bar);
        let summary = tokio::select! {
            summary = read => summary,
            _ = stop.wait_for(|stop| *stop) => Err(anyhow::anyhow!("stopped; what was accepted is sent on")),
            () = mypay_idempotency::slot::until_lost(producer.lost()) =>
                Err(anyhow::anyhow!("another process has taken this one's slot")),
        };
        bar.set_message("into Kafka");
        let unsent = producer.close(Duration::from_secs(self.wait)).await;
        bar.finish_and_clear();
        let mut summary = summary?;
        summary.unsent =
            unsent.context("what was accepted is durable, but the outbox did not answer")?;
        summary.seconds = began.elapsed().as_secs_f64();
        summary.bad_lines.sort_by_key(|bad| bad.line);
        summary.show(json)?;
        let clean = summary.refused == 0 && summary.conflicts == 0;
        Ok(if clean {
            ExitCode::SUCCESS
        } else {
            ExitCode::from(REFUSED)
        })
    }
}

/// A producer of this process, and the database that it writes to.
pub(super) async fn open() -> anyhow::Result<(Producer, PgPool)> {
    let endpoints = Endpoints::discover()?;
    let pool = mypay_database::pool(&endpoints.database_url, 6)?;
    let settings = Settings {
        kafka_bootstrap: endpoints.kafka_bootstrap,
        registry_url: endpoints.registry_url,
        role: "producer",
        tries: Some(TRIES),
    };
    let (stage, _) = watch::channel(Stage::Database);
    let metrics = Arc::new(Metrics::default());
    let producer = Producer::open(pool.clone(), &settings, metrics, &stage).await?;
    Ok((producer, pool))
}

/// Progress by bytes: the lines of a file are not counted before they are read.
/// Hidden where standard error is no terminal.
async fn bar(file: &Path) -> anyhow::Result<ProgressBar> {
    let metadata = tokio::fs::metadata(file).await;
    let length = metadata
        .with_context(|| format!("cannot read {}", file.display()))?
        .len();
    let style = ProgressStyle::with_template("{bar:40} {percent:>3} %  {elapsed} / {eta}  {msg}")?;
    Ok(ProgressBar::new(length)
        .with_style(style)
        .with_message("reading"))
}

async fn read(
    flow: Flow,
    file: &Path,
    acceptance: &Acceptance,
    bar: &ProgressBar,
) -> anyhow::Result<Summary> {
    let opened = File::open(file).await;
    let opened = opened.with_context(|| format!("cannot read {}", file.display()))?;
    let mut reader = BufReader::with_capacity(1 << 18, opened);
    let mut summary = Summary::default();
    let mut in_flight = VecDeque::with_capacity(IN_FLIGHT);
    let mut bytes = Vec::with_capacity(512);
    let mut number = 0;
    while reader.read_until(b'\n', &mut bytes).await? > 0 {
        number += 1;
        bar.inc(bytes.len() as u64);
        let text = bytes.trim_ascii();
        if !text.is_empty() {
            summary.lines += 1;
            match line::prepare(acceptance, flow, text) {
                Ok(submission) => in_flight.push_back(send(acceptance, number, submission).await?),
                Err(PrepareError::Refused(refusal)) => {
                    summary.refused += 1;
                    summary.bad(number, refusal.reason, refusal.detail);
                }
                Err(PrepareError::Encoding(error)) => return Err(error.into()),
            }
        }
        bytes.clear();
        if in_flight.len() >= IN_FLIGHT
            && let Some(oldest) = in_flight.pop_front()
        {
            summary.settle(acceptance, oldest).await?;
        }
    }
    for sent in in_flight {
        summary.settle(acceptance, sent).await?;
    }
    Ok(summary)
}

async fn send(acceptance: &Acceptance, line: u64, submission: Submission) -> anyhow::Result<Sent> {
    let pending = acceptance.enqueue(submission.clone()).await?;
    Ok(Sent {
        line,
        submission,
        pending,
    })
}

impl Summary {
    /// Counts what became of a line; one that met an outage is sent again.
    async fn settle(&mut self, acceptance: &Acceptance, sent: Sent) -> anyhow::Result<()> {
        let Sent {
            line,
            submission,
            pending,
        } = sent;
        let began = Instant::now();
        let mut answer = pending.answer().await;
        while let Err(error @ (AcceptError::Unavailable | AcceptError::Overloaded)) = answer {
            if began.elapsed() > PATIENCE {
                bail!(
                    "line {line}: {error}; start again with the same ids, and nothing is done twice"
                );
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
            answer = acceptance.enqueue(submission.clone()).await?.answer().await;
        }
        match answer.with_context(|| format!("line {line}"))? {
            Answer::Accepted { .. } => self.accepted += 1,
            Answer::Known(_) => self.duplicates += 1,
            Answer::Conflict { flow } => {
                self.conflicts += 1;
                self.bad(
                    line,
                    "id_conflict",
                    format!("the id belongs to another request ({flow})"),
                );
            }
        }
        Ok(())
    }

    fn bad(&mut self, line: u64, reason: &'static str, detail: String) {
        self.bad_lines.push(BadLine {
            line,
            reason,
            detail,
        });
    }

    fn show(&self, json: bool) -> anyhow::Result<()> {
        if json {
            println!("{}", serde_json::to_string_pretty(self)?);
            return Ok(());
        }
        println!(
            "{} lines in {:.1} s: {} accepted, {} duplicates, {} conflicts, {} refused",
            self.lines, self.seconds, self.accepted, self.duplicates, self.conflicts, self.refused
        );
        for bad in self.bad_lines.iter().take(SHOWN) {
            println!("line {}: {}: {}", bad.line, bad.reason, bad.detail);
        }
        if self.bad_lines.len() > SHOWN {
            println!(
                "... and {} more; --json has them all",
                self.bad_lines.len() - SHOWN
            );
        }
        if self.unsent > 0 {
            println!(
                "{} accepted requests are not in Kafka yet; a running edge sends them on",
                self.unsent
            );
        }
        Ok(())
    }
}
