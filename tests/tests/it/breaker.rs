//! A bank that hangs: it is left alone, and costs the others nothing. And a day
//! whose numbers run out.

use std::time::{Duration, Instant};

use anyhow::ensure;
use mypay_bank::dummy::{BankDial, Dial};
use mypay_tests::banks::{corporate, today};
use mypay_tests::{World, eventually};
use sqlx::Row;
use uuid::Uuid;

use crate::day::LONG;

const EACH: usize = 300;

/// Of two banks one hangs. The other's commands are done as if it did not; the
/// one that hangs is called a few times and then left alone, and its commands wait
/// without a failure. When it answers again, they go out.
#[tokio::test(flavor = "multi_thread")]
async fn a_bank_that_hangs_is_left_alone_and_costs_the_others_nothing() -> anyhow::Result<()> {
    let world = World::begin().await?;
    let bank = world.banks(&["004", "088"]).await?;
    let mut hangs = BankDial::default();
    hangs
        .rates
        .insert("slow".parse().map_err(anyhow::Error::msg)?, 1.0);
    let dial = Dial {
        slow_ms: Some(60_000),
        banks: [("088".to_owned(), hangs)].into(),
        ..Dial::default()
    };
    world.dial(&bank, dial).await?;
    let codes = world.answer_codes(&[
        ("transfer_timeout_ms: 10000", "transfer_timeout_ms: 1000"),
        ("failures: 20, open_ms: 10000", "failures: 5, open_ms: 3000"),
        (
            "per_second: 10000, burst: 1000",
            "per_second: 200, burst: 20",
        ),
    ])?;
    let codes = codes.display().to_string();
    let args = [
        "consume",
        "firmbanking",
        "--answer-codes",
        &codes,
        "--metrics-listen",
        "127.0.0.1:19464",
    ];
    let firmbanking = world.start("firmbanking", &args)?;
    // Between our own accounts: nobody is asked about them first.
    let (hanging, first) = world.commands("088", &corporate("004"), EACH)?;
    let (well, second) = world.commands("004", &corporate("088"), EACH)?;
    world.send(first).await?;
    eventually("the bank to hang", LONG, async || {
        let states = world.command_states(&hanging).await?;
        Ok((states.get("sending").copied().unwrap_or(0) >= 20).then_some(()))
    })
    .await?;
    world.send(second).await?;
    let began = Instant::now();
    world.await_commands(&well, "done", EACH, LONG).await?;
    let took = began.elapsed();
    // At 200 a second, 300 take a second and a half.
    eprintln!("{EACH} commands to the other bank took {took:?}");
    ensure!(took < Duration::from_secs(6), "it took {took:?}");

    // Past several openings: what went out in the first second, and probes.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let row = sqlx::query(
        "SELECT sum(calls)::bigint, count(*) FILTER (WHERE state = 'pending')
           FROM banking.firmbanking WHERE firmbanking_id = ANY($1)",
    )
    .bind(&hanging)
    .fetch_one(&world.pool)
    .await?;
    let (calls, waiting): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
    eprintln!("{calls} calls to the bank that hangs, {waiting} of {EACH} commands wait");
    ensure!(calls < 260 && waiting > 40, "{calls} calls, {waiting} wait");
    let metrics = reqwest::get("http://127.0.0.1:19464/metrics")
        .await?
        .text()
        .await?;
    for line in [
        "mypay_bank_breaker_state{bank=\"004\"} 0",
        "mypay_bank_calls_total{bank=\"004\",call=\"transfer\",outcome=\"done\"} 300",
    ] {
        ensure!(metrics.contains(line), "no {line:?} in {metrics}");
    }
    ensure!(
        !metrics.contains("mypay_bank_breaker_state{bank=\"088\"} 0"),
        "{metrics}"
    );

    world.dial(&bank, Dial::default()).await?;
    world.await_commands(&hanging, "done", EACH, LONG).await?;
    world.stop(&firmbanking).await?;
    world.audit_is_clean_as_it_is().await
}

/// The last two numbers of a day are given; what comes after them waits for the
/// next business day, and is no failure.
#[tokio::test(flavor = "multi_thread")]
async fn a_day_whose_numbers_are_used_up_goes_on_tomorrow() -> anyhow::Result<()> {
    let world = World::begin().await?;
    let bank = world.banks(&["088"]).await?;
    let to = world.receiver(&bank, "020").await?;
    let last = |number: i32| {
        sqlx::query(
            "INSERT INTO banking.transaction_number VALUES ('088', $1, $2)
             ON CONFLICT (bank_code, business_date) DO UPDATE SET last_number = $2",
        )
        .bind(today())
        .bind(number)
        .execute(&world.pool)
    };
    last(949_998).await?;
    let firmbanking = world.consume("firmbanking")?;
    let (ids, messages) = world.commands("088", &to, 5)?;
    world.send(messages).await?;
    world.await_commands(&ids, "done", 2, LONG).await?;
    eventually("three commands that wait for tomorrow", LONG, async || {
        let row = sqlx::query(
            "SELECT count(*) FROM banking.firmbanking
              WHERE firmbanking_id = ANY($1) AND state = 'pending' AND transaction_number IS NULL
                AND (due_at AT TIME ZONE 'Asia/Seoul') = $2::date + 1",
        )
        .bind(&ids)
        .bind(today())
        .fetch_one(&world.pool)
        .await?;
        Ok((row.try_get::<i64, _>(0)? == 3).then_some(()))
    })
    .await?;
    world
        .await_log(&firmbanking, "numbers of the day run short", LONG)
        .await?;

    // It is tomorrow: numbers are there again.
    last(700_000 + (Uuid::now_v7().as_u128() % 100_000) as i32).await?;
    sqlx::query("UPDATE banking.firmbanking SET due_at = now() WHERE firmbanking_id = ANY($1) AND state = 'pending'")
        .bind(&ids)
        .execute(&world.pool)
        .await?;
    world.await_commands(&ids, "done", 5, LONG).await?;
    world.stop(&firmbanking).await?;
    world.audit_is_clean_as_it_is().await
}
