//! Cancels of payments, commission, and settlement from run to run.

mod cancels;
pub(crate) mod shop;

use std::time::Duration;

use anyhow::{Context, ensure};
use chrono::Utc;
use mypay_bank::dummy::Dial;
use mypay_schemas::Flow;
use mypay_schemas::reversal::SETTLEMENT_REVERSAL;
use mypay_tests::World;
use mypay_tests::banks::HOLDER as BANK_HOLDER;
use mypay_tests::requests::payment;
use mypay_tests::wait::eventually;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::day::LONG;
use crate::over_http::Client;
use shop::{HOLDER, Shop};

const BANK: &str = "004";

/// Paid, cancelled after that, carried below zero, held back, refused by the bank,
/// and paid in the end, once by an operator and once by the next run.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_run_does_not_pay_the_next_one_or_an_operator_does() -> anyhow::Result<()> {
    let world = World::begin().await?;
    let shop = Shop::open(&world).await?;
    for flow in ["payment", "settlement", "firmbanking"] {
        world.consume(flow)?;
    }
    let holds = format!("/franchises/{}/holds", shop.franchise);
    let why = json!({"reason": "disputed deliveries"});

    let paid = shop.pay(100_000).await?;
    let early = shop.pay(7_777).await?;
    let all = json!({"reason": "changed their mind"});
    shop.done(&format!("/payments/{early}/cancellations"), &all)
        .await?;
    let run = shop.settle().await?;
    shop.part(&run, 97_500, "COMPLETED", Value::Null).await?;
    // Once more up to the same instant: nothing is left to settle.
    let told = shop.client.get(&format!("/settlements/{run}")).await?;
    let same = json!({"cut_at": told["cut_at"], "franchise_id": shop.franchise});
    let again = shop.done("/settlements", &same).await?;
    let again = shop.client.get(&format!("/settlements/{again}")).await?;
    ensure!(
        again["payouts"] == json!([]) && again["slips"] == 0,
        "{again}"
    );

    // Settled already: the next run begins below zero.
    let part = json!({"amount": 40_000, "reason": "one of three came broken"});
    shop.done(&format!("/payments/{paid}/cancellations"), &part)
        .await?;
    let run = shop.settle().await?;
    shop.part(&run, -39_000, "CARRIED", json!("not_positive"))
        .await?;
    shop.pay(90_000).await?;
    shop.post(&holds, &why).await?;
    let run = shop.settle().await?;
    shop.part(&run, 48_750, "CARRIED", json!("on_hold")).await?;
    shop.post(&format!("{holds}/release"), &why).await?;

    // The account is somebody else's: the bank is not even asked to pay.
    shop.held_by("somebody else").await?;
    let retry = format!("/franchises/{}/payouts/retry", shop.franchise);
    let run = shop.done(&retry, &json!({})).await?;
    shop.part(&run, 48_750, "REFUSED", Value::Null).await?;
    shop.held_by(HOLDER).await?;
    let run = shop.done(&retry, &json!({})).await?;
    shop.part(&run, 48_750, "COMPLETED", Value::Null).await?;
    shop.held_by("somebody else").await?;
    shop.pay(10_000).await?;
    let run = shop.settle().await?;
    shop.part(&run, 9_750, "REFUSED", Value::Null).await?;
    shop.held_by(HOLDER).await?;
    shop.pay(1_000).await?;
    let run = shop.settle().await?;
    shop.part(&run, 10_725, "COMPLETED", Value::Null).await?;

    let slips = shop
        .client
        .get(&format!("/franchises/{}/slips?limit=2", shop.franchise))
        .await?;
    ensure!(slips["items"][0]["gross"] == 1_000, "{slips}");
    let next = slips["next"].as_str().context("a next page")?;
    let path = format!("/franchises/{}/slips?cursor={next}", shop.franchise);
    let rest = shop.client.get(&path).await?;
    ensure!(rest["items"].as_array().map(Vec::len) == Some(3), "{rest}");
    ensure!(rest["items"][2]["refundable"] == 60_000, "{rest}");
    let of_member = shop
        .client
        .get(&format!("/members/{}/slips", shop.member))
        .await?;
    ensure!(
        of_member["items"].as_array().map(Vec::len) == Some(5),
        "{of_member}"
    );
    world.audit_is_clean().await
}

