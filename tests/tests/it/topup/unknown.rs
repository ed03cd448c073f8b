//! Top-ups whose bank does not say what became of them; and money that is gone
//! before its request goes on.

use anyhow::{Context, ensure};
use mypay_bank::dummy::Dial;
use mypay_schemas::Flow;
use mypay_schemas::recharge::id_of_top_up;
use mypay_tests::World;
use mypay_tests::banks::HOLDER;
use mypay_tests::requests::{payment, payout, remittance};
use mypay_tests::wait::eventually;

use super::{AT_BANK, BANK, Setting, completed, id, ids, pay, receiver, rejected, remit};
use crate::day::LONG;
use crate::over_http::Client;

/// Every answer of the bank is lost, or says "in progress": both requests wait, and
/// say for what, until an inquiry tells: done of the one, refused of the other.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_bank_does_not_say_is_waited_for() -> anyhow::Result<()> {
    let world = World::begin().await?;
    let setting = Setting::begin(&world).await?;
    let mut dial = Dial {
        in_progress_ms: 12_000,
        ..Dial::default()
    };
    dial.set("in_progress=1").map_err(anyhow::Error::msg)?;
    world.dial(&setting.bank, dial).await?;
    let franchise = world.franchise(250).await?;
    let members = world.members(3, 0).await?;
    let (rich, poor) = (members[0], members[1]);
    world
        .open_accounts(&setting.bank, BANK, &[rich], AT_BANK)
        .await?;
    world
        .open_accounts(&setting.bank, BANK, &[poor], 10)
        .await?;
    let remitted = [
        remittance(rich, members[2], 40_000),
        remittance(poor, members[2], 40_000),
    ];
    let paid = [
        payment(rich, franchise, "order-1", 40_000),
        payment(poor, franchise, "order-2", 40_000),
    ];
    remit(&world, &remitted).await?;
    pay(&world, &paid).await?;
    let remittances = ids(remitted.iter().map(|it| &it.message_id))?;
    let payments = ids(paid.iter().map(|it| &it.message_id))?;
    let client = Client::new(&world);
    for (flow, request) in [
        (Flow::Remittance, &remitted[0].message_id),
        (Flow::Payment, &paid[1].message_id),
    ] {
        let recharge = id_of_top_up(flow, id(request)?);
        eventually("a request that waits for its top-up", LONG, async || {
            let state = client.get(&format!("/requests/{request}")).await?;
            let waits = &state["waits_for"];
            // First the recharge is asked for; then its command is at the bank.
            let at_bank = waits["command"]["state"] == "unknown";
            Ok((waits["step"] == "top_up" && at_bank).then_some(()))
        })
        .await?;
        let state = client.get(&format!("/requests/{recharge}")).await?;
        ensure!(state["status"] == "processing", "{state}");
    }
    let waiting = world.balances(&members).await?;
    ensure!(waiting.values().all(|won| *won == 0), "{waiting:?}");

    world
        .await_done(Flow::Remittance, &remittances, LONG)
        .await?;
    world.await_done(Flow::Payment, &payments, LONG).await?;
    world.dial(&setting.bank, Dial::default()).await?;
    world.audit_is_clean().await?;
    let refused = rejected("top_up_refused", 0);
    let told = setting.remitted(&world).await?;
    ensure!(
        told[&remitted[0].message_id] == completed(40_000),
        "{told:?}"
    );
    ensure!(told[&remitted[1].message_id] == refused, "{told:?}");
    let told = setting.paid(&world).await?;
    ensure!(told[&paid[0].message_id] == completed(40_000), "{told:?}");
    ensure!(told[&paid[1].message_id] == refused, "{told:?}");
    let balances = world.balances(&members).await?;
    ensure!(
        balances[&rich] == 0 && balances[&poor] == 0 && balances[&members[2]] == 40_000,
        "{balances:?}"
    );
    world.stop(&setting.consumers).await
}

