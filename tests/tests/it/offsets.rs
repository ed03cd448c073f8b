//! Committed offsets that somebody sets back.

use anyhow::ensure;
use mypay_schemas::Flow;
use mypay_tests::World;
use mypay_tests::requests::{Outgoing, remittance};

use crate::day::{Day, LONG};

/// The whole topic is read once more, what was rejected without a row of
/// `queue_log` and what lies in the dead letters included: nothing comes of it.
#[tokio::test(flavor = "multi_thread")]
async fn offsets_set_back_emit_nothing_twice() -> anyhow::Result<()> {
    let world = World::begin().await?;
    let mut day = Day::begin(&world, 200).await?;
    let mut messages = day.requests(&world, 5_000)?;
    messages.extend(without_a_row(&world).await?);
    day.expect_dead("not_avro");
    day.expect_dead("bad_message_id");
    let consumer = world.consume("remittance")?;
    world.send(messages).await?;
    world.drained(Flow::Remittance, LONG).await?;
    world.stop(&consumer).await?;

    let before = ends(&world)?;
    world.set_back(Flow::Remittance).await?;
    let consumer = world.again(&consumer)?;
    world.drained(Flow::Remittance, LONG).await?;
    world.stop(&consumer).await?;

    for (topic, from) in before {
        let new = world.read_from(topic, &from)?;
        ensure!(
            new.is_empty(),
            "{} records again in {topic}, as at {:?}",
            new.len(),
            new.first().map(|record| record.at)
        );
    }
    day.is_settled(&world).await
}

/// Messages that are answered and leave no row: garbage, and an id without a time.
async fn without_a_row(world: &World) -> anyhow::Result<Vec<Outgoing>> {
    let members = world.members(2, 1_000).await?;
    let mut timeless = remittance(members[0], members[1], 1);
    timeless.message_id = uuid::Builder::from_random_bytes(fastrand::u128(..).to_be_bytes())
        .into_uuid()
        .to_string();
    let mut no_uuid = remittance(members[0], members[1], 1);
    no_uuid.message_id = "42".to_owned();
    let garbage = Outgoing {
        topic: Flow::Remittance.request_topic(),
        key: Some(b"garbage".to_vec()),
        payload: Some(b"no Avro".to_vec()),
        ..Outgoing::default()
    };
    Ok(vec![
        world.message(Flow::Remittance, &timeless)?,
        world.message(Flow::Remittance, &no_uuid)?,
        garbage,
    ])
}

fn ends(world: &World) -> anyhow::Result<Vec<(&'static str, mypay_tests::topic::Offsets)>> {
    [
        Flow::Remittance.result_topic(),
        Flow::Remittance.dead_letter_topic(),
    ]
    .into_iter()
    .map(|topic| Ok((topic, world.ends(topic)?)))
    .collect()
}
