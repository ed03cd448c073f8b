//! Contracts with banks: no call without one, what was agreed, and what it cost.

use std::time::Duration;

use anyhow::{Context, ensure};
use mypay_auth::Role;
use mypay_bank::dummy::Dial;
use mypay_schemas::Flow;
use mypay_schemas::firmbanking::{PURPOSE_RECHARGE, PURPOSE_REMITTANCE, id_of_command};
use mypay_schemas::remittance::BankReceiver;
use mypay_tests::World;
use mypay_tests::banks::{HOLDER, command, corporate, today};
use mypay_tests::exactly_once::{Asked, Must};
use mypay_tests::requests::{payout, recharge};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::day::LONG;
use crate::over_http::Client;

const BANK: &str = "004";

/// Other terms; gives the contract.
async fn agree(client: &Client, fee: i64, expires_on: &str, status: &str) -> anyhow::Result<Value> {
    let body = json!({
        "bank_name": "국민은행", "corporate_account": corporate(BANK).account_number,
        "fee": fee, "expires_on": expires_on, "status": status,
    });
    let (code, answer, _) = client
        .send("PUT", &format!("/contracts/{BANK}"), None, &body)
        .await?;
    ensure!(code == StatusCode::OK, "{code} {answer}");
    Ok(answer)
}

/// A member with an account at the bank, and money of its own.
async fn member(
    world: &World,
    bank: &mypay_bank::BankClient,
) -> anyhow::Result<(Uuid, BankReceiver)> {
    let member = world.members(1, 500_000).await?[0];
    let account = world.receiver(bank, BANK).await?;
    sqlx::query("INSERT INTO banking.registered_account VALUES ($1, $2, $3, $4, now())")
        .bind(member)
        .bind(&account.bank_code)
        .bind(&account.account_number)
        .bind(HOLDER)
        .execute(&world.pool)
        .await?;
    let receiver = BankReceiver {
        bank_code: account.bank_code,
        account_number: account.account_number,
        holder_name: HOLDER.into(),
    };
    Ok((member, receiver))
}

/// Suspended or lapsed: recharge, remittance to a bank, and a direct command are
/// rejected before anything moves. The only contract is this one.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_contract_in_force_nothing_moves() -> anyhow::Result<()> {
    let world = World::begin().await?;
    let bank = world.banks(&[BANK]).await?;
    let client = Client::new(&world);
    client.accepts().await?;
    let others = world.only_contract(BANK).await?;
    let (member, receiver) = member(&world, &bank).await?;
    let flows = [Flow::Recharge, Flow::Remittance, Flow::Firmbanking];
    let before: Vec<_> = flows
        .iter()
        .map(|flow| world.ends(flow.result_topic()))
        .collect::<Result<_, _>>()?;
    let consumers: Vec<_> = flows
        .iter()
        .map(|flow| world.consume(flow.name()))
        .collect::<Result<_, _>>()?;
    let mut asked = [Asked::default(), Asked::default(), Asked::default()];
    for (expires_on, status) in [("2099-12-31", "SUSPENDED"), ("2020-01-01", "ACTIVE")] {
        let contract = agree(&client, 300, expires_on, status).await?;
        ensure!(contract["in_force"] == false, "{contract}");
        let drawn = recharge(member, 50_000);
        let paid = payout(member, receiver.clone(), 10_000);
        let direct = command(corporate(BANK), world.receiver(&bank, BANK).await?, 1_000);
        for (asked, id) in
            asked
                .iter_mut()
                .zip([&drawn.message_id, &paid.message_id, &direct.message_id])
        {
            asked.add(id, Must::BeRejected("no_contract"));
        }
        world
            .send([
                world.message(Flow::Recharge, &drawn)?,
                world.message(Flow::Remittance, &paid)?,
                world.message(Flow::Firmbanking, &direct)?,
            ])
            .await?;
        for flow in flows {
            world.drained(flow, LONG).await?;
        }
    }
    for ((flow, asked), before) in flows.iter().zip(&asked).zip(&before) {
        let answers = world.results_of(*flow, before, &asked.ids()).await?;
        asked.are_answered_once(&answers)?;
    }
    ensure!(world.balances(&[member]).await?[&member] == 500_000);
    agree(&client, 300, "2099-12-31", "ACTIVE").await?;
    world.contracts_in_force(&others).await?;
    for consumer in &consumers {
        world.stop(consumer).await?;
    }
    world.audit_is_clean_as_it_is().await
}

