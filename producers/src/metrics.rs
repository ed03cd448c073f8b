//! What the edge counts, as Prometheus reads it.

use std::time::Duration;

use mypay_schemas::Flow;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::accept::Answer;

/// Upper bounds of the histograms' buckets, in seconds.
const BOUNDS: [f64; 12] = [
    0.001, 0.002, 0.005, 0.01, 0.02, 0.035, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0,
];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfAnswer {
    flow: &'static str,
    answer: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfProblem {
    status: u32,
    code: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfRole {
    role: &'static str,
    reason: &'static str,
}

/// Counts since the process began.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    answers: Family<OfAnswer, Counter>,
    refused: Family<OfProblem, Counter>,
    access_refused: Family<OfRole, Counter>,
    committed: Counter,
    requests: Histogram,
    commits: Histogram,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("mypay_edge");
        let metrics = Self {
            answers: Family::default(),
            refused: Family::default(),
            access_refused: Family::default(),
            committed: Counter::default(),
            requests: Histogram::new(BOUNDS),
            commits: Histogram::new(BOUNDS),
            registry: Registry::default(),
        };
        registry.register(
            "answers",
            "Requests by flow and answer",
            metrics.answers.clone(),
        );
        registry.register(
            "refused",
            "HTTP requests refused, by status and code",
            metrics.refused.clone(),
        );
        registry.register(
            "access_refused",
            "Requests refused for who asked, by role and reason",
            metrics.access_refused.clone(),
        );
        registry.register(
            "committed_requests",
            "Requests in all commits; by the commits' count, the size of a batch",
            metrics.committed.clone(),
        );
        registry.register(
            "request_seconds",
            "Time to answer an HTTP request",
            metrics.requests.clone(),
        );
        registry.register(
            "commit_seconds",
            "Time to make a batch durable",
            metrics.commits.clone(),
        );
        // What has not happened yet is 0, and not missing: a rate can begin at it.
        for flow in Flow::ALL {
            for answer in ["accepted", "duplicate", "conflict"] {
                metrics.of_answer(flow, answer);
            }
        }
        Self {
            registry,
            ..metrics
        }
    }
}

impl Metrics {
    fn of_answer(&self, flow: Flow, answer: &'static str) -> Counter {
        let flow = flow.name();
        let counter = self.answers.get_or_create(&OfAnswer { flow, answer });
        counter.clone()
    }

    /// A request of a flow was answered.
    pub(crate) fn answered(&self, flow: Flow, answer: &Answer) {
        let answer = match answer {
            Answer::Accepted { .. } => "accepted",
            Answer::Known(_) => "duplicate",
            Answer::Conflict { .. } => "conflict",
        };
        self.of_answer(flow, answer).inc();
    }

    /// A commit of so many requests took so long.
    pub(crate) fn batch(&self, requests: usize, took: Duration) {
        self.commits.observe(took.as_secs_f64());
        self.committed.inc_by(requests as u64);
    }

    /// An HTTP request was refused, or failed.
    pub(crate) fn refused(&self, status: u16, code: &'static str) {
        let status = status.into();
        self.refused
            .get_or_create(&OfProblem { status, code })
            .inc();
    }

    /// Somebody was refused access, for that reason; "-" where nobody knows who.
    pub(crate) fn access_refused(&self, role: &'static str, reason: &'static str) {
        let of_role = OfRole { role, reason };
        self.access_refused.get_or_create(&of_role).inc();
    }

    /// An HTTP request took so long.
    pub(crate) fn request(&self, took: Duration) {
        self.requests.observe(took.as_secs_f64());
    }

    /// The text that Prometheus reads (OpenMetrics).
    pub fn render(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::with_capacity(4096);
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
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
        let text = metrics.render().unwrap();
        for (bound, below) in [("0.001", 1), ("0.005", 2), ("5.0", 2), ("+Inf", 3)] {
            let line = format!("mypay_edge_request_seconds_bucket{{le=\"{bound}\"}} {below}\n");
            assert!(text.contains(&line), "{line}{text}");
        }
    }

    /// One that has another name in `ops/` than here would never be seen there.
    #[test]
    fn every_metric_of_the_edge_that_is_watched_is_told() {
        let metrics = Metrics::default();
        metrics.refused(400, "id_without_time");
        metrics.access_refused("member", "not_yours");
        let text = metrics.render().unwrap();
        let watched = [
            include_str!("../../ops/prometheus/alerts.yml"),
            include_str!("../../ops/grafana/dashboards/pipeline.json"),
        ];
        let words = watched.into_iter().flat_map(|text| {
            text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                .filter(|word| word.starts_with("mypay_edge_"))
        });
        let mut count = 0;
        for name in words {
            count += 1;
            let mut samples = text
                .lines()
                .filter_map(|line| line.split(['{', ' ']).next());
            assert!(samples.any(|told| told == name), "{name} is not in\n{text}");
        }
        assert!(count > 2, "{count} are watched");
    }

    #[test]
    fn refusals_are_counted_by_code_and_what_never_happened_is_zero() {
        let metrics = Metrics::default();
        metrics.refused(400, "id_without_time");
        metrics.refused(400, "id_without_time");
        metrics.access_refused("member", "not_yours");
        let text = metrics.render().unwrap();
        for line in [
            "mypay_edge_refused_total{status=\"400\",code=\"id_without_time\"} 2\n",
            "mypay_edge_access_refused_total{role=\"member\",reason=\"not_yours\"} 1\n",
            "mypay_edge_answers_total{flow=\"payment\",answer=\"conflict\"} 0\n",
        ] {
            assert!(text.contains(line), "{line}{text}");
        }
    }
}
