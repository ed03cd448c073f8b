//! Who may see and move what over HTTP, and what is noted of those who may not.

use std::process::Stdio;

use anyhow::{Context, ensure};
use mypay_auth::Role::{Auditor, Franchise, Member, Operator, Staff};
use mypay_auth::{Identity, Minter, Role, Sources};
use mypay_schemas::Flow;
use mypay_tests::World;
use mypay_tests::edge::Client;
use mypay_tests::requests::remittance;
use mypay_tests::world::binary;
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::day::LONG;

/// The status and the body of what somebody is answered.
async fn get(
    client: &Client,
    role: Role,
    subject: impl ToString,
    path: &str,
) -> anyhow::Result<(u16, Value)> {
    let request = client.request_by(role, &subject.to_string(), Method::GET, path);
    let answer = request.send().await?;
    Ok((answer.status().as_u16(), answer.json().await?))
}

async fn post(
    client: &Client,
    role: Role,
    subject: impl ToString,
    path: &str,
    body: &Value,
) -> anyhow::Result<(u16, Value)> {
    let answer = client
        .request_by(role, &subject.to_string(), Method::POST, path)
        .header("Idempotency-Key", Uuid::now_v7().to_string())
        .json(body)
        .send()
        .await?;
    Ok((answer.status().as_u16(), answer.json().await?))
}