/// Commands that wait while their bank is away, when the contract ends: none of
/// them is sent any more, and the money is back.
#[tokio::test(flavor = "multi_thread")]
async fn what_waits_when_a_contract_ends_is_not_sent() -> anyhow::Result<()> {
    let world = World::begin().await?;
    let bank = world.banks(&[BANK]).await?;
    let client = Client::new(&world);
    client.accepts().await?;
    let others = world.only_contract(BANK).await?;
    let (member, receiver) = member(&world, &bank).await?;
    let before = world.ends(Flow::Remittance.result_topic())?;
    let remittance = world.consume("remittance")?;
    // Taken in by the firmbanking consumer, held up at the holder inquiry.
    world.kill_bank().await?;
    let firmbanking = world.consume("firmbanking")?;
    let mut asked = Asked::default();
    let (mut requests, mut commands) = (Vec::new(), Vec::new());
    let mut messages = Vec::new();
    for _ in 0..5 {
        let paid = payout(member, receiver.clone(), 10_000);
        asked.add(&paid.message_id, Must::BeRejected("no_contract"));
        let id = Uuid::try_parse(&paid.message_id)?;
        requests.push(id);
        commands.push(id_of_command(PURPOSE_REMITTANCE, id));
        messages.push(world.message(Flow::Remittance, &paid)?);
    }
    world.send(messages).await?;
    world
        .await_commands(&commands, "pending", commands.len(), LONG)
        .await?;
    agree(&client, 300, "2020-01-01", "ACTIVE").await?;
    world.bank().await?;
    world
        .await_commands(&commands, "refused", commands.len(), LONG)
        .await?;
    let story = client
        .get(&format!("/firmbankings/{}", commands[0]))
        .await?;
    ensure!(
        story["reason"] == "no_contract" && story["calls"] == 0,
        "{story}"
    );
    ensure!(story["transaction_number"].is_null(), "{story}");
    // The commands' results come by a relay: that nothing waits is no sign yet.
    world.await_done(Flow::Remittance, &requests, LONG).await?;
    world.drained(Flow::Remittance, LONG).await?;
    let answers = world
        .results_of(Flow::Remittance, &before, &asked.ids())
        .await?;
    asked.are_answered_once(&answers)?;
    ensure!(world.balances(&[member]).await?[&member] == 500_000);
    agree(&client, 300, "2099-12-31", "ACTIVE").await?;
    world.contracts_in_force(&others).await?;
    world.stop(&remittance).await?;
    world.stop(&firmbanking).await?;
    world.audit_is_clean_as_it_is().await
}

