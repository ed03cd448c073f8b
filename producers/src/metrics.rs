//! What the edge counts, as Prometheus reads it.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mypay_schemas::Flow;

use crate::accept::Answer;

/// Upper bounds of the histograms' buckets, in microseconds.
const BOUNDS: [u64; 12] = [
    1_000, 2_000, 5_000, 10_000, 20_000, 35_000, 50_000, 100_000, 200_000, 500_000, 1_000_000,
    5_000_000,
];

/// Counts since the process began.
#[derive(Debug, Default)]
pub struct Metrics {
    answers: [[AtomicU64; OUTCOMES.len()]; Flow::ALL.len()],
    refused: Mutex<BTreeMap<(u16, &'static str), u64>>,
    access_refused: Mutex<BTreeMap<(&'static str, &'static str), u64>>,
    requests: Histogram,
    commits: Histogram,
    committed: AtomicU64,
}

const OUTCOMES: [&str; 3] = ["accepted", "duplicate", "conflict"];

impl Metrics {
    /// A request of a flow was answered.
    pub(crate) fn answered(&self, flow: Flow, answer: &Answer) {
        let outcome = match answer {
            Answer::Accepted { .. } => 0,
            Answer::Known(_) => 1,
            Answer::Conflict { .. } => 2,
        };
        self.answers[flow as usize][outcome].fetch_add(1, Ordering::Relaxed);
    }

    /// A commit of so many requests took so long.
    pub(crate) fn batch(&self, requests: usize, took: Duration) {
        self.commits.observe(took);
        self.committed.fetch_add(requests as u64, Ordering::Relaxed);
    }

    /// An HTTP request was refused, or failed.
    pub(crate) fn refused(&self, status: u16, reason: &'static str) {
        let mut refused = self
            .refused
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        *refused.entry((status, reason)).or_default() += 1;
    }

    /// Somebody was refused access, for that reason; "-" where nobody knows who.
    pub(crate) fn access_refused(&self, role: &'static str, why: &'static str) {
        let mut refused = self
            .access_refused
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        *refused.entry((role, why)).or_default() += 1;
    }

    /// An HTTP request took so long.
    pub(crate) fn request(&self, took: Duration) {
        self.requests.observe(took);
    }

    /// The text that Prometheus reads.
    pub fn render(&self) -> String {
        let mut text = String::with_capacity(4096);
        header(
            &mut text,
            "mypay_edge_answers_total",
            "counter",
            "Requests by flow and answer.",
        );
        for flow in Flow::ALL {
            for (outcome, count) in OUTCOMES.iter().zip(&self.answers[flow as usize]) {
                let count = count.load(Ordering::Relaxed);
                line(
                    &mut text,
                    &format!(
                        "mypay_edge_answers_total{{flow=\"{flow}\",answer=\"{outcome}\"}} {count}"
                    ),
                );
            }
        }
        header(
            &mut text,
            "mypay_edge_refused_total",
            "counter",
            "HTTP requests refused, by status and reason.",
        );
        for ((status, reason), count) in &*self
            .refused
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
        {
            line(
                &mut text,
                &format!(
                    "mypay_edge_refused_total{{status=\"{status}\",reason=\"{reason}\"}} {count}"
                ),
            );
        }
        header(
            &mut text,
            "mypay_edge_access_refused_total",
            "counter",
            "Requests refused for who asked, by role and reason.",
        );
        for ((role, why), count) in &*self
            .access_refused
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
        {
            line(
                &mut text,
                &format!(
                    "mypay_edge_access_refused_total{{role=\"{role}\",reason=\"{why}\"}} {count}"
                ),
            );
        }
        header(
            &mut text,
            "mypay_edge_committed_requests_total",
            "counter",
            "Requests in all commits; by the commits' count, the size of a batch.",
        );
        line(
            &mut text,
            &format!(
                "mypay_edge_committed_requests_total {}",
                self.committed.load(Ordering::Relaxed)
            ),
        );
        self.requests.render(
            &mut text,
            "mypay_edge_request_seconds",
            "Time to answer an HTTP request.",
        );
        self.commits.render(
            &mut text,
            "mypay_edge_commit_seconds",
            "Time to make a batch durable.",
        );
        text
    }
}

#[derive(Debug, Default)]
struct Histogram {
    buckets: [AtomicU64; BOUNDS.len()],
    count: AtomicU64,
    micros: AtomicU64,
}

impl Histogram {
    fn observe(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        if let Some(bucket) = BOUNDS.iter().position(|bound| micros <= *bound) {
            self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        }
        self.count.fetch_add(1, Ordering::Relaxed);
        self.micros.fetch_add(micros, Ordering::Relaxed);
    }

    fn render(&self, text: &mut String, name: &str, help: &str) {
        header(text, name, "histogram", help);
        let mut below = 0;
        for (bound, bucket) in BOUNDS.iter().zip(&self.buckets) {
            below += bucket.load(Ordering::Relaxed);
            line(
                text,
                &format!("{name}_bucket{{le=\"{}\"}} {below}", seconds(*bound)),
            );
        }
        let count = self.count.load(Ordering::Relaxed);
        line(text, &format!("{name}_bucket{{le=\"+Inf\"}} {count}"));
        line(
            text,
            &format!(
                "{name}_sum {}",
                seconds(self.micros.load(Ordering::Relaxed))
            ),
        );
        line(text, &format!("{name}_count {count}"));
    }
}

fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}

fn header(text: &mut String, name: &str, kind: &str, help: &str) {
    line(text, &format!("# HELP {name} {help}"));
    line(text, &format!("# TYPE {name} {kind}"));
}

fn line(text: &mut String, line: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_counts_all_below_it() {
        let metrics = Metrics::default();
        metrics.request(Duration::from_micros(900));
        metrics.request(Duration::from_millis(4));
        metrics.request(Duration::from_secs(60));
        let text = metrics.render();
        assert!(
            text.contains("mypay_edge_request_seconds_bucket{le=\"0.001\"} 1\n"),
            "{text}"
        );
        assert!(
            text.contains("mypay_edge_request_seconds_bucket{le=\"0.005\"} 2\n"),
            "{text}"
        );
        assert!(
            text.contains("mypay_edge_request_seconds_bucket{le=\"5\"} 2\n"),
            "{text}"
        );
        assert!(
            text.contains("mypay_edge_request_seconds_bucket{le=\"+Inf\"} 3\n"),
            "{text}"
        );
    }

    #[test]
    fn refusals_are_counted_by_reason() {
        let metrics = Metrics::default();
        metrics.refused(400, "id_without_time");
        metrics.refused(400, "id_without_time");
        let expected = "mypay_edge_refused_total{status=\"400\",reason=\"id_without_time\"} 2\n";
        assert!(metrics.render().contains(expected));
    }
}
