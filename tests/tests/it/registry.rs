//! A schema registry that is away. Nobody can say then whether a schema id is
//! unknown, or only not known yet: so messages wait, and none is a dead letter.

use std::time::Duration;

use anyhow::ensure;
use mypay_schemas::Flow;
use mypay_stack::Signal;
use mypay_tests::World;
use mypay_tests::exactly_once::{Asked, Must};
use mypay_tests::requests::{Outgoing, remittance};
use uuid::Uuid;

use crate::day::{Day, LONG};

/// An id that no schema has.
const NO_SCHEMA: [u8; 5] = [0, 0x7f, 0xff, 0xff, 0xf0];

fn of_no_schema(key: &str) -> Outgoing {
    Outgoing {
        topic: Flow::Remittance.request_topic(),
        key: Some(key.as_bytes().to_vec()),
        payload: Some([&NO_SCHEMA[..], b"whatever it says"].concat()),
        ..Outgoing::default()
    }
}

/// The registry is away when a consumer starts, and again while one runs that
/// has read nothing yet.
#[tokio::test(flavor = "multi_thread")]
async fn known_and_unknown_schema_ids_wait_for_the_registry() -> anyhow::Result<()> {
    let world = World::begin().await?;
    let members = world.members(2, 1_000).await?;
    let results = world.ends(Flow::Remittance.result_topic())?;
    let dead = world.ends(Flow::Remittance.dead_letter_topic())?;
    let mut asked = Asked::default();
    let mut unknown = Vec::new();

    world.signal("registry", Signal::SIGKILL)?;
    let consumer = world.consume("remittance")?;
    unknown.extend(send(&world, &members, &mut asked).await?);
    world
        .await_log(&consumer, "waiting for the schema registry", LONG)
        .await?;
    world.up().await?;
    world.drained(Flow::Remittance, LONG).await?;
    world.stop(&consumer).await?;

    let consumer = world.consume("remittance")?;
    world.assigned(&consumer).await?;
    world.signal("registry", Signal::SIGKILL)?;
    let before = world.gone_through(Flow::Remittance).await?;
    unknown.extend(send(&world, &members, &mut asked).await?);
    world
        .await_log(&consumer, "a message waits for the schema registry", LONG)
        .await?;
    ensure!(
        world.gone_through(Flow::Remittance).await? == before,
        "handled without a schema"
    );
    ensure!(world.is_running(&consumer), "{}", world.log(&consumer)?);
    world.up().await?;
    world.drained(Flow::Remittance, LONG).await?;
    world.stop(&consumer).await?;

    let answers = world
        .results_of(Flow::Remittance, &results, &asked.ids())
        .await?;
    asked.are_answered_once(&answers)?;
    let letters = world.dead_letters(Flow::Remittance, &dead)?;
    let mut of: Vec<_> = letters.iter().map(|letter| letter.of).collect();
    of.sort_unstable();
    unknown.sort_unstable();
    ensure!(of == unknown, "{letters:?}");
    ensure!(
        letters
            .iter()
            .all(|letter| letter.reason == "unknown_schema_id"),
        "{letters:?}"
    );
    world.audit_is_clean().await
}

/// A good message before and behind one of an unknown schema, under one key.
async fn send(
    world: &World,
    members: &[Uuid],
    asked: &mut Asked,
) -> anyhow::Result<Vec<mypay_tests::requests::Placed>> {
    let (first, second) = (
        remittance(members[0], members[1], 1),
        remittance(members[0], members[1], 2),
    );
    for request in [&first, &second] {
        asked.add(&request.message_id, Must::Complete);
    }
    let placed = world
        .send([
            world.message(Flow::Remittance, &first)?,
            of_no_schema(&first.sender_id),
            world.message(Flow::Remittance, &second)?,
        ])
        .await?;
    Ok(vec![placed[1]])
}

/// While messages wait for the registry, the other consumer of the group dies,
/// and its partitions come to the one that waits.
#[tokio::test(flavor = "multi_thread")]
async fn a_rebalance_while_the_registry_is_away_loses_nothing() -> anyhow::Result<()> {
    let world = World::begin().await?;
    let mut day = Day::begin(&world, 100).await?;
    // Neither has read anything, so neither has a schema in memory.
    let waiting = world.start("remittance-a", &["consume", "remittance"])?;
    let dying = world.start("remittance-b", &["consume", "remittance"])?;
    world.assigned(&waiting).await?;
    world.assigned(&dying).await?;
    world.await_members(Flow::Remittance, 2, LONG).await?;

    world.signal("registry", Signal::SIGKILL)?;
    world.send(day.requests(&world, 3_000)?).await?;
    // Long enough to be paused, with the partitions polled on.
    world
        .await_log(&waiting, "paused: what comes behind is not moving", LONG)
        .await?;
    world.kill(&dying).await?;
    world.await_members(Flow::Remittance, 1, LONG).await?;
    tokio::time::sleep(Duration::from_secs(3)).await;
    world.up().await?;
    world.drained(Flow::Remittance, LONG).await?;
    world.stop(&waiting).await?;
    day.is_settled(&world).await
}
