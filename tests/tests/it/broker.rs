//! Brokers that die.

use mypay_schemas::Flow;
use mypay_stack::Signal;
use mypay_tests::World;

use crate::day::{Day, LONG};

/// One of three brokers is killed and comes back, each in turn: one of them is
/// the coordinator of the group, one of the transactions, one the controller.
#[tokio::test(flavor = "multi_thread")]
async fn a_broker_dies_and_comes_back_while_requests_flow() -> anyhow::Result<()> {
    let world = World::begin().await?;
    let mut day = Day::begin(&world, 500).await?;
    let consumer = world.consume("remittance")?;
    for broker in ["kafka-1", "kafka-2", "kafka-3"] {
        let done = world.gone_through(Flow::Remittance).await?;
        let messages = day.requests(&world, 9_000)?;
        let pumping = world.pump(messages, 1_500)?;
        // While it is up, while it is down, and after it has come back.
        world
            .await_gone_through(Flow::Remittance, done + 1_500, LONG)
            .await?;
        world.signal(broker, Signal::SIGKILL)?;
        world
            .await_gone_through(Flow::Remittance, done + 4_500, LONG)
            .await?;
        world.up().await?;
        pumping.await??;
        world.drained(Flow::Remittance, LONG).await?;
    }
    world.stop(&consumer).await?;
    day.is_settled(&world).await
}
