//! What others write in our name, and what comes twice.

use std::collections::BTreeMap;

use anyhow::ensure;
use mypay_schemas::identity::derive;
use mypay_schemas::payment::{PaymentRequest, id_of_continuation};
use mypay_schemas::recharge::{RechargeRequest, RechargeResult, id_of_top_up};
use mypay_schemas::remittance::RemittanceRequest;
use mypay_schemas::{Flow, ResultStatus};
use mypay_tests::requests::{Outgoing, payment, recharge, remittance};
use mypay_tests::topic::{Offsets, Record};
use mypay_tests::{World, eventually};
use uuid::Uuid;

use super::{AT_BANK, BANK, completed, id, pay, remit};
use crate::day::LONG;

const NEEDED: i64 = 50_000;

/// While requests wait for their top-ups, somebody writes what follows from them:
/// recharges of other amounts and members, payments that go on. Nothing goes on by
/// it. Then the genuine messages come, and afterwards all of them again, in their
/// own partitions and in others.
#[tokio::test(flavor = "multi_thread")]
async fn what_others_write_in_our_name_moves_nothing() -> anyhow::Result<()> {
    let world = World::begin().await?;
    let bank = world.banks(&[BANK]).await?;
    let franchise = world.franchise(250).await?;
    let members = world.members(4, 0).await?;
    world
        .open_accounts(&bank, BANK, &members[..2], AT_BANK)
        .await?;
    let topics = [
        Flow::Recharge.request_topic(),
        Flow::Payment.request_topic(),
        Flow::Remittance.result_topic(),
        Flow::Payment.result_topic(),
        Flow::Recharge.dead_letter_topic(),
        Flow::Payment.dead_letter_topic(),
        Flow::Remittance.dead_letter_topic(),
    ];
    let before: Vec<Offsets> = topics
        .iter()
        .map(|topic| world.ends(topic))
        .collect::<Result<_, _>>()?;
    let waiting = world.start("waiting", &["consume", "remittance", "payment"])?;
    let remitted = remittance(members[0], members[2], NEEDED);
    let paid = payment(members[1], franchise, "order-1", NEEDED);
    let (remittance_id, payment_id) = (id(&remitted.message_id)?, id(&paid.message_id)?);
    let of_remittance = id_of_top_up(Flow::Remittance, remittance_id);
    let of_payment = id_of_top_up(Flow::Payment, payment_id);
    // Before the genuine one of the same id, and later in one batch with it.
    let early = RechargeRequest {
        message_id: of_remittance.to_string(),
        ..recharge(members[0], NEEDED + 30_000)
    };
    world.send([world.message(Flow::Recharge, &early)?]).await?;
    remit(&world, std::slice::from_ref(&remitted)).await?;
    pay(&world, std::slice::from_ref(&paid)).await?;
    world
        .await_top_ups(Flow::Remittance, &[remittance_id], 1, LONG)
        .await?;
    world
        .await_top_ups(Flow::Payment, &[payment_id], 1, LONG)
        .await?;
    world
        .send(forgeries(
            &world,
            &members,
            (&remitted, of_remittance),
            (&paid, of_payment),
        )?)
        .await?;
    world.drained(Flow::Payment, LONG).await?;
    world.drained(Flow::Remittance, LONG).await?;
    let balances = world.balances(&members).await?;
    ensure!(balances.values().all(|won| *won == 0), "{balances:?}");
    world
        .await_top_ups(Flow::Remittance, &[remittance_id], 1, LONG)
        .await?;
    world
        .await_top_ups(Flow::Payment, &[payment_id], 1, LONG)
        .await?;

    let others = world.start("others", &["consume", "recharge", "firmbanking"])?;
    world
        .await_done(Flow::Remittance, &[remittance_id], LONG)
        .await?;
    world.await_done(Flow::Payment, &[payment_id], LONG).await?;
    let settled = world.balances(&members).await?;
    ensure!(
        settled[&members[2]] == NEEDED && settled[&members[0]] == 0 && settled[&members[1]] == 0,
        "{settled:?}"
    );

    // All that was said, once more.
    let mut again = Vec::new();
    for (topic, from) in topics.iter().zip(&before).take(2) {
        let records = world.read_from(topic, from)?;
        again.extend(records.iter().map(|record| copy(topic, record, None)));
        // And through a lane that is not its own.
        let other = |record: &Record| Some((record.at.partition + 1) % 6);
        again.extend(records.iter().map(|it| copy(topic, it, other(it))));
    }
    world.send(again).await?;
    for flow in [Flow::Recharge, Flow::Payment, Flow::Remittance] {
        world.drained(flow, LONG).await?;
    }
    world.audit_is_clean_as_it_is().await?;
    ensure!(world.balances(&members).await? == settled);

    let results: Vec<mypay_schemas::remittance::RemittanceResult> =
        world.decoded(topics[2], &before[2]).await?;
    ensure!(
        results.len() == 1 && results[0].topped_up == NEEDED,
        "{results:?}"
    );
    let results: Vec<mypay_schemas::payment::PaymentResult> =
        world.decoded(topics[3], &before[3]).await?;
    let told = (results[0].status, None, results[0].topped_up);
    ensure!(
        results.len() == 1 && told == completed(NEEDED),
        "{results:?}"
    );

    let dead = |flow, from: &Offsets| -> anyhow::Result<Vec<String>> {
        let letters = world.dead_letters(flow, from)?;
        Ok(letters.into_iter().map(|letter| letter.reason).collect())
    };
    // One that came behind the genuine message has its id with other content.
    for (flow, from, forged) in [
        (Flow::Recharge, &before[4], 1),
        (Flow::Payment, &before[5], 4),
    ] {
        let reasons = dead(flow, from)?;
        let (unknown, others): (Vec<&String>, Vec<&String>) =
            reasons.iter().partition(|it| *it == "unknown_origin");
        ensure!(
            unknown.len() >= forged && others.iter().all(|it| *it == "id_conflict"),
            "{flow}: {reasons:?}"
        );
    }
    let reasons = dead(Flow::Remittance, &before[6])?;
    ensure!(reasons == ["bad_message_id"], "{reasons:?}");
    world.stop(&others).await?;
    world.stop(&waiting).await
}

