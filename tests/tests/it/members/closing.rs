//! Closing of memberships: what is left, what refuses it, what comes back after it.

use anyhow::ensure;
use mypay_bank::dummy::Dial;
use mypay_schemas::Flow;
use mypay_schemas::reversal::CLOSING_REVERSAL;
use mypay_tests::banks::HOLDER;
use mypay_tests::exactly_once::{Asked, Must};
use mypay_tests::leavers::{Standing, command_of};
use mypay_tests::requests::{cancel, closing, payment, payout, recharge, remittance};
use mypay_tests::{World, eventually};
use reqwest::StatusCode;
use serde_json::json;
use uuid::Uuid;

use super::{is, key};
use crate::day::LONG;
use crate::over_http::Client;

const BANK: &str = "004";

fn standing(status: &str, balance: i64, unclaimed: i64, paid_out: i64) -> Standing {
    Standing {
        status: status.to_owned(),
        balance,
        unclaimed,
        paid_out,
    }
}

/// Waits until a member stands so.
async fn stands(world: &World, member: Uuid, expected: &Standing) -> anyhow::Result<()> {
    let came = eventually("how a member stands", LONG, async || {
        world.all_live()?;
        Ok((world.standing(member).await? == *expected).then_some(()))
    })
    .await;
    if let Err(error) = came {
        let now = world.standing(member).await?;
        return Err(error.context(format!("{now:?} instead of {expected:?}")));
    }
    Ok(())
}

/// Over HTTP, from the first refusal to the empty membership: and then nothing goes
/// in or out any more, by any flow.
#[tokio::test(flavor = "multi_thread")]
async fn a_member_leaves_with_what_is_left_and_nothing_moves_any_more() -> anyhow::Result<()> {
    let world = World::begin().await?;
    let bank = world.banks(&[BANK]).await?;
    let client = Client::new(&world);
    client.accepts().await?;
    let flows = [
        Flow::Recharge,
        Flow::Remittance,
        Flow::Payment,
        Flow::Firmbanking,
        Flow::Closing,
    ];
    let consumers: Vec<_> = flows
        .iter()
        .map(|flow| world.consume(flow.name()))
        .collect::<Result<_, _>>()?;
    let (member, account) = world.leavers(&bank, BANK, 1, 70_000).await?.remove(0);
    let other = world.members(1, 50_000).await?[0];
    let franchise = world.franchise(250).await?;
    let path = format!("/members/{member}/closing");
    let ask = async |path: &str, body: serde_json::Value| -> anyhow::Result<serde_json::Value> {
        let id = key();
        let (status, answer) = client.post(path, &id, &body).await?;
        ensure!(status == StatusCode::ACCEPTED, "{status} {answer}");
        client.done(&id).await
    };
    let (status, answer, _) = client.send("GET", &path, None, &json!({})).await?;
    ensure!(
        status == StatusCode::NOT_FOUND && is(&answer, "no_closing"),
        "{answer}"
    );
    let kept = ask(&path, json!({ "reason": "leaves", "pays_out": false })).await?;
    ensure!(kept["reason"] == "balance_not_empty", "{kept}");
    let unknown = format!("/members/{}/closing", Uuid::now_v7());
    let nobody = ask(&unknown, json!({ "reason": "leaves" })).await?;
    ensure!(nobody["reason"] == "unknown_member", "{nobody}");
    let without = ask(
        &format!("/members/{other}/closing"),
        json!({ "reason": "leaves" }),
    )
    .await?;
    ensure!(without["reason"] == "no_bank_account", "{without}");

    let id = key();
    let body = json!({ "reason": "moves abroad" });
    for expected in [StatusCode::ACCEPTED, StatusCode::OK] {
        let (status, answer) = client.post(&path, &id, &body).await?;
        ensure!(status == expected, "{status} {answer}");
    }
    let done = client.done(&id).await?;
    ensure!(
        done["outcome"] == "COMPLETED" && done["flow"] == "closing",
        "{done}"
    );
    let (status, answer) = client
        .post(&path, &id, &json!({ "reason": "another" }))
        .await?;
    ensure!(status == StatusCode::CONFLICT, "{status} {answer}");
    stands(&world, member, &standing("CLOSED", 0, 0, 70_000)).await?;
    ensure!(world.at_banks(&[account]).await? == 70_000);
    let told = client.get(&path).await?;
    ensure!(
        told["state"] == "COMPLETED" && told["amount"] == 70_000,
        "{told}"
    );
    let commands = client
        .get(&format!("/members/{member}/firmbankings"))
        .await?;
    ensure!(commands["items"][0]["purpose"] == "closing", "{commands}");
    let versions = client.get(&format!("/members/{member}/versions")).await?;
    let statuses: Vec<&str> = versions["items"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|it| it["status"].as_str())
        .collect();
    ensure!(statuses == ["CLOSED", "CLOSING", "OPEN"], "{versions}");
    let again = ask(&path, body.clone()).await?;
    ensure!(again["reason"] == "member_closed", "{again}");

    let before: Vec<_> = flows
        .iter()
        .map(|flow| world.ends(flow.result_topic()))
        .collect::<Result<_, _>>()?;
    let refused = [
        (
            Flow::Recharge,
            world.message(Flow::Recharge, &recharge(member, 10_000))?,
            "unknown_member",
        ),
        (
            Flow::Remittance,
            world.message(Flow::Remittance, &remittance(member, other, 1))?,
            "unknown_member",
        ),
        (
            Flow::Remittance,
            world.message(Flow::Remittance, &remittance(other, member, 1))?,
            "unknown_receiver",
        ),
        (
            Flow::Payment,
            world.message(Flow::Payment, &payment(member, franchise, "order", 1))?,
            "unknown_member",
        ),
    ];
    world
        .send(refused.iter().map(|(_, message, _)| message.clone()))
        .await?;
    for (place, flow) in flows.iter().enumerate().take(3) {
        world.drained(*flow, LONG).await?;
        let mut reasons: Vec<_> = world
            .results(*flow, &before[place])
            .await?
            .into_iter()
            .filter_map(|(answer, _)| answer.reason)
            .collect();
        let mut expected: Vec<_> = refused
            .iter()
            .filter(|(of, ..)| of == flow)
            .map(|(.., reason)| (*reason).to_owned())
            .collect();
        reasons.sort();
        expected.sort();
        ensure!(reasons == expected, "{flow}: {reasons:?}");
    }
    let patch = json!({ "name": "김두리" });
    let (status, answer, _) = client
        .send(
            "PATCH",
            &format!("/members/{member}"),
            Some("\"3\""),
            &patch,
        )
        .await?;
    ensure!(
        status == StatusCode::UNPROCESSABLE_ENTITY && is(&answer, "member_closed"),
        "{answer}"
    );
    for consumer in &consumers {
        world.stop(consumer).await?;
    }
    world.audit_is_clean_as_it_is().await
}

