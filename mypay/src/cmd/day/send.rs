//! Sending the day's requests, over HTTP and straight onto the topics.

use std::collections::HashMap;
use std::io::IsTerminal;
use std::time::Duration;

use anyhow::{Context, bail};
use futures::stream::{self, StreamExt};
use indicatif::{ProgressBar, ProgressStyle};
use mypay_producers::payment::PaymentBody;
use mypay_producers::recharge::RechargeBody;
use mypay_producers::remittance::RemittanceBody;
use mypay_producers::request::{Body, Head};
use mypay_producers::settlement::SettlementBody;
use mypay_schemas::encoders::Encoders;
use mypay_schemas::{Flow, Request};
use mypay_stack::Endpoints;
use rdkafka::producer::{FutureProducer, FutureRecord};
use reqwest::StatusCode;

use super::edge::Edge;
use super::follow::Watch;
use super::plan::{Bad, Planned, Way};

const AT_ONCE: usize = 256;

/// What was sent, a flow.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sent {
    /// Requests with an id of their own.
    pub(super) requests: u64,
    /// The same again.
    pub(super) again: u64,
    /// Known already, said the edge.
    pub(super) known: u64,
    /// The same id with other content.
    pub(super) conflicts: u64,
    /// Refused at the edge for it.
    pub(super) conflicts_refused: u64,
    /// Bytes that are no request.
    pub(super) bad: u64,
}

/// Sends requests.
pub(super) struct Sender {
    edge: Edge,
    topics: FutureProducer,
    encoders: Encoders,
    watch: Watch,
    tally: HashMap<Flow, Sent>,
}

impl Sender {
    pub(super) async fn new(
        edge: Edge,
        endpoints: &Endpoints,
        watch: Watch,
    ) -> anyhow::Result<Self> {
        let topics = mypay_kafka::client(&endpoints.kafka_bootstrap)
            .set("enable.idempotence", "true")
            .set("linger.ms", "2")
            .create()
            .context("a Kafka producer")?;
        let encoders = Encoders::look_up(&endpoints.registry_url).await?;
        Ok(Self {
            edge,
            topics,
            encoders,
            watch,
            tally: HashMap::new(),
        })
    }

    /// What was sent so far.
    pub(super) fn tally(&self) -> HashMap<Flow, Sent> {
        self.tally.clone()
    }

    /// Sends requests, many at once; waits until all are durably taken.
    pub(super) async fn send_all(
        &mut self,
        what: &'static str,
        planned: Vec<Planned>,
    ) -> anyhow::Result<()> {
        let bar = progress_bar(planned.len() as u64, what);
        let this = &*self;
        let sent: Vec<anyhow::Result<(Flow, Sent)>> = stream::iter(planned)
            .map(|planned| {
                let bar = bar.clone();
                async move {
                    let sent = this.send(&planned).await;
                    bar.inc(1);
                    sent.map(|sent| (planned.flow, sent))
                }
            })
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        bar.finish_and_clear();
        for sent in sent {
            let (flow, sent) = sent?;
            self.add(flow, sent);
        }
        Ok(())
    }

    /// Puts bytes that are no request on the request topics.
    pub(super) async fn send_bad(&mut self, bad: Vec<Bad>) -> anyhow::Result<()> {
        for Bad { flow, bytes } in bad {
            self.produce(flow, "bad", &bytes).await?;
            self.add(
                flow,
                Sent {
                    bad: 1,
                    ..Sent::default()
                },
            );
        }
        Ok(())
    }

    fn add(&mut self, flow: Flow, sent: Sent) {
        let sum = self.tally.entry(flow).or_default();
        sum.requests += sent.requests;
        sum.again += sent.again;
        sum.known += sent.known;
        sum.conflicts += sent.conflicts;
        sum.conflicts_refused += sent.conflicts_refused;
        sum.bad += sent.bad;
    }

    async fn send(&self, planned: &Planned) -> anyhow::Result<Sent> {
        let mut sent = Sent {
            requests: 1,
            ..Sent::default()
        };
        self.watch.expect(planned.flow, planned.id);
        if planned.way == Way::Topic {
            self.put_on_topic(planned).await?;
            return Ok(sent);
        }
        let status = self.post(planned).await?;
        if status != StatusCode::ACCEPTED {
            bail!(
                "{} {}: {status} where 202 was due",
                planned.flow,
                planned.id
            );
        }
        match planned.way {
            Way::Http | Way::Topic => {}
            Way::HttpTwice => {
                sent.again += 1;
                sent.known += u64::from(self.post(planned).await? == StatusCode::OK);
            }
            Way::HttpThenTopic => {
                sent.again += 1;
                self.put_on_topic(planned).await?;
            }
            Way::Conflict => {
                let mut other = planned.clone();
                let amount = other.body["amount"].as_i64().unwrap_or(10_000);
                other.body["amount"] = (amount + 10_000).into();
                sent.conflicts += 2;
                sent.conflicts_refused +=
                    u64::from(self.post(&other).await? == StatusCode::CONFLICT);
                self.put_on_topic(&other).await?;
            }
        }
        Ok(sent)
    }

    async fn post(&self, planned: &Planned) -> anyhow::Result<StatusCode> {
        let path = &planned.path;
        let key = planned.id.to_string();
        let (status, answer) = self.edge.post(path, Some(&key), &planned.body).await?;
        if !status.is_success() && status != StatusCode::CONFLICT {
            bail!("POST {path} {key}: {status}: {answer}");
        }
        Ok(status)
    }

    async fn put_on_topic(&self, planned: &Planned) -> anyhow::Result<()> {
        let (key, payload) = match planned.flow {
            Flow::Recharge => self.encode::<RechargeBody>(planned)?,
            Flow::Remittance => self.encode::<RemittanceBody>(planned)?,
            Flow::Payment => self.encode::<PaymentBody>(planned)?,
            Flow::Settlement => self.encode::<SettlementBody>(planned)?,
            Flow::Firmbanking => bail!("the day's commands to banks come from the other flows"),
            Flow::Closing => bail!("nobody leaves on this day"),
        };
        self.produce(planned.flow, &key, &payload).await
    }

    /// The message that the edge would make of a body.
    fn encode<B: Body>(&self, planned: &Planned) -> anyhow::Result<(String, Vec<u8>)> {
        let body: B = serde_json::from_value(planned.body.clone())?;
        let request = body.into_request(Head {
            message_id: planned.id.to_string(),
            correlation_id: planned.id.to_string(),
            requested_at: chrono::Utc::now().timestamp_millis(),
        })?;
        let payload = self.encoders.encode(B::FLOW.request_topic(), &request)?;
        Ok((request.key().to_string(), payload))
    }

    async fn produce(&self, flow: Flow, key: &str, payload: &[u8]) -> anyhow::Result<()> {
        let record = FutureRecord::to(flow.request_topic())
            .key(key)
            .payload(payload);
        self.topics
            .send(record, Duration::from_secs(30))
            .await
            .map_err(|(error, _)| error)
            .with_context(|| format!("producing to {}", flow.request_topic()))?;
        Ok(())
    }
}

/// A progress bar on a terminal, nothing elsewhere.
pub(super) fn progress_bar(length: u64, what: &'static str) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style =
        ProgressStyle::with_template("         {msg:<12} {bar:40} {pos}/{len} {per_sec} {eta}")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(length)
        .with_style(style)
        .with_message(what)
}