/// Three commands under one fee, two under another, a lost answer among them: the
/// bill has each once, with the fee that was agreed when it went out. And each
/// command tells what became of it.
#[tokio::test(flavor = "multi_thread")]
async fn the_bill_has_every_call_with_the_fee_of_its_time() -> anyhow::Result<()> {
    let world = World::begin().await?;
    let bank = world.banks(&[BANK]).await?;
    let client = Client::new(&world);
    client.accepts().await?;
    let (member, receiver) = member(&world, &bank).await?;
    let month = today().format("%Y-%m").to_string();
    let bill = format!("/contracts/{BANK}/bill?month={month}");
    agree(&client, 300, "2099-12-31", "ACTIVE").await?;
    let before = client.get(&bill).await?;
    let versions = client
        .get(&format!("/contracts/{BANK}/versions?limit=500"))
        .await?;
    let versions_before = versions["items"].as_array().map_or(0, Vec::len);
    let remittance = world.consume("remittance")?;
    let recharge_consumer = world.consume("recharge")?;
    let firmbanking = world.consume("firmbanking")?;

    let mut commands = Vec::new();
    for (fee, count) in [(300, 3), (770, 2)] {
        agree(&client, fee, "2099-12-31", "ACTIVE").await?;
        if fee == 770 {
            let mut dial = Dial::default();
            dial.set("lost_answer=1")?;
            world.dial(&bank, dial).await?;
        }
        let mut now = Vec::new();
        for _ in 0..count {
            let paid = payout(member, receiver.clone(), 10_000);
            now.push(id_of_command(
                PURPOSE_REMITTANCE,
                Uuid::try_parse(&paid.message_id)?,
            ));
            world
                .send([world.message(Flow::Remittance, &paid)?])
                .await?;
        }
        world.await_commands(&now, "done", now.len(), LONG).await?;
        commands.extend(now);
    }
    world.dial(&bank, Dial::default()).await?;
    // Refused by the bank: the account has too little.
    let drawn = recharge(member, 1_000_000);
    let refused = id_of_command(PURPOSE_RECHARGE, Uuid::try_parse(&drawn.message_id)?);
    world.send([world.message(Flow::Recharge, &drawn)?]).await?;
    world.await_commands(&[refused], "refused", 1, LONG).await?;

    let after = client.get(&bill).await?;
    let grew = |field: &str| {
        after["total"][field].as_i64().unwrap_or_default()
            - before["total"][field].as_i64().unwrap_or_default()
    };
    ensure!(
        (grew("done"), grew("refused"), grew("open")) == (5, 1, 0),
        "{before} {after}"
    );
    ensure!(grew("commands") == 6 && grew("calls") == 6, "{after}");
    // Two were asked what became of them, and of each payout whose account it is.
    ensure!(grew("inquiries") >= 2, "{after}");
    let asked = |bill: &Value| bill["holder_inquiries"].as_i64().unwrap_or_default();
    ensure!(asked(&after) - asked(&before) == 5, "{before} {after}");
    let charged: i64 = sqlx::query_scalar(
        "SELECT sum(fee)::bigint FROM banking.firmbanking WHERE firmbanking_id = ANY($1)",
    )
    .bind(&commands)
    .fetch_one(&world.pool)
    .await?;
    ensure!(grew("charged") == charged, "{after}");
    ensure!(grew("agreed") == 3 * 300 + 2 * 770, "{before} {after}");
    let under = |bill: &Value, fee: i64| -> i64 {
        let lines = bill["lines"].as_array().into_iter().flatten();
        lines
            .filter(|it| it["agreed_fee"] == fee && it["purpose"] == "remittance")
            .filter_map(|it| it["done"].as_i64())
            .sum()
    };
    ensure!(under(&after, 300) - under(&before, 300) == 3, "{after}");
    ensure!(under(&after, 770) - under(&before, 770) == 2, "{after}");

    let versions = client
        .get(&format!("/contracts/{BANK}/versions?limit=500"))
        .await?;
    let items = versions["items"].as_array().context("versions")?;
    ensure!(
        items.len() == versions_before + 1 && items[0]["fee"] == 770,
        "{versions}"
    );
    ensure!(items[1]["valid_to"] == items[0]["valid_from"], "{versions}");

    // The member's commands, page by page, and the story of one.
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = client
            .get(&format!("/members/{member}/firmbankings?limit=4{cursor}"))
            .await?;
        let items = page["items"].as_array().cloned().unwrap_or_default();
        found.extend(
            items
                .iter()
                .filter_map(|it| Some(it["firmbanking_id"].as_str()?.to_owned())),
        );
        let Some(next) = page["next"].as_str() else {
            break;
        };
        cursor = format!("&cursor={next}");
    }
    let mut expected: Vec<String> = commands
        .iter()
        .chain([&refused])
        .map(Uuid::to_string)
        .collect();
    expected.sort();
    expected.reverse();
    ensure!(found == expected, "{found:?}");
    let story = client
        .get(&format!("/firmbankings/{}", commands[4]))
        .await?;
    let states: Vec<&str> = story["changes"]
        .as_array()
        .context("changes")?
        .iter()
        .filter_map(|it| it["state"].as_str())
        .collect();
    ensure!(
        states.first() == Some(&"pending") && states.last() == Some(&"done"),
        "{story}"
    );
    ensure!(
        states.contains(&"sending") && states.contains(&"unknown"),
        "{story}"
    );
    its_own_changes_are_told_to_a_member(&client, member, commands[4]).await?;

    agree(&client, 300, "2099-12-31", "ACTIVE").await?;
    tokio::time::timeout(
        Duration::from_secs(60),
        world.drained(Flow::Remittance, LONG),
    )
    .await??;
    for consumer in [&remittance, &recharge_consumer, &firmbanking] {
        world.stop(consumer).await?;
    }
    world.audit_is_clean_as_it_is().await
}

