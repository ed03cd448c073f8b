//! Cancels by the hundred, before a settlement and behind one.

use std::collections::HashSet;

use anyhow::ensure;
use mypay_schemas::{Flow, ResultStatus};
use mypay_tests::World;
use mypay_tests::exactly_once::{Asked, Must};
use mypay_tests::requests::{cancel, payment};
use serde_json::{Value, json};
use uuid::Uuid;

use super::shop::Shop;
use crate::day::LONG;

/// Through all partitions at once, as if everybody chose keys of their own.
#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_cancels_at_once_refund_what_was_paid_and_no_more() -> anyhow::Result<()> {
    let world = World::begin().await?;
    let members = world.members(2, 100_000).await?;
    let franchise = world.franchise(250).await?;
    let before = world.ends(Flow::Payment.result_topic())?;
    let partitions = world.ends(Flow::Payment.request_topic())?.len();
    let consumer = world.consume("payment")?;
    let paid = payment(members[0], franchise, "order-1", 10_000);
    // In the same batch as its payment, maybe: of the same key, so behind it.
    let first = cancel(&paid, 100);
    let too_much = cancel(&paid, 9_901);
    let mut asked = Asked::default();
    asked.add(&paid.message_id, Must::Complete);
    asked.add(&first.message_id, Must::Complete);
    asked.add(
        &too_much.message_id,
        Must::BeRejected("cancel_exceeds_payment"),
    );
    world
        .send([
            world.message(Flow::Payment, &paid)?,
            world.message(Flow::Payment, &first)?,
            world.message(Flow::Payment, &too_much)?,
        ])
        .await?;
    world.drained(Flow::Payment, LONG).await?;
    let mut messages = Vec::new();
    for number in 0..100 {
        let mut message = world.message(Flow::Payment, &cancel(&paid, 300))?;
        message.partition = Some((number % partitions) as i32);
        messages.push(message);
    }
    let mut foreign = cancel(&paid, 0);
    foreign.member_id = members[1].to_string();
    let mut unknown = cancel(&paid, 0);
    unknown.cancels = Some(Uuid::now_v7().to_string());
    let mut zero = cancel(&paid, 0);
    zero.cancels_rest = false;
    for (request, reason) in [
        (&foreign, "foreign_payment"),
        (&unknown, "unknown_payment"),
        (&zero, "invalid_amount"),
        (&cancel(&paid, -300), "invalid_amount"),
    ] {
        asked.add(&request.message_id, Must::BeRejected(reason));
        messages.push(world.message(Flow::Payment, request)?);
    }
    world.send(messages).await?;
    world.drained(Flow::Payment, LONG).await?;
    let (granted, refunded): (i64, i64) = sqlx::query_as(
        "SELECT count(*), max(refunded) FROM payment.cancel WHERE payment_id = $1::uuid",
    )
    .bind(&paid.message_id)
    .fetch_one(&world.pool)
    .await?;
    ensure!((granted, refunded) == (34, 10_000), "{granted}, {refunded}");
    let none_left = cancel(&paid, 0);
    asked.add(&none_left.message_id, Must::BeRejected("already_cancelled"));
    world
        .send([world.message(Flow::Payment, &none_left)?])
        .await?;
    world.drained(Flow::Payment, LONG).await?;
    let ids = asked.ids();
    let answers = world.results_of(Flow::Payment, &before, &ids).await?;
    asked.are_answered_once(&answers)?;
    let given_back: i64 = sqlx::query_scalar(
        "SELECT sum(commission_back)::bigint FROM payment.cancel WHERE payment_id = $1::uuid",
    )
    .bind(&paid.message_id)
    .fetch_one(&world.pool)
    .await?;
    ensure!(given_back == 250, "{given_back} won of commission");
    let balances = world.balances(&members).await?;
    ensure!(balances.values().all(|won| *won == 100_000), "{balances:?}");
    world.stop(&consumer).await?;
    world.audit_is_clean().await
}

/// A slip that a run has settled is cancelled a hundred times at once: what is refunded
/// is what was left of it, each cancel is a negative line of the next run, whose net is
/// below zero and is carried, and the run after that pays what is left over.
#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_cancels_behind_a_settlement_are_lines_of_the_next_run() -> anyhow::Result<()> {
    let world = World::begin().await?;
    let shop = Shop::open(&world).await?;
    for flow in ["payment", "settlement", "firmbanking"] {
        world.consume(flow)?;
    }
    let before = world.ends(Flow::Payment.result_topic())?;
    let franchise = Uuid::try_parse(&shop.franchise)?;
    let paid = payment(shop.member, franchise, "order-1", 10_000);
    let early = cancel(&paid, 100);
    world
        .send([
            world.message(Flow::Payment, &paid)?,
            world.message(Flow::Payment, &early)?,
        ])
        .await?;
    world.drained(Flow::Payment, LONG).await?;
    let run = shop.settle().await?;
    // 9,900 less 247 of commission: the slip's 250, of which 3 are given back.
    shop.part(&run, 9_653, "COMPLETED", Value::Null).await?;

    let partitions = world.ends(Flow::Payment.request_topic())?.len();
    let (mut late, mut messages) = (HashSet::new(), Vec::new());
    for number in 0..100 {
        let request = cancel(&paid, 300);
        let mut message = world.message(Flow::Payment, &request)?;
        message.partition = Some((number % partitions) as i32);
        messages.push(message);
        late.insert(request.message_id);
    }
    world.send(messages).await?;
    world.drained(Flow::Payment, LONG).await?;
    let answers = world.results_of(Flow::Payment, &before, &late).await?;
    let mut asked = Asked::default();
    late.iter().for_each(|id| asked.add(id, Must::BeAnswered));
    asked.are_answered_once(&answers)?;
    let granted = answers
        .iter()
        .filter(|it| it.status == ResultStatus::Completed);
    ensure!(granted.count() == 33, "{answers:?}");
    let links: (i64, i64, i64) = sqlx::query_as(
        "SELECT count(*), max(refunded), sum(commission_back)::bigint
           FROM payment.cancel WHERE payment_id = $1::uuid",
    )
    .bind(&paid.message_id)
    .fetch_one(&world.pool)
    .await?;
    ensure!(links == (34, 10_000, 250), "{links:?}");
    let balance = world.balances(&[shop.member]).await?[&shop.member];
    ensure!(balance == 1_000_000, "{balance} won, and all was refunded");

    let run = shop.settle().await?;
    shop.part(&run, -9_653, "CARRIED", json!("not_positive"))
        .await?;
    let lines = shop.lines(&run).await?;
    let refunds = lines
        .iter()
        .filter(|line| line["kind"] == "cancel" && line["amount"] == -300);
    ensure!(refunds.count() == 33 && lines.len() == 33, "{lines:?}");

    // 20,000 less 500 of commission and what was carried.
    shop.pay(20_000).await?;
    let run = shop.settle().await?;
    shop.part(&run, 9_847, "COMPLETED", Value::Null).await?;
    world.audit_is_clean().await
}
