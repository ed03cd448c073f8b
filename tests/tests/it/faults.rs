//! A bank with every fault at once, that is killed again and again.

use anyhow::ensure;
use mypay_bank::dummy::Dial;
use mypay_schemas::Flow;
use mypay_tests::banks::{command, corporate};
use mypay_tests::{World, eventually};
use uuid::Uuid;

use crate::day::LONG;

const COMMANDS: usize = 1_500;

/// The bank is slow, fails before and after it acts, cuts connections anywhere,
/// refuses, takes its time, denies what it did, undoes it later and loses the
/// notice; and it is killed three times under load. In the end each command is
/// settled as the bank itself has it, to the won; and one won of difference is
/// found.
#[tokio::test(flavor = "multi_thread")]
async fn a_day_with_every_fault_closes_to_the_won() -> anyhow::Result<()> {
    let world = World::begin().await?;
    let bank = world.banks(&["004"]).await?;
    let to = world.receiver(&bank, "020").await?;
    let mut dial = Dial {
        seed: 7,
        latency_ms: 20,
        slow_ms: Some(1_500),
        in_progress_ms: 1_000,
        not_found_ms: 1_000,
        reversal_ms: 500,
        ..Dial::default()
    };
    for fault in [
        "slow",
        "error_before",
        "error_after",
        "cut",
        "refuse",
        "in_progress",
        "not_found_first",
        "lost_answer",
        "garbage",
        "unknown_code",
        "late_reversal",
        "lost_notice",
    ] {
        dial.set(&format!("{fault}=0.04"))?;
    }
    world.dial(&bank, dial.clone()).await?;
    // What is left after a kill are those whose 5xx nobody remembers: each meets
    // it once more, and as a probe it would hold the others up.
    let codes = world.answer_codes(&[
        ("transfer_timeout_ms: 10000", "transfer_timeout_ms: 1000"),
        ("open_ms: 10000", "open_ms: 500"),
    ])?;
    let codes = codes.display().to_string();
    let args = ["consume", "firmbanking", "--answer-codes", &codes];
    let firmbanking = world.start("firmbanking", &args)?;
    let mut ids = Vec::new();
    let mut messages = Vec::new();
    for _ in 0..COMMANDS {
        let request = command(corporate("004"), to.clone(), 1_000);
        ids.push(Uuid::try_parse(&request.message_id)?);
        messages.push(world.message(Flow::Firmbanking, &request)?);
    }
    world.send(messages).await?;
    for kill in 1..=3 {
        world.await_commands(&ids, "done", kill * 200, LONG).await?;
        world.kill_bank().await?;
        world.bank().await?;
        world.dial(&bank, dial.clone()).await?;
    }
    eventually("an answer for each command", LONG, async || {
        world.all_live()?;
        let states = world.command_states(&ids).await?;
        let settled = ["done", "refused"]
            .iter()
            .filter_map(|state| states.get(*state));
        Ok((settled.sum::<i64>() as usize == COMMANDS).then_some(states))
    })
    .await
    .map(|states| eprintln!("{states:?}"))?;
    // The last notices, the lost ones among them, may be on their way.
    let closed = eventually("a day that closes", LONG, async || {
        let (code, _) = world.closes("004").await?;
        Ok((code == Some(0)).then_some(()))
    })
    .await;
    ensure!(
        closed.is_ok(),
        "the day does not close: {}",
        world.closes("004").await?.1
    );

    one_won(&world, ids[0], 1).await?;
    let (code, said) = world.closes("004").await?;
    ensure!(
        code == Some(1) && said.contains("fees, won"),
        "one won was not found: {said}"
    );
    one_won(&world, ids[0], -1).await?;
    world.stop(&firmbanking).await?;
    world.audit_is_clean_as_it_is().await
}

async fn one_won(world: &World, command: Uuid, won: i64) -> anyhow::Result<()> {
    sqlx::query("UPDATE banking.firmbanking SET fee = fee + $2 WHERE firmbanking_id = $1")
        .bind(command)
        .bind(won)
        .execute(&world.pool)
        .await?;
    Ok(())
}