/// While payments go on: each slip has the rate of its own instant, which the
/// audit looks at, and runs by the clock settle each of them once.
#[tokio::test(flavor = "multi_thread")]
async fn a_rate_begins_at_its_instant_while_payments_and_runs_go_on() -> anyhow::Result<()> {
    let world = World::begin().await?;
    world.edge().await?;
    let client = Client::new(&world);
    client.accepts().await?;
    let members = world.members(50, 1_000_000).await?;
    let franchise = world.franchise(100).await?;
    let rates = format!("/franchises/{franchise}/commission-rates");
    let rate = async |bps: i32, from: Option<chrono::DateTime<Utc>>| {
        let body = json!({"bps": bps, "in_force_from": from});
        client
            .post(&rates, &Uuid::now_v7().to_string(), &body)
            .await
    };
    world.consume("payment")?;
    // Two schedulers, and one request for each minute all the same.
    let schedule = ["consume", "settlement", "--settle-at", "* * * * *"];
    world.start("settlement-1", &schedule)?;
    world.start("settlement-2", &schedule)?;
    let messages = (0..4_000)
        .map(|number| {
            let request = payment(members[number % 50], franchise, "order", 9_999);
            world.message(Flow::Payment, &request)
        })
        .collect::<anyhow::Result<Vec<_>>>()?;
    let before = world.gone_through(Flow::Payment).await?;
    let pumping = world.pump(messages, 400)?;
    world
        .await_gone_through(Flow::Payment, before + 1, LONG)
        .await?;
    let from = Utc::now() + chrono::TimeDelta::milliseconds(2_500);
    let (status, answer) = rate(300, Some(from)).await?;
    ensure!(status == 201, "{status} {answer}");
    let (status, _) = rate(300, Some(from)).await?;
    ensure!(status == 200, "the same again: {status}");
    let (status, answer) = rate(400, Some(from)).await?;
    ensure!(status == 409, "{status} {answer}");
    let past = Utc::now() - chrono::TimeDelta::seconds(1);
    let (status, answer) = rate(400, Some(past)).await?;
    ensure!(
        status == 422 && answer["reason"] == "rate_in_the_past",
        "{answer}"
    );
    let (status, answer) = rate(200, None).await?;
    ensure!(status == 201, "at once: {status} {answer}");
    let run = world.mypay(&["settle", "--wait", "60"]).await?;
    ensure!(run.status.success(), "{run:?}");
    pumping.await??;
    world.drained(Flow::Payment, LONG).await?;
    let seen: Vec<(i32, i64)> = sqlx::query_as(
        "SELECT commission_bps, count(*) FROM payment.slip WHERE franchise_id = $1
          GROUP BY commission_bps ORDER BY commission_bps",
    )
    .bind(franchise)
    .fetch_all(&world.pool)
    .await?;
    let kinds: Vec<i32> = seen.iter().map(|(bps, _)| *bps).collect();
    ensure!(kinds == [100, 200, 300], "{seen:?}");
    eventually("a run by the clock", Duration::from_secs(30), async || {
        let runs: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM settlement.run WHERE date_trunc('minute', cut_at) = cut_at
                AND made_at > now() - interval '2 minutes'",
        )
        .fetch_one(&world.pool)
        .await?;
        Ok((runs > 0).then_some(()))
    })
    .await?;
    let twice: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM (SELECT cut_at FROM settlement.run
                                WHERE date_trunc('minute', cut_at) = cut_at
                                GROUP BY cut_at HAVING count(*) > 1) AS twice",
    )
    .fetch_one(&world.pool)
    .await?;
    ensure!(twice == 0, "{twice} minutes have two runs");
    world.audit_is_clean().await
}

