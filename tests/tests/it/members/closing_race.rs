//! Closings against everything else at once, and against `kill -9`.

use std::time::Duration;

use anyhow::ensure;
use mypay_bank::dummy::Dial;
use mypay_schemas::closing::ClosingRequest;
use mypay_schemas::{Flow, ResultStatus};
use mypay_tests::World;
use mypay_tests::exactly_once::{Asked, Must};
use mypay_tests::requests::{Outgoing, closing, payment, remittance};
use uuid::Uuid;

use crate::day::{LONG, seeded};

const BANK: &str = "004";
const LEAVERS: usize = 12;
/// More than all that a member is asked for: with less it would be topped up, which
/// a closing waits for.
const OPENING: i64 = 60_000;
const RACERS: usize = 50;
const WON: i64 = 1_000;

/// Each of a dozen members is closed in the midst of fifty payments, and remittances
/// from and to it, through all lanes at once. Whoever comes first wins: what was
/// paid, remitted and paid out is what the member had, to the won.
#[tokio::test(flavor = "multi_thread")]
async fn a_closing_in_the_midst_of_fifty_payments_and_remittances_takes_what_they_left()
-> anyhow::Result<()> {
    let world = World::begin().await?;
    let bank = world.banks(&[BANK]).await?;
    let leavers = world.leavers(&bank, BANK, LEAVERS, OPENING).await?;
    let friend = world.members(1, OPENING).await?[0];
    let franchise = world.franchise(250).await?;
    let flows = [Flow::Payment, Flow::Remittance, Flow::Closing];
    let before: Vec<_> = flows
        .iter()
        .map(|flow| world.ends(flow.result_topic()))
        .collect::<Result<_, _>>()?;
    let mut consumers = Vec::new();
    for flow in ["payment", "remittance", "closing", "firmbanking"] {
        let consumer = world.consume(flow)?;
        world.assigned(&consumer).await?;
        consumers.push(consumer);
    }
    let mut rng = seeded();
    let mut asked = [Asked::default(), Asked::default(), Asked::default()];
    let mut messages = Vec::new();
    for (member, _) in &leavers {
        for _ in 0..RACERS {
            let paid = payment(*member, franchise, "order", WON);
            asked[0].add(&paid.message_id, Must::BeAnswered);
            messages.push(world.message(Flow::Payment, &paid)?);
            let sent = remittance(*member, friend, WON / 10);
            asked[1].add(&sent.message_id, Must::BeAnswered);
            messages.push(world.message(Flow::Remittance, &sent)?);
            if rng.u32(..5) == 0 {
                let got = remittance(friend, *member, WON / 10);
                asked[1].add(&got.message_id, Must::BeAnswered);
                messages.push(world.message(Flow::Remittance, &got)?);
            }
        }
        let leaves = closing(*member);
        asked[2].add(&leaves.message_id, Must::Complete);
        messages.push(world.message(Flow::Closing, &leaves)?);
    }
    rng.shuffle(&mut messages);
    world.pump(messages, 1_000)?.await??;
    let mut rejected = 0;
    for ((flow, asked), before) in flows.iter().zip(&asked).zip(&before) {
        answered(&world, *flow, asked, before).await?;
        let answers = world.results_of(*flow, before, &asked.ids()).await?;
        asked.are_answered_once(&answers)?;
        rejected += answers
            .iter()
            .filter(|it| it.status == ResultStatus::Rejected)
            .count();
    }
    // Else nothing was raced.
    ensure!(rejected > 0, "no closing came before the end");

    let mut paid_out = 0;
    for (member, account) in &leavers {
        let now = world.standing(*member).await?;
        ensure!(
            now.status == "CLOSED" && (now.balance, now.unclaimed) == (0, 0),
            "{now:?}"
        );
        let left: i64 = sqlx::query_scalar(
            "SELECT coalesce(sum(CASE WHEN credit = $1 THEN amount ELSE -amount END), 0)::bigint
               FROM money.posting
              WHERE ARRAY[debit, credit] @> ARRAY[$1] AND kind <> $2",
        )
        .bind(member)
        .bind(mypay_decide::EntryKind::Closing as i16)
        .fetch_one(&world.pool)
        .await?;
        ensure!(now.paid_out == left, "{now:?}, {left} were left");
        ensure!(
            world.at_banks(std::slice::from_ref(account)).await? == now.paid_out,
            "{now:?}"
        );
        paid_out += now.paid_out;
    }
    eprintln!("{paid_out} won paid out, {rejected} requests came too late");
    for consumer in &consumers {
        world.stop(consumer).await?;
    }
    world.ledger_adds_up().await?;
    world.audit_is_clean_as_it_is().await
}

