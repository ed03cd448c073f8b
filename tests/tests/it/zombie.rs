//! A consumer that is taken for dead and is not.

use std::time::Duration;

use anyhow::ensure;
use mypay_schemas::Flow;
use mypay_tests::{Program, World, eventually};
use sqlx::Row;

use crate::day::{Day, LONG};

/// One of two consumers is stopped past its session time-out while requests
/// flow; the other does all of its work. Then it is woken.
#[tokio::test(flavor = "multi_thread")]
async fn a_zombie_changes_nothing() -> anyhow::Result<()> {
    taken_for_dead(|world, zombie| Box::pin(async move { world.pause(zombie) })).await
}

/// The same, but it is stopped in the midst of a PostgreSQL transaction: what
/// it has locked must not hold up the one that takes over.
#[tokio::test(flavor = "multi_thread")]
async fn a_zombie_in_the_midst_of_a_commit_holds_nobody_up() -> anyhow::Result<()> {
    taken_for_dead(|world, zombie| Box::pin(pause_within_a_transaction(world, zombie))).await
}

/// What PostgreSQL sees of a process that is stopped between the beginning of a
/// `COPY` and its data: a session that has the lanes locked, counts as active,
/// and sends nothing. None of PostgreSQL's own time-outs ends it.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_stands_still_in_a_copy_holds_nobody_up() -> anyhow::Result<()> {
    let world = World::begin().await?;
    let mut day = Day::begin(&world, 100).await?;
    let consumer = world.consume("remittance")?;
    world.send(day.requests(&world, 1_000)?).await?;
    world.drained(Flow::Remittance, LONG).await?;

    // One of ours, with all of its settings.
    let frozen = mypay_database::pool(&world.endpoints.database_url, 1)?;
    let mut transaction = frozen.begin().await?;
    let locked = sqlx::query("SELECT FROM lane WHERE consumer = 'remittance' FOR UPDATE")
        .execute(&mut *transaction)
        .await?
        .rows_affected();
    ensure!(locked > 0, "there are no lanes to be locked");
    let mut copy = transaction
        .copy_in_raw("COPY parked FROM STDIN (FORMAT binary)")
        .await?;

    world.send(day.requests(&world, 1_000)?).await?;
    world.drained(Flow::Remittance, LONG).await?;
    // It wakes, and finds its session gone.
    let _ = copy
        .send(&b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0\xff\xff"[..])
        .await;
    ensure!(
        copy.finish().await.is_err(),
        "the session that stood still was not ended"
    );
    drop(transaction);
    world.stop(&consumer).await?;
    day.is_settled(&world).await
}

type Paused<'a> = std::pin::Pin<Box<dyn Future<Output = anyhow::Result<()>> + Send + 'a>>;

async fn taken_for_dead(
    pause: impl for<'a> Fn(&'a World, &'a Program) -> Paused<'a>,
) -> anyhow::Result<()> {
    let world = World::begin().await?;
    let mut day = Day::begin(&world, 500).await?;
    let zombie = world.start("remittance-a", &["consume", "remittance"])?;
    let other = world.start("remittance-b", &["consume", "remittance"])?;
    world.assigned(&zombie).await?;
    world.assigned(&other).await?;
    world.await_members(Flow::Remittance, 2, LONG).await?;

    let before = world.gone_through(Flow::Remittance).await?;
    let pumping = world.pump(day.requests(&world, 30_000)?, 4_000)?;
    world
        .await_gone_through(Flow::Remittance, before + 3_000, LONG)
        .await?;
    pause(&world, &zombie).await?;
    world.await_members(Flow::Remittance, 1, LONG).await?;
    pumping.await??;
    // While the zombie still holds whatever it held.
    world.drained(Flow::Remittance, LONG).await?;

    let pumping = world.pump(day.requests(&world, 5_000)?, 2_000)?;
    world.resume(&zombie)?;
    pumping.await??;
    world.await_members(Flow::Remittance, 2, LONG).await?;
    ensure!(world.is_running(&zombie), "{}", world.log(&zombie)?);
    world.drained(Flow::Remittance, LONG).await?;

    // It works again: alone, it does everything.
    world.stop(&other).await?;
    world.send(day.requests(&world, 2_000)?).await?;
    world.drained(Flow::Remittance, LONG).await?;
    world.stop(&zombie).await?;
    day.is_settled(&world).await
}

/// Stops a consumer again and again, until it is at a moment at which it has a
/// transaction open.
async fn pause_within_a_transaction(world: &World, zombie: &Program) -> anyhow::Result<()> {
    eventually("a pause within a transaction", LONG, async || {
        world.pause(zombie)?;
        // No live consumer keeps the server waiting for so long, be it between
        // two statements or in the midst of a COPY.
        tokio::time::sleep(Duration::from_millis(400)).await;
        let open: i64 = sqlx::query(
            "SELECT count(*) FROM pg_stat_activity
              WHERE application_name = 'mypay' AND backend_xid IS NOT NULL
                AND wait_event_type = 'Client'
                AND state_change < clock_timestamp() - interval '0.3 s'",
        )
        .fetch_one(&world.pool)
        .await?
        .try_get(0)?;
        if open == 0 {
            world.resume(zombie)?;
        }
        Ok((open > 0).then_some(()))
    })
    .await
}