/// While the bank is away a payment is cancelled, and another closing asked for.
/// Then the bank refuses: the member is open again, and has everything.
#[tokio::test(flavor = "multi_thread")]
async fn a_member_whose_payout_is_refused_is_open_again_with_all_the_money() -> anyhow::Result<()> {
    let world = World::begin().await?;
    let bank = world.banks(&[BANK]).await?;
    let before = world.ends(Flow::Closing.result_topic())?;
    let (member, account) = world.leavers(&bank, BANK, 1, 70_000).await?.remove(0);
    let franchise = world.franchise(0).await?;
    world.register(member, &account, "홍길동").await?;
    for flow in ["payment", "firmbanking", "closing"] {
        world.consume(flow)?;
    }
    let paid = payment(member, franchise, "order", 10_000);
    world.send([world.message(Flow::Payment, &paid)?]).await?;
    world.drained(Flow::Payment, LONG).await?;
    world.kill_bank().await?;

    let mut asked = Asked::default();
    let refused = closing(member);
    asked.add(&refused.message_id, Must::BeRejected("holder_mismatch"));
    world
        .send([world.message(Flow::Closing, &refused)?])
        .await?;
    stands(&world, member, &standing("CLOSING", 0, 0, 0)).await?;
    let meanwhile = closing(member);
    asked.add(&meanwhile.message_id, Must::BeRejected("closing_under_way"));
    world
        .send([world.message(Flow::Closing, &meanwhile)?])
        .await?;
    world
        .send([world.message(Flow::Payment, &cancel(&paid, 4_000))?])
        .await?;
    stands(&world, member, &standing("CLOSING", 0, 4_000, 0)).await?;
    world.bank().await?;
    stands(&world, member, &standing("OPEN", 64_000, 0, 0)).await?;
    // And what comes back now is my money, as ever.
    world
        .send([world.message(Flow::Payment, &cancel(&paid, 1_000))?])
        .await?;
    stands(&world, member, &standing("OPEN", 65_000, 0, 0)).await?;

    world.register(member, &account, HOLDER).await?;
    let last = closing(member);
    asked.add(&last.message_id, Must::Complete);
    world.send([world.message(Flow::Closing, &last)?]).await?;
    stands(&world, member, &standing("CLOSED", 0, 0, 65_000)).await?;
    ensure!(world.at_banks(&[account]).await? == 65_000);
    world.drained(Flow::Closing, LONG).await?;
    let answers = world
        .results_of(Flow::Closing, &before, &asked.ids())
        .await?;
    asked.are_answered_once(&answers)?;
    world.ledger_adds_up().await?;
    world.audit_is_clean_as_it_is().await
}