fn is(answer: &(u16, Value), status: u16, reason: &str) -> anyhow::Result<()> {
    ensure!(
        answer.0 == status && answer.1["reason"] == reason,
        "{status} {reason} was due: {answer:?}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_sees_and_moves_its_own_money_only() -> anyhow::Result<()> {
    let world = World::begin().await?;
    let members = world.members(2, 100_000).await?;
    let [own, other] = [members[0], members[1]];
    world.edge().await?;
    let consumer = world.consume("remittance")?;
    let client = Client::new(&world);
    client.accepts().await?;

    let to_other = json!({"receiver": {"member_id": other}, "sender_id": own, "amount": 700});
    let from_other = json!({"receiver": {"member_id": own}, "sender_id": other, "amount": 700});
    let stolen = post(&client, Member, own, "/remittances", &from_other).await?;
    is(&stolen, 403, "not_yours")?;
    for flow in ["/recharges", "/payments"] {
        let mut body = json!({"member_id": other, "amount": 10_000});
        if flow == "/payments" {
            body["franchise_id"] = json!(own);
            body["order_ref"] = json!("order");
        }
        is(
            &post(&client, Member, own, flow, &body).await?,
            403,
            "not_yours",
        )?;
    }
    // Nobody does it in a member's name, either.
    for role in [Staff, Operator, Auditor] {
        let answer = post(&client, role, "kim", "/remittances", &to_other).await?;
        is(&answer, 403, "wrong_role")?;
    }
    let (status, accepted) = post(&client, Member, own, "/remittances", &to_other).await?;
    ensure!(status == 202, "{status} {accepted}");
    let id = accepted["message_id"].as_str().context("an id")?.to_owned();
    client.done(&id).await?;

    let request = format!("/requests/{id}");
    ensure!(get(&client, Member, own, &request).await?.0 == 200);
    ensure!(get(&client, Staff, "kim", &request).await?.0 == 200);
    let foreign = get(&client, Member, other, &request).await?;
    let missing = get(
        &client,
        Member,
        other,
        &format!("/requests/{}", Uuid::now_v7()),
    )
    .await?;
    is(&foreign, 404, "unknown_request")?;
    ensure!(
        foreign == missing,
        "what is another's looks like what is not there"
    );
    // What came by a topic was made by nobody that the edge knows.
    let by_topic = remittance(own, other, 100);
    world
        .send([world.message(Flow::Remittance, &by_topic)?])
        .await?;
    world.drained(Flow::Remittance, LONG).await?;
    let by_topic = format!("/requests/{}", by_topic.message_id);
    is(
        &get(&client, Member, own, &by_topic).await?,
        404,
        "unknown_request",
    )?;
    ensure!(get(&client, Auditor, "lee", &by_topic).await?.0 == 200);

    for what in ["", "/money", "/history", "/slips", "/bank-account"] {
        let nobody_s = format!("/members/{}{what}", Uuid::now_v7());
        let foreign = get(&client, Member, own, &format!("/members/{other}{what}")).await?;
        is(&foreign, 403, "not_yours")?;
        ensure!(foreign == get(&client, Member, own, &nobody_s).await?);
    }
    let (status, money) = get(&client, Member, own, &format!("/members/{own}/money")).await?;
    ensure!(
        status == 200 && money["balance"] == 100_000 - 800,
        "{money}"
    );
    let balances = world.balances(&members).await?;
    ensure!(balances[&other] == 100_800, "{balances:?}");
    world.stop(&consumer).await?;
    world.audit_is_clean().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_is_the_business_of_its_two_parties() -> anyhow::Result<()> {
    let world = World::begin().await?;
    let members = world.members(2, 100_000).await?;
    let (shop, rival) = (world.franchise(250).await?, world.franchise(250).await?);
    world.edge().await?;
    let consumer = world.consume("payment")?;
    let client = Client::new(&world);
    client.accepts().await?;
    let body = json!({
        "member_id": members[0], "franchise_id": shop, "order_ref": "order-1", "amount": 10_000,
    });
    let (_, accepted) = post(&client, Member, members[0], "/payments", &body).await?;
    let id = accepted["message_id"].as_str().context("an id")?.to_owned();
    client.done(&id).await?;

    let payment = format!("/payments/{id}");
    let (status, slip) = get(&client, Member, members[0], &payment).await?;
    let secret = slip.get("commission").is_none() && slip.get("commission_bps").is_none();
    ensure!(status == 200 && slip["gross"] == 10_000 && secret, "{slip}");
    let (status, slip) = get(&client, Franchise, shop, &payment).await?;
    ensure!(status == 200 && slip["commission"] == 250, "{slip}");
    let missing = get(
        &client,
        Franchise,
        rival,
        &format!("/payments/{}", Uuid::now_v7()),
    )
    .await?;
    is(&missing, 404, "unknown_payment")?;
    for (role, stranger) in [(Franchise, rival), (Member, members[1]), (Member, shop)] {
        ensure!(get(&client, role, stranger, &payment).await? == missing);
    }
    let cancellations = format!("{payment}/cancellations");
    let all = json!({"reason": "changed their mind"});
    let foreign = post(&client, Franchise, rival, &cancellations, &all).await?;
    is(&foreign, 404, "unknown_payment")?;
    let payer = post(&client, Member, members[0], &cancellations, &all).await?;
    is(&payer, 403, "wrong_role")?;
    let (status, accepted) = post(&client, Franchise, shop, &cancellations, &all).await?;
    ensure!(status == 202, "{status} {accepted}");
    let cancel = accepted["message_id"].as_str().context("an id")?;
    client.done(cancel).await?;
    let request = format!("/requests/{cancel}");
    ensure!(get(&client, Franchise, shop, &request).await?.0 == 200);
    is(
        &get(&client, Franchise, rival, &request).await?,
        404,
        "unknown_request",
    )?;

    for what in ["slips", "payouts", "commission-rates"] {
        let path = format!("/franchises/{shop}/{what}");
        ensure!(get(&client, Franchise, shop, &path).await?.0 == 200);
        is(
            &get(&client, Franchise, rival, &path).await?,
            403,
            "not_yours",
        )?;
    }
    let statement = format!(
        "/settlements/{}/franchises/{shop}/statement",
        Uuid::now_v7()
    );
    is(
        &get(&client, Franchise, shop, &statement).await?,
        404,
        "unknown_statement",
    )?;
    is(
        &get(&client, Franchise, rival, &statement).await?,
        403,
        "not_yours",
    )?;
    let rate = json!({"bps": 0});
    let rates = format!("/franchises/{shop}/commission-rates");
    is(
        &post(&client, Franchise, shop, &rates, &rate).await?,
        403,
        "wrong_role",
    )?;
    let (status, set) = post(&client, Staff, "kim.minji", &rates, &json!({"bps": 300})).await?;
    ensure!(status == 201 && set["set_by"] == "kim.minji", "{set}");
    world.stop(&consumer).await?;
    world.audit_is_clean().await
}

/// Refused access is in the log, with who and why, and is counted; the token is not
/// in the log.
#[tokio::test(flavor = "multi_thread")]
async fn who_was_refused_is_noted_and_the_token_is_not() -> anyhow::Result<()> {
    let world = World::begin().await?;
    let edge = world.edge_anew().await?;
    let client = Client::new(&world);
    client.accepts().await?;
    let (own, other) = (Uuid::now_v7(), Uuid::now_v7());
    let money = format!("/members/{other}/money");

    let bare = client
        .http
        .get(format!("{}{money}", client.base))
        .send()
        .await?;
    let challenge = bare.headers()["www-authenticate"].to_str()?.to_owned();
    ensure!(challenge == r#"Bearer realm="my-pay""#, "{challenge}");
    is(
        &(bare.status().as_u16(), bare.json().await?),
        401,
        "missing_token",
    )?;
    let stranger = Sources {
        secret: Some("another secret of more than 32 bytes".to_owned()),
        ..Sources::default()
    };
    let staff = Identity::new(Staff, "kim")?;
    let hour = std::time::Duration::from_secs(3_600);
    let forged = Minter::new(&stranger.key()?)?.mint(&staff, hour)?;
    let answer = client.http.get(format!("{}{money}", client.base));
    let answer = answer.bearer_auth(&forged).send().await?;
    let challenge = answer.headers()["www-authenticate"].to_str()?.to_owned();
    ensure!(
        challenge.contains(r#"error="invalid_token""#),
        "{challenge}"
    );
    is(
        &(answer.status().as_u16(), answer.json().await?),
        401,
        "invalid_token",
    )?;
    is(&get(&client, Member, own, &money).await?, 403, "not_yours")?;

    world.await_log(&edge, "access refused", LONG).await?;
    let log = world.log(&edge)?;
    let noted = log
        .lines()
        .find(|line| line.contains("access refused") && line.contains(&own.to_string()))
        .with_context(|| log.clone())?;
    for what in ["GET", &money, "member", "not_yours"] {
        ensure!(noted.contains(what), "{what} is not in {noted}");
    }
    ensure!(
        !log.contains(&forged) && !log.contains("eyJ"),
        "a token is in the log"
    );
    let metrics = client.http.get(format!("{}/metrics", client.base));
    let metrics = metrics.send().await?.text().await?;
    for (role, why) in [
        ("-", "missing_token"),
        ("-", "invalid_token"),
        ("member", "not_yours"),
    ] {
        let counted =
            format!(r#"mypay_edge_access_refused_total{{role="{role}",reason="{why}"}} 1"#);
        ensure!(metrics.contains(&counted), "{counted} is not in\n{metrics}");
    }
    // What `mypay token` makes is taken.
    let args = [
        "token",
        "--role",
        "auditor",
        "--subject",
        "lee",
        "--expires",
        "5m",
    ];
    let minted = world.mypay(&args).await?;
    let token = String::from_utf8(minted.stdout)?;
    let listed = client.http.get(format!("{}/settlements", client.base));
    let listed = listed.bearer_auth(token.trim()).send().await?;
    ensure!(listed.status() == 200, "{}", listed.status());
    world.audit_is_clean().await
}

#[tokio::test]
async fn without_a_key_the_edge_does_not_start_and_says_what_to_set() -> anyhow::Result<()> {
    let home = std::env::temp_dir().join(format!("mypay-keyless-{}", std::process::id()));
    let known = "dev-only-secret-that-everybody-knows-0000";
    for (listen, secret, says) in [
        ("127.0.0.1:0", "", "MYPAY_JWT_SECRET_FILE"),
        ("127.0.0.1:0", "short", "at least 32"),
        ("0.0.0.0:0", known, "MYPAY_JWT_SECRET_FILE"),
    ] {
        let output = tokio::process::Command::new(binary()?)
            .args(["serve", "--listen", listen])
            .env_remove("MYPAY_API_DEVELOPMENT_KEY")
            .env("MYPAY_HOME", &home)
            .env("MYPAY_JWT_SECRET", secret)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let output = tokio::time::timeout(LONG, output).await??;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(
            output.status.code() == Some(2) && said.contains(says),
            "{said}"
        );
    }
    Ok(())
}
