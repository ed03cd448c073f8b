//! The events of every step are a pure function of its message and of what
//! `queue_log` keeps.

use std::sync::Arc;

use anyhow::{Context, ensure};
use mypay_consumers::payment::Payment;
use mypay_consumers::remittance::Remittance;
use mypay_consumers::runtime::handler::Handler;
use mypay_idempotency::queue_log;
use mypay_ledger::limits::InForce;
use mypay_schemas::Flow;
use mypay_schemas::decoder::Decoder;
use mypay_schemas::identity::derive;
use mypay_schemas::payment::id_of_continuation;
use mypay_schemas::recharge::id_of_top_up;
use mypay_tests::World;
use mypay_tests::banks::HOLDER;
use mypay_tests::requests::{payment, payout, remittance};
use uuid::Uuid;

use super::{AT_BANK, BANK, Setting, ids, pay, receiver, remit};
use crate::day::LONG;
use crate::redelivery::arrived;

/// Requests that were topped up, that went on to a bank, that were refused, and one
/// that cannot go on: each of their messages, delivered again, gives its event to
/// the byte, though the request itself is long done.
#[tokio::test(flavor = "multi_thread")]
async fn redelivery_of_each_step_gives_the_same_bytes() -> anyhow::Result<()> {
    let world = World::begin().await?;
    let setting = Setting::begin(&world).await?;
    let to = world.receiver(&setting.bank, BANK).await?;
    let franchise = world.franchise(250).await?;
    let members = world.members(5, 0).await?;
    let (rich, poor) = members.split_at(4);
    world
        .open_accounts(&setting.bank, BANK, rich, AT_BANK)
        .await?;
    world.open_accounts(&setting.bank, BANK, poor, 10).await?;
    let remitted = [
        remittance(members[0], members[1], 1_000),
        payout(members[2], receiver(&to, HOLDER), 1_000),
        remittance(members[4], members[1], 1_000),
    ];
    let paid = [
        payment(members[3], franchise, "order-1", 1_000),
        payment(members[4], franchise, "order-2", 1_000),
    ];
    remit(&world, &remitted).await?;
    pay(&world, &paid).await?;
    let remittances = ids(remitted.iter().map(|it| &it.message_id))?;
    let payments = ids(paid.iter().map(|it| &it.message_id))?;
    world
        .await_done(Flow::Remittance, &remittances, LONG)
        .await?;
    world.await_done(Flow::Payment, &payments, LONG).await?;
    world.audit_is_clean().await?;

    let limits = Arc::new(InForce::default());
    let encoders = world.encoders.clone();
    let handler = Remittance {
        encoders,
        limits: Arc::clone(&limits),
    };
    let (asks, told) = (
        Flow::Recharge.request_topic(),
        Flow::Recharge.result_topic(),
    );
    let requests = Flow::Remittance.request_topic();
    let results = Flow::Remittance.result_topic();
    for (number, id) in remittances.into_iter().enumerate() {
        again(&world, &handler, (requests, id), asks).await?;
        let recharged = derive(id_of_top_up(Flow::Remittance, id), "result");
        let next = match number {
            1 => Flow::Firmbanking.request_topic(),
            _ => results,
        };
        again(&world, &handler, (told, recharged), next).await?;
    }
    let encoders = world.encoders.clone();
    let handler = Payment { encoders, limits };
    let requests = Flow::Payment.request_topic();
    let results = Flow::Payment.result_topic();
    for (number, id) in payments.into_iter().enumerate() {
        again(&world, &handler, (requests, id), asks).await?;
        let recharged = derive(id_of_top_up(Flow::Payment, id), "result");
        if number == 1 {
            again(&world, &handler, (told, recharged), results).await?;
            continue;
        }
        again(&world, &handler, (told, recharged), requests).await?;
        again(
            &world,
            &handler,
            (requests, id_of_continuation(id)),
            results,
        )
        .await?;
    }
    world.stop(&setting.consumers).await
}

/// Makes the events of a message again, and looks for them where they lie.
async fn again<H: Handler>(
    world: &World,
    handler: &H,
    (topic, id): (&'static str, Uuid),
    next: &'static str,
) -> anyhow::Result<()> {
    let mut connection = world.pool.acquire().await?;
    let known = queue_log::known(&mut connection, H::FLOW.name(), &[id]).await?;
    let known = known.get(&id).context("a row in queue_log")?;
    let (_, partition, offset) = known.place.clone().context("it was handled")?;
    let record = world
        .read(topic)?
        .into_iter()
        .find(|record| (record.at.partition, record.at.offset) == (partition, offset))
        .context("the message")?;
    let mut decoder = Decoder::new(&world.endpoints.registry_url);
    let arrived = arrived::<H>(&mut decoder, topic, record).await?;
    ensure!(arrived.id == id, "{} lies there, not {id}", arrived.id);
    let events = handler.events(&arrived, &known.outcome)?;
    let [event] = &events[..] else {
        anyhow::bail!("{id}: {} events", events.len())
    };
    ensure!(event.topic == next, "{id}: on {}, not {next}", event.topic);
    let lies_there = world.read(next)?.into_iter().filter(|record| {
        record.payload.as_ref() == Some(&event.payload) && record.key.as_ref() == Some(&event.key)
    });
    let count = lies_there.count();
    ensure!(count == 1, "{id}: {count} such events on {next}");
    Ok(())
}
