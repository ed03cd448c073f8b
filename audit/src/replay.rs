//! Puts the requests of a range of time through again, under their own ids.
//!
//! Each message's own bytes, key and headers are produced to the partition it
//! lies in, so that the consumers meet it at a new offset. What `queue_log` has
//! as done is a duplicate there, and stays as it is; what was never handled is
//! handled. So nothing has to be known about *why* something was not handled,
//! and a replay can be repeated, or break off, without harm.
//!
//! All requests that can be claimed are put through, also those that are done:
//! `queue_log` is asked twice then, once here for the counts and once by the
//! consumer for the truth, and only the consumer's answer is given under the
//! lane's lock. A replay that left out what *it* found done would trust a look
//! that is older than the moment it acts on.
//!
//! Left out is what can have no effect, or a wrong one: what cannot be decoded
//! (it has its dead letter), an id that conflicts with the one that was handled
//! (likewise), and an id that carries no time, or one before the horizon or far
//! ahead: it has its rejection, and would get a second one.
//!
//! The end of the range is fixed before the first message is produced, so that
//! a replay never meets its own; and each id is put through once, however often
//! it lies in the range.

mod classify;
mod range;

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use mypay_schemas::Flow;
use rdkafka::Message as _;
use serde::Serialize;
use sqlx::PgPool;

use crate::error::AuditError;
use crate::kafka::Span;
use crate::produce::Again;
use crate::{Servers, read, topics};

/// How many ids are looked up at a time.
const LOOK_UP: usize = 5_000;

/// What lies in a range.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Messages in the range.
    pub messages: u64,
    /// Requests that are done; they stay so.
    pub already_done: u64,
    /// Requests that wait for a bank; they go on waiting.
    pub in_progress: u64,
    /// Requests that no consumer has handled.
    pub never_handled: u64,
    /// Further messages under an id of the range, of the same content.
    pub repeated: u64,
    /// Left out: under an id that was used with other content.
    pub conflicts: u64,
    /// Left out: ids that carry no time, or one that is out of bounds.
    pub refused_ids: u64,
    /// Left out: no Avro of ours, or no UUID for an id.
    pub undecodable: u64,
}

impl Counts {
    /// How many requests are put through.
    pub fn put_through(&self) -> u64 {
        self.already_done + self.in_progress + self.never_handled
    }
}

/// What a replay would do.
pub struct Plan {
    /// The topic.
    pub topic: &'static str,
    /// What lies in the range.
    pub counts: Counts,
    spans: Vec<Span>,
    /// The messages that are put through: partition and offset.
    chosen: HashSet<(i32, i64)>,
}

/// The flow of a request topic.
///
/// # Errors
/// [`AuditError::NotARequestTopic`] lists the topics that there are.
pub fn flow_of(topic: &str) -> Result<Flow, AuditError> {
    Flow::ALL
        .into_iter()
        .find(|flow| flow.request_topic() == topic)
        .ok_or_else(|| AuditError::NotARequestTopic {
            topic: topic.to_string(),
            known: Flow::ALL.map(Flow::request_topic).to_vec(),
        })
}

/// Looks what lies in a range of a request topic, by the broker's time: from
/// `from` up to, not including, `to`, or the topic's end as it is now.
///
/// # Errors
/// [`AuditError`] where the topic is no request topic, the range is empty, or a
/// server could not be read.
pub async fn plan(
    servers: &Servers,
    topic: &str,
    from: DateTime<Utc>,
    to: Option<DateTime<Utc>>,
) -> Result<Plan, AuditError> {
    let flow = flow_of(topic)?;
    if to.is_some_and(|to| to <= from) {
        return Err(AuditError::EmptyRange);
    }
    let pool = mypay_database::pool(&servers.database_url, 2)?;
    let reading = tokio::task::spawn_blocking({
        let servers = servers.clone();
        let runtime = tokio::runtime::Handle::current();
        move || {
            let spans = range::spans(&servers.bootstrap, flow, from, to)?;
            let (bootstrap, registry) = (&servers.bootstrap, &servers.registry_url);
            let requests = topics::requests(bootstrap, registry, &runtime, flow, &spans)?;
            Ok::<_, AuditError>((spans, requests))
        }
    });
    let (spans, requests) = reading.await??;
    let mut counts = Counts {
        messages: requests.messages.len() as u64 + requests.timeless + requests.undecodable,
        refused_ids: requests.timeless,
        undecodable: requests.undecodable,
        ..Counts::default()
    };
    let chosen = choose(&pool, flow, requests.messages, &mut counts).await?;
    Ok(Plan {
        topic: flow.request_topic(),
        counts,
        spans,
        chosen,
    })
}

async fn choose(
    pool: &PgPool,
    flow: Flow,
    mut messages: Vec<crate::rows::Message>,
    counts: &mut Counts,
) -> Result<HashSet<(i32, i64)>, AuditError> {
    // Across partitions only the broker's time says which came first.
    messages.sort_unstable_by_key(|message| (message.id, message.at, message.place));
    let mut connection = pool.acquire().await?;
    let horizon = mypay_idempotency::horizon::oldest(&mut connection).await?;
    let now = Utc::now().timestamp_millis();
    let mut chosen = HashSet::with_capacity(messages.len());
    let requests: Vec<&[crate::rows::Message]> = crate::sorted::groups(&messages).collect();
    for some in requests.chunks(LOOK_UP) {
        let ids: Vec<_> = some
            .iter()
            .map(|messages| uuid::Uuid::from_u128(messages[0].id))
            .collect();
        let known = mypay_idempotency::queue_log::known(&mut connection, flow.name(), &ids).await?;
        for (messages, id) in some.iter().zip(ids) {
            let place = classify::request(messages, known.get(&id), (now, horizon), counts);
            chosen.extend(place.map(|place| (place.partition, place.offset)));
        }
    }
    Ok(chosen)
}

impl Plan {
    /// Puts the requests through; `progress` is told how many were produced.
    ///
    /// # Errors
    /// [`AuditError::Kafka`] where a message could not be produced. Those before
    /// it were; a replay of the same range does no harm to them.
    pub async fn apply(
        self,
        servers: &Servers,
        progress: impl FnMut(u64) + Send + 'static,
    ) -> Result<u64, AuditError> {
        let bootstrap = servers.bootstrap.clone();
        tokio::task::spawn_blocking(move || self.put_through(&bootstrap, progress)).await?
    }

    /// Reads the spans once more and produces the chosen messages. Blocks.
    fn put_through(
        &self,
        bootstrap: &str,
        mut progress: impl FnMut(u64),
    ) -> Result<u64, AuditError> {
        let mut again = Again::new(bootstrap, "mypay.replay")?;
        for share in read::shares(&self.spans) {
            read::each(bootstrap, &share, |message| {
                if self
                    .chosen
                    .contains(&(message.partition(), message.offset()))
                {
                    let produced = again.put(message)?;
                    if produced.is_multiple_of(1_000) {
                        progress(produced);
                    }
                }
                Ok(())
            })?;
        }
        let produced = again.finish()?;
        progress(produced);
        Ok(produced)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_that_is_not_of_requests_is_refused_with_those_that_are() {
        assert_eq!(flow_of("my.payment.request").unwrap(), Flow::Payment);
        for topic in ["my.payment.result", "my.payment.request.dlq", ""] {
            let error = flow_of(topic).unwrap_err().to_string();
            assert!(error.contains("my.remittance.request"), "{error}");
        }
    }
}