/// A payment is cancelled after its member has left, and then the bank undoes the
/// payout itself: all of it is kept, and paid out by closing once more.
#[tokio::test(flavor = "multi_thread")]
async fn what_comes_back_to_a_closed_member_is_kept_and_paid_out_by_closing_once_more()
-> anyhow::Result<()> {
    let world = World::begin().await?;
    let bank = world.banks(&[BANK]).await?;
    // Paid from one bank to another, else no bank undoes it.
    world.suspend("020").await?;
    let (member, account) = world.leavers(&bank, "020", 1, 70_000).await?.remove(0);
    let franchise = world.franchise(0).await?;
    for flow in ["payment", "remittance", "firmbanking", "closing"] {
        world.consume(flow)?;
    }
    let mut dial = Dial {
        // Long enough for the member to leave before anything comes back.
        reversal_ms: 10_000,
        ..Dial::default()
    };
    dial.set("late_reversal=1")?;
    world.dial(&bank, dial).await?;
    let paid = payment(member, franchise, "order", 10_000);
    world.send([world.message(Flow::Payment, &paid)?]).await?;
    // A remittance of the member's, undone by its bank after the member has left.
    let to = world.receiver(&bank, "020").await?;
    let to = mypay_schemas::remittance::BankReceiver {
        bank_code: to.bank_code,
        account_number: to.account_number,
        holder_name: HOLDER.into(),
    };
    let fee = mypay_decide::Limits::default().fee_to_bank;
    let remitted = payout(member, to, 20_000);
    world
        .send([world.message(Flow::Remittance, &remitted)?])
        .await?;
    world.drained(Flow::Remittance, LONG).await?;
    world.drained(Flow::Payment, LONG).await?;
    let at_bank = mypay_schemas::firmbanking::id_of_command(
        mypay_schemas::firmbanking::PURPOSE_REMITTANCE,
        Uuid::try_parse(&remitted.message_id)?,
    );
    world.await_commands(&[at_bank], "done", 1, LONG).await?;
    eventually("the remittance's result", LONG, async || {
        let done = world
            .statuses("remittance", &[Uuid::try_parse(&remitted.message_id)?])
            .await?;
        Ok((done.get("done") == Some(&1)).then_some(()))
    })
    .await?;

    let before = world.ends(CLOSING_REVERSAL)?;
    let left = 70_000 - 10_000 - 20_000 - fee;
    let first = closing(member);
    world.send([world.message(Flow::Closing, &first)?]).await?;
    world
        .await_commands(&[command_of(&first)?], "done", 1, LONG)
        .await?;
    stands_closed(&world, member, left).await?;
    world
        .send([world.message(Flow::Payment, &cancel(&paid, 0))?])
        .await?;
    // The payment, the remittance and the payout itself are back.
    stands(
        &world,
        member,
        &standing("CLOSED", 0, 10_000 + 20_000 + left, left),
    )
    .await?;
    let told = eventually("the reversal's event", LONG, async || {
        let told = world.read_from(CLOSING_REVERSAL, &before)?;
        Ok((!told.is_empty()).then_some(told.len()))
    })
    .await?;
    ensure!(told == 1, "{told} reversals");

    world.dial(&bank, Dial::default()).await?;
    let second = closing(member);
    let message = world.message(Flow::Closing, &second)?;
    // Twice: the second is a duplicate.
    world.send([message.clone(), message]).await?;
    let all = 70_000 - fee;
    stands(&world, member, &standing("CLOSED", 0, 0, left + all)).await?;
    ensure!(world.at_banks(&[account]).await? == all);
    world.drained(Flow::Closing, LONG).await?;
    sqlx::query("UPDATE banking.contract SET status = 'ACTIVE'")
        .execute(&world.pool)
        .await?;
    world.ledger_adds_up().await?;
    world.audit_is_clean_as_it_is().await
}

/// Closed, whatever has come back already.
async fn stands_closed(world: &World, member: Uuid, paid_out: i64) -> anyhow::Result<()> {
    eventually("a closed member", LONG, async || {
        world.all_live()?;
        let now = world.standing(member).await?;
        Ok((now.status == "CLOSED" && now.paid_out == paid_out).then_some(()))
    })
    .await
}

