//! The cancels of a payment, page by page.

use anyhow::{Context, ensure};
use mypay_auth::Role;
use mypay_schemas::Flow;
use mypay_tests::World;
use mypay_tests::requests::{cancel, payment};
use reqwest::Method;
use serde_json::Value;
use uuid::Uuid;

use crate::day::LONG;
use crate::over_http::Client;

const CANCELS: usize = 34;

async fn get(client: &Client, role: Role, who: Uuid, path: &str) -> anyhow::Result<Value> {
    let request = client.request_by(role, &who.to_string(), Method::GET, path);
    Ok(request.send().await?.error_for_status()?.json().await?)
}

fn items(page: &Value) -> anyhow::Result<&Vec<Value>> {
    page["items"].as_array().context("a page")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_s_cancels_come_in_pages_and_in_their_order() -> anyhow::Result<()> {
    let world = World::begin().await?;
    let payer = world.members(1, 100_000).await?[0];
    let franchise = world.franchise(250).await?;
    world.edge().await?;
    let client = Client::new(&world);
    client.accepts().await?;
    let consumer = world.consume("payment")?;
    let paid = payment(payer, franchise, "order-1", 40_000);
    let mut messages = vec![world.message(Flow::Payment, &paid)?];
    for _ in 0..CANCELS {
        messages.push(world.message(Flow::Payment, &cancel(&paid, 1_000))?);
    }
    world.send(messages).await?;
    world.drained(Flow::Payment, LONG).await?;

    // The slip shows the first of them, and where the others begin.
    let path = format!("/payments/{}", paid.message_id);
    let slip = get(&client, Role::Franchise, franchise, &path).await?;
    ensure!(slip["refundable"] == 6_000, "{slip}");
    let shown = slip["cancels"].as_array().context("cancels")?;
    ensure!(shown.len() == 10, "{slip}");
    let next = slip["next_cancels"].as_str().context("more")?;
    let list = format!("{path}/cancellations");
    let rest = format!("{list}?limit=500&cursor={next}");
    let rest = get(&client, Role::Franchise, franchise, &rest).await?;
    ensure!(items(&rest)?.len() == CANCELS - 10, "{rest}");
    ensure!(items(&rest)?[0]["seq"] == 11, "{rest}");

    let mut seen = Vec::new();
    let mut sizes = Vec::new();
    let mut page = format!("{list}?limit=10");
    loop {
        let told = get(&client, Role::Franchise, franchise, &page).await?;
        sizes.push(items(&told)?.len());
        seen.extend(items(&told)?.clone());
        let Some(next) = told["next"].as_str() else {
            break;
        };
        page = format!("{list}?limit=10&cursor={next}");
    }
    ensure!(sizes == [10, 10, 10, 4], "{sizes:?}");
    ensure!(seen[..10] == shown[..], "the slip shows the first page");
    let places: Vec<i64> = seen.iter().filter_map(|it| it["seq"].as_i64()).collect();
    let all: Vec<i64> = (1..=CANCELS as i64).collect();
    ensure!(places == all, "{places:?}");
    ensure!(
        seen.iter().all(|it| it["commission_back"] == 25),
        "{seen:?}"
    );

    // The payer sees the same, without what the franchise pays us.
    let told = get(&client, Role::Member, payer, &format!("{list}?limit=10")).await?;
    ensure!(items(&told)?.len() == 10, "{told}");
    ensure!(!told.to_string().contains("commission"), "{told}");
    for path in [path, format!("/members/{payer}/slips")] {
        let told = get(&client, Role::Member, payer, &path).await?;
        ensure!(told.to_string().contains(&paid.message_id), "{told}");
        ensure!(!told.to_string().contains("commission"), "{told}");
    }
    let stranger = world.franchise(250).await?;
    let foreign = client.request_by(Role::Franchise, &stranger.to_string(), Method::GET, &list);
    let foreign = foreign.send().await?;
    ensure!(foreign.status() == 404, "{}", foreign.status());
    let bad = client.get(&format!("{list}?cursor=x")).await?;
    ensure!(bad["code"] == "invalid_cursor", "{bad}");
    world.stop(&consumer).await?;
    world.audit_is_clean().await
}