/// What became of a command whose answer was lost, in the list of its member: to our own
/// people with what was said, to the member without.
async fn its_own_changes_are_told_to_a_member(
    client: &Client,
    member: Uuid,
    command: Uuid,
) -> anyhow::Result<()> {
    let path = format!("/members/{member}/firmbankings");
    let own = member.to_string();
    for (role, subject) in [(Role::Staff, "kim.minji"), (Role::Member, &*own)] {
        let request = client.request_by(role, subject, Method::GET, &path);
        let page: Value = request.send().await?.error_for_status()?.json().await?;
        let listed = page["items"].as_array().into_iter().flatten();
        let story = listed
            .filter(|it| it["firmbanking_id"] == json!(command))
            .collect::<Vec<_>>();
        let changes = story.first().context("the command")?["changes"].as_array();
        let changes = changes.context("changes")?;
        let states: Vec<_> = changes
            .iter()
            .filter_map(|it| it["state"].as_str())
            .collect();
        ensure!(
            states == ["pending", "sending", "unknown", "done"],
            "{story:?}"
        );
        let told = changes.iter().filter(|it| !it["detail"].is_null()).count();
        let must_be = if role == Role::Staff { states.len() } else { 0 };
        ensure!(told == must_be, "{role}: {story:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn terms_that_cannot_be_are_refused_with_the_field() -> anyhow::Result<()> {
    let world = World::begin().await?;
    world.banks(&[BANK]).await?;
    let client = Client::new(&world);
    client.accepts().await?;
    let good = json!({
        "bank_name": "국민은행", "corporate_account": corporate(BANK).account_number,
        "fee": 300, "expires_on": "2099-12-31",
    });
    for (field, value) in [
        ("expires_on", json!("1999-12-31")),
        ("expires_on", json!("3000-01-01")),
        ("expires_on", json!("+262142-12-31")),
        ("expires_on", json!("2026-02-30")),
        ("fee", json!(-1)),
        ("fee", json!(1_000_001)),
        ("status", json!("GONE")),
        ("corporate_account", json!("no number")),
        ("bank_name", json!("\u{0}")),
    ] {
        let mut body = good.clone();
        body[field] = value.clone();
        let (status, answer, _) = client
            .send("PUT", &format!("/contracts/{BANK}"), None, &body)
            .await?;
        ensure!(
            status == StatusCode::UNPROCESSABLE_ENTITY,
            "{field} {value}: {status} {answer}"
        );
        ensure!(answer["detail"].is_string(), "{answer}");
    }
    for month in ["", "2026", "2026-13", "1999-01", "2026-1", "x"] {
        let path = format!("/contracts/{BANK}/bill?month={month}");
        let (status, answer, _) = client.send("GET", &path, None, &json!({})).await?;
        ensure!(
            status == StatusCode::BAD_REQUEST,
            "{month}: {status} {answer}"
        );
    }
    let (status, _, _) = client
        .send("GET", "/contracts/999/bill?month=2026-11", None, &json!({}))
        .await?;
    ensure!(status == StatusCode::NOT_FOUND, "{status}");
    world.audit_is_clean_as_it_is().await
}
