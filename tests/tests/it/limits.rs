//! Limits on members' money: set once, in force for all consumers at one instant.

use std::time::Duration;

use anyhow::{Context, ensure};
use chrono::{DateTime, TimeDelta, Utc};
use mypay_schemas::Flow;
use mypay_tests::World;
use mypay_tests::requests::{Outgoing, remittance};
use mypay_tests::wait::eventually;
use serde_json::Value;
use uuid::Uuid;

use crate::day::LONG;

/// `mypay limits`; gives its exit code, and what it said.
async fn limits(world: &World, args: &[&str]) -> anyhow::Result<(Option<i32>, String)> {
    let args: Vec<&str> = ["limits"].iter().chain(args).copied().collect();
    let output = world.mypay(&args).await?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complained = String::from_utf8_lossy(&output.stderr).into_owned();
    Ok((output.status.code(), said + &complained))
}

/// Sets limits, and gives from when on they are in force.
async fn set(world: &World, changed: &[&str]) -> anyhow::Result<DateTime<Utc>> {
    let who = ["--by", "kim.minji", "--reason", "a test", "--json"];
    let args: Vec<&str> = ["set"].iter().chain(changed).chain(&who).copied().collect();
    let (code, said) = limits(world, &args).await?;
    ensure!(code == Some(0), "{said}");
    let told: Value = serde_json::from_str(&said).with_context(|| said.clone())?;
    let from = told["in_force_from"].as_str().context("an instant")?;
    Ok(from.parse()?)
}

async fn come(instant: DateTime<Utc>) -> anyhow::Result<()> {
    eventually("the instant", Duration::from_secs(60), async || {
        Ok((Utc::now() > instant).then_some(()))
    })
    .await
}

/// Two processes, all lanes, remittances without a break up to the instant and beyond
/// it: not one is decided by the limits of before once the new ones are in force, and
/// none by the new ones earlier.
#[tokio::test(flavor = "multi_thread")]
async fn limits_are_in_force_for_all_consumers_from_one_instant_on() -> anyhow::Result<()> {
    const A_SECOND: usize = 150;
    let world = World::begin().await?;
    let members = world.members(200, 1_000_000).await?;
    world.start("remittance-1", &["consume", "remittance"])?;
    world.start("remittance-2", &["consume", "remittance"])?;
    let mut ids = Vec::new();
    let mut of_seconds = |seconds: usize| -> anyhow::Result<Vec<Outgoing>> {
        let mut messages = Vec::new();
        for number in 0..seconds * A_SECOND {
            let request = remittance(members[number % 200], members[(number + 1) % 200], 1_001);
            ids.push(Uuid::try_parse(&request.message_id)?);
            messages.push(world.message(Flow::Remittance, &request)?);
        }
        Ok(messages)
    };
    let before = world.gone_through(Flow::Remittance).await?;
    world.send(of_seconds(1)?).await?;
    world
        .await_gone_through(Flow::Remittance, before + 1, LONG)
        .await?;
    let from = set(
        &world,
        &["--remittance-max", "1000", "--fee-to-member", "7"],
    )
    .await?;
    // Until the instant is over for certain.
    let left = (from - Utc::now()).num_seconds() + 3;
    let messages = of_seconds(left.try_into()?)?;
    world.pump(messages, A_SECOND)?.await??;
    world.await_done(Flow::Remittance, &ids, LONG).await?;
    let (early, late, wrong): (i64, i64, i64) = sqlx::query_as(
        "SELECT count(*) FILTER (WHERE processed_timestamp < $2),
                count(*) FILTER (WHERE processed_timestamp >= $2),
                count(*) FILTER (WHERE (processed_status = 'success') <> (processed_timestamp < $2)
                                    OR processed_status = 'failure'
                                       AND reason <> 'remittance_limit_exceeded')
           FROM queue_log WHERE consumer = 'remittance' AND message_id = ANY($1)",
    )
    .bind(&ids)
    .bind(from)
    .fetch_one(&world.pool)
    .await?;
    ensure!(early > 0 && late > 0, "{early} before, {late} after");
    ensure!(wrong == 0, "{wrong} by the limits of another instant");

    come(from).await?;
    let pair = world.members(2, 10_000).await?;
    remit(&world, pair[0], pair[1], 1_000).await?;
    let balances = world.balances(&pair).await?;
    ensure!(
        (balances[&pair[0]], balances[&pair[1]]) == (8_993, 11_000),
        "{balances:?}"
    );
    let set_back = ["--remittance-max", "2000000", "--fee-to-member", "0"];
    come(set(&world, &set_back).await?).await?;
    remit(&world, pair[1], pair[0], 11_000).await?;
    let balances = world.balances(&pair).await?;
    ensure!(
        (balances[&pair[0]], balances[&pair[1]]) == (19_993, 0),
        "{balances:?}"
    );
    world.audit_is_clean().await
}

async fn remit(world: &World, from: Uuid, to: Uuid, won: i64) -> anyhow::Result<()> {
    let request = remittance(from, to, won);
    let id = Uuid::try_parse(&request.message_id)?;
    world
        .send([world.message(Flow::Remittance, &request)?])
        .await?;
    world.await_done(Flow::Remittance, &[id], LONG).await
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_that_cannot_be_are_refused_and_say_why() -> anyhow::Result<()> {
    let world = World::begin().await?;
    let shown = async || {
        let (code, said) = limits(&world, &["show", "--json"]).await?;
        ensure!(code == Some(0), "{said}");
        Ok(serde_json::from_str::<Value>(&said)?)
    };
    let before = shown().await?;
    let last = &before[0];
    ensure!(
        last["balance_cap"] == 2_000_000 && last["fee_to_bank"] == 500,
        "{before}"
    );
    let soon = (Utc::now() + TimeDelta::seconds(5)).to_rfc3339();
    let long_ago = "1970-01-01T00:00:00Z";
    let max = i64::MAX.to_string();
    let who = ["--by", "kim", "--reason", "a test"];
    let cases: [(&[&str], &str); 11] = [
        (&["--balance-cap", "0"], "balance_cap: 0 won"),
        (&["--balance-cap=-1"], "balance_cap: -1 won"),
        (&["--balance-cap", &max], "balance_cap"),
        (&["--balance-cap", "9223372036854775808"], "--balance-cap"),
        (&["--balance-cap", "1.5"], "--balance-cap"),
        (&["--recharge-min", "2000001"], "recharge_min: 2000001 won"),
        (&["--remittance-daily", "1999999"], "remittance_daily"),
        (&["--fee-to-bank", "1000001"], "fee_to_bank"),
        (&["--balance-cap", "2000000"], "nothing is another"),
        (
            &["--balance-cap", "3000000", "--from", &soon],
            "not earlier than",
        ),
        (
            &["--balance-cap", "3000000", "--from", long_ago],
            "not earlier than",
        ),
    ];
    for (changed, why) in cases {
        let args: Vec<&str> = ["set"].iter().chain(changed).chain(&who).copied().collect();
        let (code, said) = limits(&world, &args).await?;
        ensure!(code == Some(2) && said.contains(why), "{changed:?}: {said}");
    }
    for args in [
        &["set", "--by", "kim", "--reason", "nothing"][..],
        &["set", "--balance-cap", "3000000", "--by", "kim"],
        &[
            "set",
            "--balance-cap",
            "3000000",
            "--by",
            " ",
            "--reason",
            "x",
        ],
    ] {
        let (code, said) = limits(&world, args).await?;
        ensure!(code == Some(2), "{args:?}: {said}");
    }
    ensure!(shown().await? == before, "nothing was set");
    world.audit_is_clean().await
}