/// Waits until each of these requests has its result.
async fn answered(
    world: &World,
    flow: Flow,
    asked: &Asked,
    before: &mypay_tests::topic::Offsets,
) -> anyhow::Result<()> {
    mypay_tests::eventually(&format!("all results of {flow}"), LONG, async || {
        world.all_live()?;
        let answers = world.results_of(flow, before, &asked.ids()).await?;
        Ok((answers.len() >= asked.len()).then_some(()))
    })
    .await
}

/// Forty members leave, each asking twice, one with other words; a third of the
/// bank's answers are lost, and closing and firmbanking consumers are killed again
/// and again. Each leaves once, with what it had.
#[tokio::test(flavor = "multi_thread")]
async fn kills_in_the_midst_of_closings_pay_nothing_twice_and_lose_nothing() -> anyhow::Result<()> {
    const MEMBERS: usize = 40;
    const KILLS: usize = 6;
    let world = World::begin().await?;
    let bank = world.banks(&[BANK]).await?;
    let mut dial = Dial::default();
    dial.set("lost_answer=0.3")?;
    world.dial(&bank, dial).await?;
    let leavers = world.leavers(&bank, BANK, MEMBERS, OPENING).await?;
    let before = world.ends(Flow::Closing.result_topic())?;
    let dead_before = world.ends(Flow::Closing.dead_letter_topic())?;
    let mut rng = seeded();
    let mut asked = Asked::default();
    let mut messages: Vec<Outgoing> = Vec::new();
    for (member, _) in &leavers {
        let leaves = closing(*member);
        asked.add(&leaves.message_id, Must::Complete);
        let other = ClosingRequest {
            reason: "other words".to_owned(),
            ..leaves.clone()
        };
        for request in [&leaves, &leaves, &other] {
            messages.push(world.message(Flow::Closing, request)?);
        }
    }
    let mut consumers = [world.consume("closing")?, world.consume("firmbanking")?];
    let sending = world.pump(messages, 100)?;
    for _ in 0..KILLS {
        tokio::time::sleep(Duration::from_millis(rng.u64(50..700))).await;
        let which = rng.usize(..2);
        world.kill(&consumers[which]).await?;
        consumers[which] = world.again(&consumers[which])?;
    }
    sending.await??;
    answered(&world, Flow::Closing, &asked, &before).await?;
    world.drained(Flow::Closing, LONG).await?;
    let answers = world
        .results_of(Flow::Closing, &before, &asked.ids())
        .await?;
    asked.are_answered_once(&answers)?;
    let dead = world.dead_letters(Flow::Closing, &dead_before)?;
    ensure!(
        dead.len() == MEMBERS && dead.iter().all(|letter| letter.reason == "id_conflict"),
        "{} dead letters",
        dead.len()
    );
    for (member, account) in &leavers {
        let now = world.standing(*member).await?;
        ensure!(now.status == "CLOSED" && now.paid_out == OPENING, "{now:?}");
        ensure!(world.at_banks(std::slice::from_ref(account)).await? == OPENING);
    }
    let payouts: Vec<Uuid> =
        sqlx::query_scalar("SELECT closing_id FROM membership.closing WHERE member_id = ANY($1)")
            .bind(
                leavers
                    .iter()
                    .map(|(member, _)| *member)
                    .collect::<Vec<_>>(),
            )
            .fetch_all(&world.pool)
            .await?;
    let postings = world.postings_of(&payouts).await?;
    ensure!(
        payouts.len() == MEMBERS && postings.values().all(|count| *count == 1),
        "{postings:?}"
    );
    for consumer in &consumers {
        world.stop(consumer).await?;
    }
    world.ledger_adds_up().await?;
    world.audit_is_clean_as_it_is().await
}