/// Owed, on hold, at the bank: not yet. Settled and paid: closed. And then it is paid
/// no more, and gives nothing back that it no longer has.
#[tokio::test(flavor = "multi_thread")]
async fn a_franchise_is_closed_when_it_is_settled() -> anyhow::Result<()> {
    let world = World::begin().await?;
    let bank = world.banks(&[BANK]).await?;
    let client = Client::new(&world);
    client.accepts().await?;
    let member = world.members(1, 100_000).await?[0];
    let franchise = world.franchise(250).await?;
    let account = world.receiver(&bank, BANK).await?;
    world.register(franchise, &account, HOLDER).await?;
    for flow in ["payment", "settlement", "firmbanking", "closing"] {
        world.consume(flow)?;
    }
    let before = world.ends(Flow::Payment.result_topic())?;
    let mut asked = Asked::default();
    let paid = payment(member, franchise, "order", 40_000);
    asked.add(&paid.message_id, Must::Complete);
    world.send([world.message(Flow::Payment, &paid)?]).await?;
    world.drained(Flow::Payment, LONG).await?;
    let path = format!("/members/{franchise}/closing");
    let ask = async || -> anyhow::Result<serde_json::Value> {
        let id = key();
        let (status, answer) = client
            .post(&path, &id, &json!({ "reason": "the shop is sold" }))
            .await?;
        ensure!(status == StatusCode::ACCEPTED, "{status} {answer}");
        client.done(&id).await
    };
    let answer = ask().await?;
    ensure!(answer["reason"] == "franchise_not_settled", "{answer}");
    let hold = json!({ "reason": "disputed" });
    client
        .post(&format!("/franchises/{franchise}/holds"), &key(), &hold)
        .await?;
    let answer = ask().await?;
    ensure!(answer["reason"] == "franchise_on_hold", "{answer}");
    client
        .post(
            &format!("/franchises/{franchise}/holds/release"),
            &key(),
            &hold,
        )
        .await?;
    world.kill_bank().await?;
    let run = key();
    let body = json!({ "cut_at": chrono::Utc::now().to_rfc3339(), "franchise_id": franchise });
    let (status, answer) = client.post("/settlements", &run, &body).await?;
    ensure!(status == StatusCode::ACCEPTED, "{status} {answer}");
    client.done(&run).await?;
    let answer = ask().await?;
    ensure!(answer["reason"] == "payout_pending", "{answer}");
    world.bank().await?;
    eventually("the payout", LONG, async || {
        world.all_live()?;
        let open: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM settlement.payout WHERE franchise_id = $1 AND state <> 'COMPLETED'",
        )
        .bind(franchise)
        .fetch_one(&world.pool)
        .await?;
        Ok((open == 0).then_some(()))
    })
    .await?;
    let answer = ask().await?;
    ensure!(answer["outcome"] == "COMPLETED", "{answer}");
    stands(&world, franchise, &standing("CLOSED", 0, 0, 0)).await?;

    let late = payment(member, franchise, "order", 1_000);
    let back = cancel(&paid, 0);
    asked.add(&late.message_id, Must::BeRejected("unknown_franchise"));
    asked.add(&back.message_id, Must::BeRejected("franchise_closed"));
    world
        .send([
            world.message(Flow::Payment, &late)?,
            world.message(Flow::Payment, &back)?,
        ])
        .await?;
    world.drained(Flow::Payment, LONG).await?;
    let answers = world
        .results_of(Flow::Payment, &before, &asked.ids())
        .await?;
    asked.are_answered_once(&answers)?;
    ensure!(world.balances(&[member]).await?[&member] == 60_000);
    world.audit_is_clean_as_it_is().await
}

/// The contract ends while a payout waits: the member is open again with all the
/// money. Without one from the beginning, the closing is not begun.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_contract_nobody_is_paid_out_and_nothing_is_lost() -> anyhow::Result<()> {
    let world = World::begin().await?;
    let bank = world.banks(&[BANK]).await?;
    let others = world.only_contract(BANK).await?;
    let before = world.ends(Flow::Closing.result_topic())?;
    let (member, account) = world.leavers(&bank, BANK, 1, 70_000).await?.remove(0);
    world.consume("closing")?;
    let mut asked = Asked::default();
    let mut ask = async |must: Must| -> anyhow::Result<()> {
        let request = closing(member);
        asked.add(&request.message_id, must);
        world
            .send([world.message(Flow::Closing, &request)?])
            .await?;
        Ok(())
    };
    ask(Must::BeRejected("no_contract")).await?;
    stands(&world, member, &standing("CLOSING", 0, 0, 0)).await?;
    world.suspend(BANK).await?;
    world.consume("firmbanking")?;
    stands(&world, member, &standing("OPEN", 70_000, 0, 0)).await?;
    ask(Must::BeRejected("no_contract")).await?;
    world.drained(Flow::Closing, LONG).await?;
    stands(&world, member, &standing("OPEN", 70_000, 0, 0)).await?;
    world.contracts_in_force(&[BANK.to_owned()]).await?;
    ask(Must::Complete).await?;
    stands(&world, member, &standing("CLOSED", 0, 0, 70_000)).await?;
    ensure!(world.at_banks(&[account]).await? == 70_000);
    world.contracts_in_force(&others).await?;
    let answers = world
        .results_of(Flow::Closing, &before, &asked.ids())
        .await?;
    asked.are_answered_once(&answers)?;
    world.audit_is_clean_as_it_is().await
}
