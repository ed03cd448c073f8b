//! A database that goes away. An outage is nobody's fault who asks: nothing
//! becomes a dead letter by it.

use std::time::Duration;

use mypay_schemas::Flow;
use mypay_stack::Signal;
use mypay_tests::World;

use crate::day::{Day, LONG};

/// Longer than the session time-out, than a slot stays taken without a
/// heartbeat, and than a connection is waited for.
const AWAY: Duration = Duration::from_secs(10);

/// PostgreSQL hangs for a while, and then is killed and started again.
#[tokio::test(flavor = "multi_thread")]
async fn the_database_goes_away_and_nothing_becomes_a_dead_letter() -> anyhow::Result<()> {
    let world = World::begin().await?;
    let mut day = Day::begin(&world, 500).await?;
    let consumer = world.consume("remittance")?;

    let before = world.gone_through(Flow::Remittance).await?;
    let pumping = world.pump(day.requests(&world, 10_000)?, 2_000)?;
    world
        .await_gone_through(Flow::Remittance, before + 2_000, LONG)
        .await?;
    world.signal("postgres", Signal::SIGSTOP)?;
    tokio::time::sleep(AWAY).await;
    world.signal("postgres", Signal::SIGCONT)?;
    pumping.await??;
    world.drained(Flow::Remittance, LONG).await?;

    let before = world.gone_through(Flow::Remittance).await?;
    let pumping = world.pump(day.requests(&world, 10_000)?, 2_000)?;
    world
        .await_gone_through(Flow::Remittance, before + 2_000, LONG)
        .await?;
    world.signal("postgres", Signal::SIGKILL)?;
    // Requests go on flowing into the topic while nobody can handle them.
    pumping.await??;
    world.up().await?;
    world.drained(Flow::Remittance, LONG).await?;
    world.stop(&consumer).await?;
    day.is_settled(&world).await
}