/// The recharge is there, and before its payment goes on somebody remits the money
/// away: the payment is rejected, says what was topped up, and what is left stays.
#[tokio::test(flavor = "multi_thread")]
async fn money_that_is_gone_when_its_payment_goes_on_is_not_taken_twice() -> anyhow::Result<()> {
    let world = World::begin().await?;
    let bank = world.banks(&[BANK]).await?;
    let franchise = world.franchise(250).await?;
    let members = world.members(2, 0).await?;
    world
        .open_accounts(&bank, BANK, &members[..1], AT_BANK)
        .await?;
    let remitted_before = world.ends(Flow::Remittance.result_topic())?;
    let paid_before = world.ends(Flow::Payment.result_topic())?;
    let payments = world.consume("payment")?;
    let paid = payment(members[0], franchise, "order-1", 20_000);
    pay(&world, std::slice::from_ref(&paid)).await?;
    let payment_id = id(&paid.message_id)?;
    world
        .await_top_ups(Flow::Payment, &[payment_id], 1, LONG)
        .await?;
    world.drained(Flow::Payment, LONG).await?;
    world.stop(&payments).await?;
    let others = world.start("others", &["consume", "recharge", "firmbanking"])?;
    let recharge_id = id_of_top_up(Flow::Payment, payment_id);
    world
        .await_done(Flow::Recharge, &[recharge_id], LONG)
        .await?;
    let remittances = world.consume("remittance")?;
    let remitted = remittance(members[0], members[1], 15_000);
    remit(&world, std::slice::from_ref(&remitted)).await?;
    world
        .await_done(Flow::Remittance, &[id(&remitted.message_id)?], LONG)
        .await?;
    let payments = world.again(&payments)?;
    world.await_done(Flow::Payment, &[payment_id], LONG).await?;
    world.drained(Flow::Payment, LONG).await?;
    world.audit_is_clean_as_it_is().await?;
    let setting = Setting {
        bank,
        consumers: payments,
        remitted: remitted_before,
        paid: paid_before,
    };
    let told = setting.paid(&world).await?;
    let expected = rejected("insufficient_funds", 20_000);
    ensure!(told.get(&paid.message_id) == Some(&expected), "{told:?}");
    let told = setting.remitted(&world).await?;
    ensure!(
        told.get(&remitted.message_id) == Some(&completed(0)),
        "{told:?}"
    );
    let balances = world.balances(&members).await?;
    ensure!(
        balances[&members[0]] == 5_000 && balances[&members[1]] == 15_000,
        "{balances:?}"
    );
    world.stop(&remittances).await?;
    world.stop(&others).await?;
    world.stop(&setting.consumers).await
}

/// A remittance that was topped up is paid out, and its payout comes back later:
/// the amount is the sender's again, and stays one: the recharge is not undone.
#[tokio::test(flavor = "multi_thread")]
async fn a_payout_that_was_topped_up_and_comes_back_is_the_sender_s() -> anyhow::Result<()> {
    let world = World::begin().await?;
    let setting = Setting::begin(&world).await?;
    // Paid from one bank to another, else no bank undoes it.
    world.suspend("020").await?;
    let mut dial = Dial {
        reversal_ms: 2_000,
        ..Dial::default()
    };
    dial.set("late_reversal=1").map_err(anyhow::Error::msg)?;
    world.dial(&setting.bank, dial).await?;
    let to = world.receiver(&setting.bank, "020").await?;
    let sender = world.members(1, 4_000).await?;
    world
        .open_accounts(&setting.bank, BANK, &sender, AT_BANK)
        .await?;
    let asked = payout(sender[0], receiver(&to, HOLDER), 10_000);
    remit(&world, std::slice::from_ref(&asked)).await?;
    let asked_id = id(&asked.message_id)?;
    world
        .await_done(Flow::Remittance, &[asked_id], LONG)
        .await?;
    eventually("the payout to come back", LONG, async || {
        world.all_live()?;
        let back: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM remittance.payout
              WHERE remittance_id = $1 AND reversed_at IS NOT NULL",
        )
        .bind(asked_id)
        .fetch_one(&world.pool)
        .await?;
        Ok((back == 1).then_some(()))
    })
    .await?;
    world.audit_is_clean().await?;
    let told = setting.remitted(&world).await?;
    let told = told.get(&asked.message_id).context("a result")?;
    ensure!(*told == completed(10_000), "{told:?}");
    // 4,000 and 10,000 recharged, less the fee of 500, which is kept.
    let balance = world.balances(&sender).await?[&sender[0]];
    ensure!(balance == 13_500, "{balance}");
    world.dial(&setting.bank, Dial::default()).await?;
    sqlx::query("UPDATE banking.contract SET status = 'ACTIVE'")
        .execute(&world.pool)
        .await?;
    world.stop(&setting.consumers).await
}