/// A record again, where it lies or in another partition.
fn copy(topic: &'static str, record: &Record, partition: Option<i32>) -> Outgoing {
    Outgoing {
        topic,
        key: record.key.clone(),
        payload: record.payload.clone(),
        headers: record.headers.clone(),
        partition: partition.or(Some(record.at.partition)),
    }
}

fn forgeries(
    world: &World,
    members: &[Uuid],
    (remitted, of_remittance): (&RemittanceRequest, Uuid),
    (paid, of_payment): (&PaymentRequest, Uuid),
) -> anyhow::Result<Vec<Outgoing>> {
    let mut forged = Vec::new();
    // Recharges that nobody waits for, or for another amount or member.
    let stray = derive(Uuid::now_v7(), "remittance top-up");
    for (message_id, member, amount) in [
        (stray, members[0], NEEDED),
        (of_remittance, members[0], NEEDED + 10_000),
        (of_payment, members[3], NEEDED),
    ] {
        let request = RechargeRequest {
            message_id: message_id.to_string(),
            ..recharge(member, amount)
        };
        forged.push(world.message(Flow::Recharge, &request)?);
    }
    // Payments that go on: too early, of another amount, of a payment that is none.
    let payment_id = id(&paid.message_id)?;
    let goes_on = PaymentRequest {
        message_id: id_of_continuation(payment_id).to_string(),
        causation_id: Some(paid.message_id.clone()),
        ..paid.clone()
    };
    let other_amount = PaymentRequest {
        amount: 1,
        ..goes_on.clone()
    };
    let no_cause = PaymentRequest {
        causation_id: None,
        ..goes_on.clone()
    };
    let stranger = Uuid::now_v7();
    let of_none = PaymentRequest {
        message_id: id_of_continuation(stranger).to_string(),
        causation_id: Some(stranger.to_string()),
        ..paid.clone()
    };
    for request in [goes_on, other_amount, no_cause, of_none] {
        forged.push(world.message(Flow::Payment, &request)?);
    }
    // Remittances have no continuation: an id of ours is nobody's.
    let ours = RemittanceRequest {
        message_id: of_remittance.to_string(),
        ..remitted.clone()
    };
    forged.push(world.message(Flow::Remittance, &ours)?);
    Ok(forged)
}

