//! Cancels of payments that are not made yet.

use anyhow::ensure;
use mypay_auth::Role;
use mypay_bank::dummy::Dial;
use mypay_schemas::Flow;
use mypay_tests::World;
use mypay_tests::requests::{cancel, payment};
use mypay_tests::wait::eventually;
use reqwest::Method;
use uuid::Uuid;

use super::{AT_BANK, BANK, Setting, completed, id, ids, pay, rejected};
use crate::day::LONG;
use crate::over_http::Client;

/// While it waits for its top-up, and while the edge has taken it and no consumer has
/// seen it: told apart from a payment that nobody knows. Once it is made, a new cancel
/// takes it back.
#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_of_a_payment_in_progress_is_told_so() -> anyhow::Result<()> {
    let world = World::begin().await?;
    let setting = Setting::begin(&world).await?;
    let mut dial = Dial {
        in_progress_ms: 12_000,
        ..Dial::default()
    };
    dial.set("in_progress=1").map_err(anyhow::Error::msg)?;
    world.dial(&setting.bank, dial).await?;
    let franchise = world.franchise(250).await?;
    let member = world.members(1, 0).await?;
    world
        .open_accounts(&setting.bank, BANK, &member, AT_BANK)
        .await?;
    let paid = payment(member[0], franchise, "order-1", 40_000);
    // In the same batch as its payment, maybe: of the same key, so behind it.
    let at_once = cancel(&paid, 1_000);
    pay(&world, &[paid.clone(), at_once.clone()]).await?;
    let payment_id = id(&paid.message_id)?;
    eventually("a payment that waits for its top-up", LONG, async || {
        world.all_live()?;
        let waits = world.statuses("payment", &[payment_id]).await?;
        Ok((waits.get("processing") == Some(&1)).then_some(()))
    })
    .await?;
    let meanwhile = cancel(&paid, 0);
    // As the edge takes it.
    let taken = payment(member[0], franchise, "order-2", 1);
    sqlx::query(
        "INSERT INTO queue_log (consumer, message_id, status, created_timestamp, content_hash)
         VALUES ('payment', $1, 'waiting', now(), decode(repeat('00', 16), 'hex'))",
    )
    .bind(id(&taken.message_id)?)
    .execute(&world.pool)
    .await?;
    let of_taken = cancel(&taken, 0);
    let of_none = cancel(&payment(member[0], franchise, "order-3", 1), 0);
    the_edge_says_so(&world, franchise, [&paid, &taken].map(|it| &*it.message_id)).await?;
    let cancels = [meanwhile, of_taken, of_none];
    pay(&world, &cancels).await?;
    let mut asked = ids(cancels.iter().map(|it| &it.message_id))?;
    asked.push(id(&at_once.message_id)?);
    world.await_done(Flow::Payment, &asked, LONG).await?;
    sqlx::query("DELETE FROM queue_log WHERE consumer = 'payment' AND message_id = $1")
        .bind(id(&taken.message_id)?)
        .execute(&world.pool)
        .await?;

    world.dial(&setting.bank, Dial::default()).await?;
    world.await_done(Flow::Payment, &[payment_id], LONG).await?;
    world.drained(Flow::Payment, LONG).await?;
    let later = cancel(&paid, 0);
    pay(&world, std::slice::from_ref(&later)).await?;
    world.drained(Flow::Payment, LONG).await?;
    let told = setting.paid(&world).await?;
    let in_progress = rejected("payment_in_progress", 0);
    for (request, expected) in [
        (&paid, completed(40_000)),
        (&at_once, in_progress.clone()),
        (&cancels[0], in_progress.clone()),
        (&cancels[1], in_progress),
        (&cancels[2], rejected("unknown_payment", 0)),
        (&later, completed(0)),
    ] {
        let found = told.get(&request.message_id);
        ensure!(found == Some(&expected), "{request:?} came to {found:?}");
    }
    let balance = world.balances(&member).await?[&member[0]];
    ensure!(balance == 40_000, "{balance}");
    world.audit_is_clean().await?;
    world.stop(&setting.consumers).await
}

/// Over HTTP it is told to whom the payment concerns, as far as anybody knows whose it
/// is; to others there is no such payment.
async fn the_edge_says_so(
    world: &World,
    franchise: Uuid,
    [waits, taken]: [&str; 2],
) -> anyhow::Result<()> {
    let edge = world.edge_anew().await?;
    let client = Client::new(world);
    client.accepts().await?;
    let stranger = world.franchise(250).await?;
    for (role, who, payment, status, code) in [
        (
            Role::Franchise,
            franchise,
            waits,
            409,
            "payment_in_progress",
        ),
        (Role::Franchise, stranger, waits, 404, "unknown_payment"),
        (Role::Staff, stranger, taken, 409, "payment_in_progress"),
        (Role::Franchise, franchise, taken, 404, "unknown_payment"),
    ] {
        let path = format!("/payments/{payment}/cancellations");
        let asked = client
            .request_by(role, &who.to_string(), Method::POST, &path)
            .header("idempotency-key", Uuid::now_v7().to_string())
            .json(&serde_json::json!({ "reason": "changed their mind" }));
        let told = asked.send().await?;
        ensure!(
            told.status() == status,
            "{role} of {payment}: {}",
            told.status()
        );
        let body: serde_json::Value = told.json().await?;
        ensure!(body["reason"] == code, "{role} of {payment}: {body}");
    }
    world.stop(&edge).await
}
