//! Events are a pure function of the request and of what `queue_log` keeps.

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::{Context, ensure};
use chrono::DateTime;
use mypay_consumers::payment::Payment;
use mypay_consumers::remittance::Remittance;
use mypay_consumers::runtime::handler::{Arrived, Handler, Raw};
use mypay_idempotency::queue_log;
use mypay_schemas::decoder::Decoder;
use mypay_schemas::{Flow, Request};
use mypay_tests::World;
use mypay_tests::requests::{Outgoing, payment, remittance};
use mypay_tests::topic::{Offsets, Record};
use serde::Serialize;
use uuid::Uuid;

use crate::day::LONG;

#[tokio::test(flavor = "multi_thread")]
async fn redelivery_of_a_remittance_gives_the_same_bytes() -> anyhow::Result<()> {
    let world = World::begin().await?;
    let members = world.members(2, 100_000).await?;
    let traceparent = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_vec();
    let mut requests = Vec::new();
    for (receiver, amount) in [(members[1], 10), (members[1], -1), (Uuid::now_v7(), 10)] {
        requests.push(message(
            &world,
            Flow::Remittance,
            &remittance(members[0], receiver, amount),
        )?);
    }
    requests[0]
        .1
        .headers
        .push(("traceparent".to_owned(), traceparent));
    let handler = Remittance {
        encoders: world.encoders.clone(),
        limits: Arc::default(),
    };
    made_again_they_are_the_same(&world, handler, requests).await
}

#[tokio::test(flavor = "multi_thread")]
async fn redelivery_of_a_payment_gives_the_same_bytes() -> anyhow::Result<()> {
    let world = World::begin().await?;
    let member = world.members(1, 100_000).await?[0];
    let franchise = world.franchise(250).await?;
    let mut requests = Vec::new();
    for (order, amount) in [("order-1", 12_345), ("order-2", 10_000_000), ("", 1)] {
        requests.push(message(
            &world,
            Flow::Payment,
            &payment(member, franchise, order, amount),
        )?);
    }
    let handler = Payment {
        encoders: world.encoders.clone(),
        limits: Arc::default(),
    };
    made_again_they_are_the_same(&world, handler, requests).await
}

fn message<R: Request + Serialize>(
    world: &World,
    flow: Flow,
    request: &R,
) -> anyhow::Result<(Uuid, Outgoing)> {
    Ok((
        Uuid::try_parse(request.message_id())?,
        world.message(flow, request)?,
    ))
}

/// Lets a consumer handle requests; then makes the events again as after a
/// crash, from the request's record and the row in `queue_log`, and compares
/// them with what lies in the result topic.
async fn made_again_they_are_the_same<H: Handler>(
    world: &World,
    handler: H,
    requests: Vec<(Uuid, Outgoing)>,
) -> anyhow::Result<()> {
    let flow = H::FLOW;
    let (ids, messages): (Vec<Uuid>, Vec<Outgoing>) = requests.into_iter().unzip();
    let before = world.ends(flow.request_topic())?;
    let results = world.ends(flow.result_topic())?;
    let consumer = world.consume(flow.name())?;
    let placed = world.send(messages).await?;
    world.drained(flow, LONG).await?;
    world.stop(&consumer).await?;

    let mut connection = world.pool.acquire().await?;
    let known = queue_log::known(&mut connection, flow.name(), &ids).await?;
    let emitted = results_by_request(world, flow, &results).await?;
    let mut decoder = Decoder::new(&world.endpoints.registry_url);
    for (id, at) in ids.iter().zip(placed) {
        let records = world.read_from(flow.request_topic(), &before)?;
        let request = records
            .into_iter()
            .find(|record| record.at == at)
            .context("the request")?;
        let arrived = arrived::<H>(&mut decoder, flow.request_topic(), request).await?;
        ensure!(arrived.id == *id, "{} lies there", arrived.id);
        let outcome = &known.get(id).context("a row in queue_log")?.outcome;
        let again = handler.events(&arrived, outcome)?;
        ensure!(
            handler.events(&arrived, outcome)? == again,
            "made twice, they differ"
        );
        let [event] = &again[..] else {
            anyhow::bail!("{} events", again.len())
        };
        let record = emitted.get(&id.to_string()).context("a result")?;
        ensure!(
            Some(&event.payload) == record.payload.as_ref(),
            "{id}: other bytes"
        );
        ensure!(Some(&event.key) == record.key.as_ref(), "{id}: another key");
        let header = record
            .headers
            .iter()
            .find(|(name, _)| name == "traceparent");
        let header = header.map(|(_, value)| String::from_utf8_lossy(value).into_owned());
        ensure!(
            header == event.traceparent,
            "{id}: another trace: {header:?}"
        );
    }
    world.audit_is_clean().await
}

async fn results_by_request(
    world: &World,
    flow: Flow,
    from: &Offsets,
) -> anyhow::Result<HashMap<String, Record>> {
    let results = world.results(flow, from).await?;
    Ok(results
        .into_iter()
        .map(|(answer, record)| (answer.request_id, record))
        .collect())
}

/// A record as the consumer's fetch stage hands it on.
pub(crate) async fn arrived<H: Handler>(
    decoder: &mut Decoder,
    topic: &str,
    record: Record,
) -> anyhow::Result<Arrived<H::Message>> {
    let payload = record.payload.context("a value")?;
    decoder.learn_schema_of(&payload).await?;
    let message = H::decode(decoder, topic, &payload)
        .context("the schema is known")??
        .context("the message concerns this flow")?;
    let traceparent = record
        .headers
        .into_iter()
        .find(|(name, _)| name == "traceparent");
    let identity = H::identity(&message);
    Ok(Arrived {
        id: Uuid::try_parse(identity.message_id)?,
        content_hash: identity.content_hash,
        partition: record.at.partition,
        offset: record.at.offset,
        created_at: DateTime::from_timestamp_millis(record.taken_at).unwrap_or_default(),
        traceparent: traceparent.map(|(_, value)| String::from_utf8_lossy(&value).into_owned()),
        message,
        raw: Raw::default(),
    })
}
