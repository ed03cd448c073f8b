//! Clients compress as they like: a codec that the consumer could not read would
//! stop its partition for ever.

use std::time::Duration;

use anyhow::Context;
use mypay_schemas::{Flow, Request};
use mypay_tests::World;
use mypay_tests::exactly_once::{Asked, Must};
use mypay_tests::requests::remittance;
use rdkafka::producer::{FutureProducer, FutureRecord};

use crate::day::LONG;

#[tokio::test(flavor = "multi_thread")]
async fn every_codec_of_kafka_is_read() -> anyhow::Result<()> {
    let world = World::begin().await?;
    let members = world.members(2, 10_000).await?;
    let topic = Flow::Remittance.request_topic();
    let before = world.ends(Flow::Remittance.result_topic())?;
    let mut asked = Asked::default();
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let producer: FutureProducer = mypay_kafka::client(&world.endpoints.kafka_bootstrap)
            .set("compression.type", codec)
            .create()?;
        let request = remittance(members[0], members[1], 100);
        let payload = world.encoders.encode(topic, &request)?;
        let record = FutureRecord::to(topic).key(request.key()).payload(&payload);
        producer
            .send(record, Duration::from_secs(30))
            .await
            .map_err(|(error, _)| error)
            .with_context(|| format!("producing with {codec}"))?;
        asked.add(&request.message_id, Must::Complete);
    }
    let consumer = world.consume("remittance")?;
    world.drained(Flow::Remittance, LONG).await?;
    let answers = world
        .results_of(Flow::Remittance, &before, &asked.ids())
        .await?;
    asked.are_answered_once(&answers)?;
    world.stop(&consumer).await?;
    world.audit_is_clean().await
}