/// A payout that was done comes back a day later, and one whose contract has lapsed
/// before the bank was asked is refused: what is owed is paid by the next run.
#[tokio::test(flavor = "multi_thread")]
async fn a_payout_that_comes_back_or_has_no_contract_is_owed_again() -> anyhow::Result<()> {
    let world = World::begin().await?;
    let shop = Shop::open(&world).await?;
    let bank = world.banks(&[BANK]).await?;
    // Paid from one bank to another, else no bank undoes it.
    let others = world.only_contract(BANK).await?;
    let account = world.receiver(&bank, "020").await?;
    let franchise = Uuid::try_parse(&shop.franchise)?;
    world.register(franchise, &account, BANK_HOLDER).await?;
    for flow in ["payment", "settlement"] {
        world.consume(flow)?;
    }
    let firmbanking = world.consume("firmbanking")?;
    let mut dial = Dial {
        reversal_ms: 500,
        ..Dial::default()
    };
    dial.set("late_reversal=1")?;
    world.dial(&bank, dial).await?;
    let before = world.ends(SETTLEMENT_REVERSAL)?;
    shop.pay(100_000).await?;
    let run = shop.settle().await?;
    eventually("the payout to come back", LONG, async || {
        world.all_live()?;
        let told = world.read_from(SETTLEMENT_REVERSAL, &before)?;
        Ok((!told.is_empty()).then_some(()))
    })
    .await?;
    shop.part(&run, 97_500, "COMPLETED", Value::Null).await?;
    let listed = latest_payout(&shop).await?;
    ensure!(
        listed["state"] == "COMPLETED" && listed["reason"].is_null(),
        "{listed}"
    );
    ensure!(
        listed["reversed_at"].is_string() && listed["firmbanking_id"].is_string(),
        "{listed}"
    );
    ensure!(world.at_banks(std::slice::from_ref(&account)).await? == 0);

    // No contract when the command arrives: it is refused before anything moves.
    world.dial(&bank, Dial::default()).await?;
    world.stop(&firmbanking).await?;
    shop.pay(10_000).await?;
    let run = shop.settle().await?;
    world.suspend(BANK).await?;
    world.consume("firmbanking")?;
    shop.part(&run, 107_250, "REFUSED", Value::Null).await?;
    let reason: Option<String> = sqlx::query_scalar(
        "SELECT q.reason FROM settlement.payout p JOIN queue_log q ON q.message_id = p.firmbanking_id
          WHERE p.run_id = $1::uuid",
    )
    .bind(&run)
    .fetch_one(&world.pool)
    .await?;
    ensure!(reason.as_deref() == Some("no_contract"), "{reason:?}");
    let listed = latest_payout(&shop).await?;
    ensure!(
        listed["state"] == "REFUSED" && listed["reason"] == "no_contract",
        "{listed}"
    );
    ensure!(
        listed["reversed_at"].is_null() && listed["firmbanking_id"].is_string(),
        "{listed}"
    );
    // None when the run is made: it is carried.
    let run = shop.settle().await?;
    shop.part(&run, 107_250, "CARRIED", json!("no_account"))
        .await?;
    world.contracts_in_force(&[BANK.to_owned()]).await?;
    let run = shop.settle().await?;
    shop.part(&run, 107_250, "COMPLETED", Value::Null).await?;
    ensure!(world.at_banks(&[account]).await? == 107_250);
    let told = world.read_from(SETTLEMENT_REVERSAL, &before)?;
    ensure!(told.len() == 1, "{} reversals", told.len());
    world.contracts_in_force(&others).await?;
    world.audit_is_clean().await
}

/// The shop's latest payout, as it is listed.
async fn latest_payout(shop: &Shop<'_>) -> anyhow::Result<Value> {
    let path = format!("/franchises/{}/payouts?limit=1", shop.franchise);
    Ok(shop.client.get(&path).await?["items"][0].clone())
}
