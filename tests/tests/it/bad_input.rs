//! Whatever is put on a topic has a clear answer, once, and holds up nobody.

mod cases;

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context, ensure};
use mypay_schemas::Flow;
use mypay_tests::World;
use mypay_tests::dead_letters::DeadLetter;
use mypay_tests::exactly_once::{Asked, Must};
use mypay_tests::requests::{Outgoing, Placed, payment, remittance};
use uuid::Uuid;

use crate::day::{LONG, seeded};
use cases::{Case, Expect};

/// Bad messages and, behind each under the same key, a good one.
struct Sent {
    asked: Asked,
    dead: HashMap<Placed, (Case, &'static str)>,
}

async fn send(world: &World, members: &[Uuid], cases: Vec<Case>) -> anyhow::Result<Sent> {
    let mut asked = Asked::default();
    let mut messages = Vec::new();
    for case in &cases {
        if let Expect::Answer(request, must) = &case.expect {
            asked.add(request, *must);
        }
        let next = remittance(members[0], members[1], 1);
        asked.add(&next.message_id, Must::Complete);
        let next = world.message(Flow::Remittance, &next)?;
        messages.extend([
            case.message.clone(),
            Outgoing {
                key: case.message.key.clone(),
                ..next
            },
        ]);
    }
    let placed = world.send(messages).await?;
    let dead = cases
        .into_iter()
        .zip(placed.into_iter().step_by(2))
        .filter_map(|(case, at)| {
            let Expect::DeadLetter(reason) = case.expect else {
                return None;
            };
            Some((at, (case, reason)))
        });
    Ok(Sent {
        dead: dead.collect(),
        asked,
    })
}

impl Sent {
    /// One answer each, one dead letter each with the original bytes and key.
    fn are_answered(
        &self,
        answers: &[mypay_tests::results::Answer],
        letters: &[DeadLetter],
    ) -> anyhow::Result<()> {
        self.asked.are_answered_once(answers)?;
        let mut by_place: HashMap<Placed, Vec<&DeadLetter>> = HashMap::new();
        for letter in letters {
            by_place.entry(letter.of).or_default().push(letter);
        }
        for (place, letters) in &by_place {
            ensure!(self.dead.contains_key(place), "not expected: {letters:?}");
            ensure!(
                letters.len() == 1,
                "{} dead letters of {place:?}",
                letters.len()
            );
        }
        for (place, (case, reason)) in &self.dead {
            let letter = by_place.get(place).and_then(|letters| letters.first());
            let letter = letter.with_context(|| format!("{}: no dead letter", case.name))?;
            ensure!(
                letter.reason == *reason,
                "{}: {} ({})",
                case.name,
                letter.reason,
                letter.detail
            );
            is_the_original(case, letter)?;
        }
        Ok(())
    }
}

fn is_the_original(case: &Case, letter: &DeadLetter) -> anyhow::Result<()> {
    let bytes = |of: &Option<Vec<u8>>| of.clone().unwrap_or_default();
    let (message, record) = (&case.message, &letter.record);
    ensure!(
        bytes(&record.payload) == bytes(&message.payload),
        "{}: other bytes",
        case.name
    );
    ensure!(
        bytes(&record.key) == bytes(&message.key),
        "{}: another key",
        case.name
    );
    let had_key = letter.headers("dlq.key.present");
    ensure!(
        had_key == [message.key.is_some().to_string()],
        "{}: {had_key:?}",
        case.name
    );
    let headers = message.headers.iter();
    let headers: Vec<String> = headers
        .map(|(name, value)| format!("{name}={}", String::from_utf8_lossy(value)))
        .collect();
    ensure!(
        letter.headers("dlq.header") == headers,
        "{}: other headers",
        case.name
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_bad_message_has_its_answer_and_the_next_good_one_goes_on() -> anyhow::Result<()> {
    let world = World::begin().await?;
    let members = world.members(2, 100_000).await?;
    let ours = cases::account_of_ours();
    sqlx::query(
        "INSERT INTO money.account (account_id, kind, slot, owner) VALUES ($1, $2, $3, $4)
         ON CONFLICT (account_id) DO NOTHING",
    )
    .bind(ours.id())
    .bind(ours.kind.number())
    .bind(ours.slot)
    .bind(ours.owner)
    .execute(&world.pool)
    .await?;
    let results = world.ends(Flow::Remittance.result_topic())?;
    let dead = world.ends(Flow::Remittance.dead_letter_topic())?;
    let consumer = world.consume("remittance")?;

    let sent = send(&world, &members, cases::all(&world, &members)?).await?;
    world.drained(Flow::Remittance, LONG).await?;

    world.stop(&consumer).await?;
    let answers = world
        .results_of(Flow::Remittance, &results, &sent.asked.ids())
        .await?;
    sent.are_answered(&answers, &world.dead_letters(Flow::Remittance, &dead)?)?;
    world.ledger_adds_up().await?;
    world.audit_is_clean().await
}

/// Garbage and good requests mixed, while the consumer is killed five times.
#[tokio::test(flavor = "multi_thread")]
async fn each_dead_letter_is_there_once_however_often_the_consumer_dies() -> anyhow::Result<()> {
    let world = World::begin().await?;
    let members = world.members(2, 1_000_000).await?;
    let results = world.ends(Flow::Remittance.result_topic())?;
    let dead = world.ends(Flow::Remittance.dead_letter_topic())?;
    let mut rng = seeded();
    let before = world.gone_through(Flow::Remittance).await?;

    let garbage = (0..5_000).map(|_| cases::garbage(&mut rng)).collect();
    let sent = send(&world, &members, garbage).await?;
    let mut consumer = world.consume("remittance")?;
    for kill in 0..5 {
        let at = before + kill * 1_500 + rng.i64(1..1_500);
        world.await_gone_through(Flow::Remittance, at, LONG).await?;
        tokio::time::sleep(Duration::from_micros(rng.u64(..60_000))).await;
        world.kill(&consumer).await?;
        consumer = world.again(&consumer)?;
    }
    world.drained(Flow::Remittance, LONG).await?;

    world.stop(&consumer).await?;
    let answers = world
        .results_of(Flow::Remittance, &results, &sent.asked.ids())
        .await?;
    sent.are_answered(&answers, &world.dead_letters(Flow::Remittance, &dead)?)?;
    world.audit_is_clean().await
}

/// A topic limits batches as they are sent, compressed: what they unpack to can
/// be far more than any topic takes back.
#[tokio::test(flavor = "multi_thread")]
async fn what_unpacks_to_megabytes_holds_up_nobody() -> anyhow::Result<()> {
    let world = World::begin().await?;
    let members = world.members(2, 100_000).await?;
    let results = world.ends(Flow::Remittance.result_topic())?;
    let dead = world.ends(Flow::Remittance.dead_letter_topic())?;
    let mut asked = Asked::default();
    let consumer = world.consume("remittance")?;

    let large = cases::large(&world, &members)?;
    for message in &large {
        let placed = world.send([message.clone()]).await?;
        let next = remittance(members[0], members[1], 1);
        asked.add(&next.message_id, Must::Complete);
        let next = world.message(Flow::Remittance, &next)?;
        world
            .send([Outgoing {
                partition: Some(placed[0].partition),
                ..next
            }])
            .await?;
    }
    world.drained(Flow::Remittance, LONG).await?;

    world.stop(&consumer).await?;
    let answers = world
        .results_of(Flow::Remittance, &results, &asked.ids())
        .await?;
    asked.are_answered_once(&answers)?;
    let letters = world.dead_letters(Flow::Remittance, &dead)?;
    ensure!(
        letters.len() == large.len(),
        "{} of {}",
        letters.len(),
        large.len()
    );
    world.audit_is_clean().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_with_an_impossible_order_number_is_rejected() -> anyhow::Result<()> {
    let world = World::begin().await?;
    let members = world.members(1, 100_000).await?;
    let franchise = world.franchise(250).await?;
    let before = world.ends(Flow::Payment.result_topic())?;
    let mut asked = Asked::default();
    let mut messages = Vec::new();
    let mut ask = |request: mypay_schemas::payment::PaymentRequest, must| {
        asked.add(&request.message_id, must);
        messages.push(world.message(Flow::Payment, &request)?);
        anyhow::Ok(())
    };
    for order_ref in ["x".repeat(10_000).as_str(), "", "zero\0byte", "two\nlines"] {
        let bad = payment(members[0], franchise, order_ref, 1_000);
        ask(bad, Must::BeRejected("invalid_order_ref"))?;
        ask(
            payment(members[0], franchise, "주문-1", 1_000),
            Must::Complete,
        )?;
    }
    let unknown = payment(members[0], Uuid::now_v7(), "order", 1_000);
    ask(unknown, Must::BeRejected("unknown_franchise"))?;

    let consumer = world.consume("payment")?;
    world.send(messages).await?;
    world.drained(Flow::Payment, LONG).await?;
    world.stop(&consumer).await?;
    asked.are_answered_once(
        &world
            .results_of(Flow::Payment, &before, &asked.ids())
            .await?,
    )?;
    world.ledger_adds_up().await?;
    world.audit_is_clean().await
}
