//! A consumer that is killed, again and again.

use std::time::Duration;

use anyhow::ensure;
use mypay_schemas::Flow;
use mypay_tests::World;

use crate::day::{Day, LONG};

const REQUESTS: usize = 50_000;
const KILLS: i64 = 10;

/// The consumer is killed at ten random moments while the requests drain: after
/// a random number of messages, and a random moment later, which may be between
/// any two of its steps.
#[tokio::test(flavor = "multi_thread")]
async fn ten_kills_lose_nothing_and_do_nothing_twice() -> anyhow::Result<()> {
    let world = World::begin().await?;
    let mut day = Day::begin(&world, 1_000).await?;
    let messages = day.requests(&world, REQUESTS)?;
    let total = messages.len() as i64;
    world.send(messages).await?;

    let before = world.gone_through(Flow::Remittance).await?;
    let mut consumer = world.consume("remittance")?;
    for kill in 0..KILLS {
        // The last falls long before the end, however fast the machine is.
        let at = before + kill * 4_000 + day.rng().i64(1..4_000);
        world.await_gone_through(Flow::Remittance, at, LONG).await?;
        tokio::time::sleep(Duration::from_micros(day.rng().u64(..60_000))).await;
        world.kill(&consumer).await?;
        let gone_through = world.gone_through(Flow::Remittance).await? - before;
        eprintln!(
            "kill {}: {gone_through} of {total} were gone through",
            kill + 1
        );
        ensure!(
            gone_through < total,
            "killed after the end: that tests nothing"
        );
        consumer = world.again(&consumer)?;
    }
    world.drained(Flow::Remittance, LONG).await?;
    world.stop(&consumer).await?;
    let gone_through = world.gone_through(Flow::Remittance).await? - before;
    ensure!(
        gone_through == total,
        "{gone_through} of {total} messages were counted"
    );
    day.is_settled(&world).await
}
