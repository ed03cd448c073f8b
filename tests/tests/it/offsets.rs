//! Committed offsets that somebody sets back.

use anyhow::ensure;
use mypay_schemas::Flow;
use mypay_schemas::identity::derive;
use mypay_schemas::payment::PaymentRequest;
use mypay_tests::World;
use mypay_tests::requests::{Outgoing, payment, remittance};
use uuid::Uuid;

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

/// What leaves no row may come again behind a settlement's cut: it stops no lane.
#[tokio::test(flavor = "multi_thread")]
async fn a_forged_payment_that_comes_again_behind_a_cut_stops_no_lane() -> anyhow::Result<()> {
    let world = World::begin().await?;
    let payer = world.members(1, 100_000).await?[0];
    let franchise = world.franchise(250).await?;
    let settling = world.consume("settlement")?;
    let consumer = world.consume("payment")?;
    let paid = payment(payer, franchise, "order-1", 10_000);
    let forged = PaymentRequest {
        message_id: derive(Uuid::now_v7(), "forged").to_string(),
        ..payment(payer, franchise, "order-2", 1)
    };
    // Of one key: the cut lies behind both.
    world
        .send([
            world.message(Flow::Payment, &forged)?,
            world.message(Flow::Payment, &paid)?,
        ])
        .await?;
    world.drained(Flow::Payment, LONG).await?;
    let settled = world.mypay(&["settle", "--wait", "60"]).await?;
    ensure!(settled.status.success(), "{settled:?}");
    world.stop(&consumer).await?;

    let letters = world.ends(Flow::Payment.dead_letter_topic())?;
    world.set_back(Flow::Payment).await?;
    let consumer = world.again(&consumer)?;
    world.drained(Flow::Payment, LONG).await?;
    let again = world.read_from(Flow::Payment.dead_letter_topic(), &letters)?;
    ensure!(again.is_empty(), "{} letters again", again.len());
    world.audit_is_clean().await?;
    world.stop(&consumer).await?;
    world.stop(&settling).await
}

/// Messages that are answered and leave no row: garbage, an id without a time, and what
/// goes on with nothing that waits.
async fn without_a_row(world: &World) -> anyhow::Result<Vec<Outgoing>> {
    let members = world.members(2, 1_000).await?;
    let mut timeless = remittance(members[0], members[1], 1);
    timeless.message_id = uuid::Builder::from_random_bytes(fastrand::u128(..).to_be_bytes())
        .into_uuid()
        .to_string();
    let mut no_uuid = remittance(members[0], members[1], 1);
    no_uuid.message_id = "42".to_owned();
    let mut forged = remittance(members[0], members[1], 1);
    forged.message_id = derive(Uuid::now_v7(), "forged").to_string();
    let garbage = Outgoing {
        topic: Flow::Remittance.request_topic(),
        key: Some(b"garbage".to_vec()),
        payload: Some(b"no Avro".to_vec()),
        ..Outgoing::default()
    };
    Ok(vec![
        world.message(Flow::Remittance, &timeless)?,
        world.message(Flow::Remittance, &no_uuid)?,
        world.message(Flow::Remittance, &forged)?,
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