/// Results that nobody but us may give say that both top-ups are done, before and
/// after they are: nothing goes on by the first, and nothing twice by the second.
///
/// The topic of results keeps what was forged on it, and an audit says so: so none
/// is made here, and the next test begins with new servers.
#[tokio::test(flavor = "multi_thread")]
async fn a_forged_result_of_a_top_up_lets_nothing_go_on() -> anyhow::Result<()> {
    let world = World::begin().await?;
    let bank = world.banks(&[BANK]).await?;
    let franchise = world.franchise(250).await?;
    let members = world.members(3, 0).await?;
    world
        .open_accounts(&bank, BANK, &members[..2], AT_BANK)
        .await?;
    let told = world.ends(Flow::Recharge.result_topic())?;
    let remitted_before = world.ends(Flow::Remittance.result_topic())?;
    let paid_before = world.ends(Flow::Payment.result_topic())?;
    let waiting = world.start("waiting", &["consume", "remittance", "payment"])?;
    let remitted = remittance(members[0], members[2], NEEDED);
    let paid = payment(members[1], franchise, "order-1", NEEDED);
    remit(&world, std::slice::from_ref(&remitted)).await?;
    pay(&world, std::slice::from_ref(&paid)).await?;
    let (remittance_id, payment_id) = (id(&remitted.message_id)?, id(&paid.message_id)?);
    let (of_remittance, of_payment) = (
        id_of_top_up(Flow::Remittance, remittance_id),
        id_of_top_up(Flow::Payment, payment_id),
    );
    world
        .await_top_ups(Flow::Remittance, &[remittance_id], 1, LONG)
        .await?;
    world
        .await_top_ups(Flow::Payment, &[payment_id], 1, LONG)
        .await?;
    let forged = [(of_remittance, members[0]), (of_payment, members[1])]
        .map(|(recharge_id, member)| forged_result(&world, recharge_id, member));
    world
        .send(forged.into_iter().collect::<anyhow::Result<Vec<_>>>()?)
        .await?;
    gone_through(&world, &told).await?;
    for (flow, request) in [
        (Flow::Remittance, remittance_id),
        (Flow::Payment, payment_id),
    ] {
        world.await_top_ups(flow, &[request], 1, LONG).await?;
    }
    let balances = world.balances(&members).await?;
    ensure!(balances.values().all(|won| *won == 0), "{balances:?}");

    let others = world.start("others", &["consume", "recharge", "firmbanking"])?;
    world
        .await_done(Flow::Remittance, &[remittance_id], LONG)
        .await?;
    world.await_done(Flow::Payment, &[payment_id], LONG).await?;
    let topic = Flow::Recharge.result_topic();
    let again = world.read_from(topic, &told)?;
    let again = again.iter().flat_map(|record| {
        let other = Some((record.at.partition + 1) % 6);
        [copy(topic, record, None), copy(topic, record, other)]
    });
    world.send(again.collect::<Vec<_>>()).await?;
    gone_through(&world, &told).await?;
    let results: Vec<mypay_schemas::remittance::RemittanceResult> = world
        .decoded(Flow::Remittance.result_topic(), &remitted_before)
        .await?;
    ensure!(
        results.len() == 1 && results[0].topped_up == NEEDED,
        "{results:?}"
    );
    let results: Vec<mypay_schemas::payment::PaymentResult> = world
        .decoded(Flow::Payment.result_topic(), &paid_before)
        .await?;
    ensure!(
        results.len() == 1 && results[0].topped_up == NEEDED,
        "{results:?}"
    );
    let balances = world.balances(&members).await?;
    ensure!(
        balances[&members[0]] == 0 && balances[&members[1]] == 0 && balances[&members[2]] == NEEDED,
        "{balances:?}"
    );
    world.ledger_adds_up().await?;
    world.stop(&others).await?;
    world.stop(&waiting).await
}

/// Waits until both flows have gone through the results of recharges since `told`.
///
/// Those before are other tests': a lane that was given nothing but what does not
/// concern it stays where it was.
async fn gone_through(world: &World, told: &Offsets) -> anyhow::Result<()> {
    let records = world.read_from(Flow::Recharge.result_topic(), told)?;
    let last: BTreeMap<i32, i64> = records
        .iter()
        .map(|record| (record.at.partition, record.at.offset))
        .collect();
    eventually("the recharges' results to be read", LONG, async || {
        world.all_live()?;
        let lanes: Vec<(i32, i64)> = sqlx::query_as(
            "SELECT partition, next_offset FROM lane
              WHERE consumer IN ('remittance', 'payment') AND topic = $1",
        )
        .bind(Flow::Recharge.result_topic())
        .fetch_all(&world.pool)
        .await?;
        let read = last.iter().all(|(partition, offset)| {
            let of = lanes.iter().filter(|(lane, _)| lane == partition);
            of.filter(|(_, next)| next > offset).count() == 2
        });
        Ok(read.then_some(()))
    })
    .await
}

fn forged_result(world: &World, recharge_id: Uuid, member: Uuid) -> anyhow::Result<Outgoing> {
    let result = RechargeResult {
        message_id: derive(recharge_id, "result").to_string(),
        request_id: recharge_id.to_string(),
        correlation_id: "forged".to_owned(),
        status: ResultStatus::Completed,
        reason: None,
        occurred_at: 0,
        member_id: member.to_string(),
        amount: NEEDED,
        causation_id: None,
    };
    let topic = Flow::Recharge.result_topic();
    Ok(Outgoing {
        topic,
        key: Some(member.to_string().into_bytes()),
        payload: Some(world.encoders.encode(topic, &result)?),
        ..Outgoing::default()
    })
}
