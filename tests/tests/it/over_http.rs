//! The whole way over HTTP: a business day with a bank that loses answers, and
//! what the edge says to good, repeated, conflicting and bad requests.

use std::time::Duration;

use anyhow::{Context, ensure};
use mypay_schemas::firmbanking::{FirmbankingResult, id_of_command};
use mypay_schemas::identity::derive;
use mypay_schemas::{Flow, ResultStatus};
use mypay_stack::Signal;
use mypay_tests::World;
pub(crate) use mypay_tests::edge::Client;
use mypay_tests::requests::Outgoing;
use mypay_tests::wait::eventually;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::day::LONG;

fn key() -> String {
    Uuid::now_v7().to_string()
}

/// All flows, at a bank of which a tenth of the answers are lost: `mypay day`
/// fails unless every request has its one result and the audit is clean.
#[tokio::test(flavor = "multi_thread")]
async fn a_business_day_ends_with_a_clean_audit() -> anyhow::Result<()> {
    let world = World::begin().await?;
    let args = [
        "day",
        "--count",
        "1500",
        "--members",
        "120",
        "--franchises",
        "8",
        "--lost-answers",
        "0.1",
        "--json",
    ];
    let output = world.mypay(&args).await?;
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(
        output.status.success(),
        "{told}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let day: Value = serde_json::from_str(&told).context(told)?;
    let flow = |name: &str| {
        day["flows"]
            .as_array()
            .into_iter()
            .flatten()
            .find(|flow| flow["flow"] == name)
            .cloned()
    };
    let recharge = flow("recharge").context("recharges")?;
    ensure!(recharge["completed"].as_u64() > Some(400), "{recharge}");
    ensure!(recharge["dead_letters"].as_u64() >= Some(1), "{recharge}");
    let settlement = flow("settlement").context("settlements")?;
    ensure!(settlement["completed"] == 3, "{settlement}");
    // The day's corners: cancels, a bank at rest, a net below zero, one on hold.
    let also = &day["also"];
    ensure!(also["cancels"].as_i64() > Some(10), "{also}");
    ensure!(also["rested"].as_i64() > Some(0), "{also}");
    ensure!(also["not_positive"].as_i64() >= Some(1), "{also}");
    // Other tests on these servers leave holds, too.
    ensure!(also["on_hold"].as_i64() >= Some(1), "{also}");
    world.audit_is_clean().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_answers_with_what_is_known_and_other_content_is_refused() -> anyhow::Result<()>
{
    let world = World::begin().await?;
    let members = world.members(2, 100_000).await?;
    world.edge().await?;
    let consumer = world.consume("remittance")?;
    let client = Client::new(&world);
    client.accepts().await?;
    let body = json!({ "sender_id": members[0], "receiver": { "member_id": members[1] }, "amount": 1_000 });
    let id = key();
    let (status, answer) = client.post("/remittances", &id, &body).await?;
    ensure!(status == StatusCode::ACCEPTED, "{status} {answer}");
    let done = client.done(&id).await?;
    ensure!(done["processed_status"] == "success", "{done}");
    let (status, answer) = client.post("/remittances", &id, &body).await?;
    ensure!(
        status == StatusCode::OK && answer["status"] == "COMPLETED",
        "{status} {answer}"
    );
    let other = json!({ "sender_id": members[0], "receiver": { "member_id": members[1] }, "amount": 1_001 });
    let (status, answer) = client.post("/remittances", &id, &other).await?;
    ensure!(status == StatusCode::CONFLICT, "{status} {answer}");
    let money = client
        .get(&format!("/members/{}/money", members[1]))
        .await?;
    ensure!(money["balance"] == 101_000, "{money}");
    let history = client
        .get(&format!("/members/{}/history", members[0]))
        .await?;
    ensure!(
        history["items"].as_array().map_or(0, Vec::len) >= 1,
        "{history}"
    );
    world.stop(&consumer).await?;
    world.audit_is_clean().await
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_requests_get_a_clear_answer() -> anyhow::Result<()> {
    let world = World::begin().await?;
    world.edge().await?;
    let client = Client::new(&world);
    client.accepts().await?;
    let member = Uuid::now_v7();
    let good = json!({ "member_id": member, "amount": 10_000 });
    let cases: [(&str, String, Value, u16); 8] = [
        ("/recharges", "not-a-uuid".into(), good.clone(), 400),
        (
            "/recharges",
            "4cbb2d2c-1c12-4b3e-9d3a-3f4f5f6f7f8f".into(),
            good.clone(),
            400,
        ),
        (
            "/recharges",
            "01000000-0000-7000-8000-000000000001".into(),
            good.clone(),
            400,
        ),
        (
            "/recharges",
            key(),
            json!({ "member_id": member, "amount": 0 }),
            422,
        ),
        (
            "/recharges",
            key(),
            json!({ "member_id": member, "amount": -5 }),
            422,
        ),
        (
            "/recharges",
            key(),
            json!({ "member_id": member, "amount": i64::MAX }),
            422,
        ),
        (
            "/recharges",
            key(),
            json!({ "member_id": "nobody", "amount": 10_000 }),
            422,
        ),
        (
            "/recharges",
            key(),
            json!({ "member_id": member, "amount": 10_000, "extra": 1 }),
            422,
        ),
    ];
    for (path, key, body, expected) in cases {
        let (status, answer) = client.post(path, &key, &body).await?;
        ensure!(
            status.as_u16() == expected,
            "{key} {body}: {status} {answer}"
        );
        ensure!(
            answer["reason"].is_string() && answer["detail"].is_string(),
            "{answer}"
        );
    }
    let malformed = client
        .request(Method::POST, "/recharges", &good)
        .header("Idempotency-Key", key())
        .header("Content-Type", "application/json")
        .body("{ not json")
        .send()
        .await?;
    ensure!(
        malformed.status() == StatusCode::BAD_REQUEST,
        "{}",
        malformed.status()
    );
    // The edge answers and closes without reading it all, so the answer may be
    // lost with the connection, as TCP has it; then it is asked again.
    let oversized = eventually("an answer to a body that is too large", LONG, async || {
        let sent = client
            .request(Method::POST, "/recharges", &good)
            .header("Idempotency-Key", key())
            .header("Content-Type", "application/json")
            .body(" ".repeat(80 * 1024))
            .send()
            .await;
        Ok(sent.ok().map(|answer| answer.status()))
    })
    .await?;
    ensure!(oversized == StatusCode::PAYLOAD_TOO_LARGE, "{oversized}");
    world.audit_is_clean().await
}

#[tokio::test(flavor = "multi_thread")]
async fn with_kafka_down_requests_are_durably_accepted_and_health_says_so() -> anyhow::Result<()> {
    let world = World::begin().await?;
    let members = world.members(2, 100_000).await?;
    world.edge().await?;
    let client = Client::new(&world);
    client.accepts().await?;
    for broker in ["kafka-1", "kafka-2", "kafka-3"] {
        world.signal(broker, Signal::SIGKILL)?;
    }
    let body =
        json!({ "sender_id": members[0], "receiver": { "member_id": members[1] }, "amount": 700 });
    let id = key();
    let (status, answer) = client.post("/remittances", &id, &body).await?;
    ensure!(status == StatusCode::ACCEPTED, "{status} {answer}");
    eventually("a health that names Kafka", LONG, async || {
        let health = client.get("/health").await?;
        Ok((health["accepting"] == true && health["status"] == "degraded").then_some(()))
    })
    .await?;
    world.up().await?;
    let consumer = world.consume("remittance")?;
    let done = client.done(&id).await?;
    ensure!(done["processed_status"] == "success", "{done}");
    world.stop(&consumer).await?;
    world.audit_is_clean().await
}

/// Somebody who can write to the topic says that a bank has moved money. No
/// bank has: nothing is credited, and the genuine answer still counts.
#[tokio::test(flavor = "multi_thread")]
async fn a_forged_answer_of_a_bank_moves_nothing() -> anyhow::Result<()> {
    let world = World::begin().await?;
    let member = world.members(1, 50_000).await?[0];
    // A recharge that waits for its bank, as the consumer would have left it.
    let recharge = Uuid::now_v7();
    let command = id_of_command("recharge", recharge);
    sqlx::query(
        "WITH reserved AS (UPDATE money.account SET pending = 1000000 WHERE account_id = $2)
         INSERT INTO recharge.recharge (recharge_id, member_id, amount, from_bank, from_account,
                firmbanking_id, correlation_id, state, requested_at, changed_at)
         VALUES ($1, $2, 1000000, '004', '1100000001', $3, $1::text, 'AWAITS_BANK', now(), now())",
    )
    .bind(recharge)
    .bind(member)
    .bind(command)
    .execute(&world.pool)
    .await?;
    let forged = FirmbankingResult {
        message_id: derive(command, "result").to_string(),
        request_id: command.to_string(),
        correlation_id: recharge.to_string(),
        status: ResultStatus::Completed,
        reason: None,
        occurred_at: 0,
        purpose: "recharge".into(),
        origin_id: Some(recharge.to_string()),
        amount: 1_000_000,
        bank_code: "004".into(),
        business_date: None,
        transaction_number: None,
        fee: 0,
        causation_id: None,
    };
    let topic = Flow::Firmbanking.result_topic();
    let value = world.encoders.encode(topic, &forged)?;
    let sent = Outgoing {
        topic,
        key: Some(recharge.to_string().into_bytes()),
        payload: Some(value),
        ..Outgoing::default()
    };
    world.send(vec![sent]).await?;
    let consumer = world.consume("recharge")?;
    eventually("the forged answer to be read", LONG, async || {
        let read: Option<(i64,)> = sqlx::query_as(
            "SELECT max(next_offset) FROM lane WHERE consumer = 'recharge' AND topic = $1",
        )
        .bind(topic)
        .fetch_optional(&world.pool)
        .await
        .ok()
        .flatten();
        Ok(read.filter(|(next_offset,)| *next_offset > 0))
    })
    .await?;
    let balances = world.balances(&[member]).await?;
    ensure!(balances.get(&member) == Some(&50_000), "{balances:?}");
    let statuses = world
        .statuses("recharge", &[derive(command, "result")])
        .await?;
    ensure!(
        statuses.is_empty(),
        "a forged answer was claimed: {statuses:?}"
    );
    world.stop(&consumer).await
}

/// Replayed after an outage: what was done stays done, what was never handled is.
#[tokio::test(flavor = "multi_thread")]
async fn a_replay_does_nothing_twice() -> anyhow::Result<()> {
    let world = World::begin().await?;
    let mut day = crate::day::Day::begin(&world, 50).await?;
    let messages = day.requests(&world, 500)?;
    world.send(messages).await?;
    let consumer = world.consume("remittance")?;
    world.drained(Flow::Remittance, LONG).await?;
    let topic = Flow::Remittance.request_topic();
    let replay = ["replay", "--topic", topic, "--from=-1h", "--json"];
    let dry = world.mypay(&[&replay[..], &["--dry-run"]].concat()).await?;
    ensure!(
        dry.status.success(),
        "{}",
        String::from_utf8_lossy(&dry.stderr)
    );
    let replayed = world.mypay(&replay).await?;
    ensure!(
        replayed.status.success(),
        "{}",
        String::from_utf8_lossy(&replayed.stderr)
    );
    tokio::time::sleep(Duration::from_millis(200)).await;
    world.drained(Flow::Remittance, LONG).await?;
    world.stop(&consumer).await?;
    day.is_settled(&world).await
}
