//! Remittances and payments that recharge first what they lack.

mod again;
mod cancelled;
mod forged;
mod kills;
mod settled;
mod unknown;

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};

use anyhow::{Context, ensure};
use mypay_bank::BankClient;
use mypay_schemas::firmbanking::BankAccount;
use mypay_schemas::payment::{PaymentRequest, PaymentResult};
use mypay_schemas::remittance::{BankReceiver, RemittanceRequest, RemittanceResult};
use mypay_schemas::{Flow, ResultStatus};
use mypay_tests::banks::HOLDER;
use mypay_tests::requests::{payment, payout, remittance};
use mypay_tests::topic::Offsets;
use mypay_tests::{Program, World};
use uuid::Uuid;

use crate::day::LONG;

/// Where members are topped up from, and payouts come from.
const BANK: &str = "004";
/// What a member's bank account holds.
const AT_BANK: i64 = 3_000_000;

/// What a request came to: its status, reason, and what was topped up.
type Told = (ResultStatus, Option<String>, i64);

fn completed(topped_up: i64) -> Told {
    (ResultStatus::Completed, None, topped_up)
}

fn rejected(reason: &str, topped_up: i64) -> Told {
    (ResultStatus::Rejected, Some(reason.to_owned()), topped_up)
}

/// A bank, all consumers, and where the results began.
struct Setting {
    bank: BankClient,
    consumers: Program,
    remitted: Offsets,
    paid: Offsets,
}

impl Setting {
    async fn begin(world: &World) -> anyhow::Result<Self> {
        let bank = world.banks(&[BANK]).await?;
        Ok(Self {
            bank,
            consumers: world.start("all", &["consume", "all"])?,
            remitted: world.ends(Flow::Remittance.result_topic())?,
            paid: world.ends(Flow::Payment.result_topic())?,
        })
    }

    /// What remittances came to, by their ids; fails where one was told twice.
    async fn remitted(&self, world: &World) -> anyhow::Result<HashMap<String, Told>> {
        let topic = Flow::Remittance.result_topic();
        let results: Vec<RemittanceResult> = world.decoded(topic, &self.remitted).await?;
        once(results.into_iter().map(|it| {
            let told = (it.status, it.reason, it.topped_up);
            (it.request_id, told)
        }))
    }

    /// What payments came to, by their ids; fails where one was told twice.
    async fn paid(&self, world: &World) -> anyhow::Result<HashMap<String, Told>> {
        let topic = Flow::Payment.result_topic();
        let results: Vec<PaymentResult> = world.decoded(topic, &self.paid).await?;
        once(results.into_iter().map(|it| {
            let told = (it.status, it.reason, it.topped_up);
            (it.request_id, told)
        }))
    }
}

fn once(results: impl Iterator<Item = (String, Told)>) -> anyhow::Result<HashMap<String, Told>> {
    let mut told = HashMap::new();
    for (id, result) in results {
        ensure!(
            told.insert(id.clone(), result).is_none(),
            "{id} has two results"
        );
    }
    Ok(told)
}

fn id(message_id: &str) -> anyhow::Result<Uuid> {
    Uuid::try_parse(message_id).context("a message's id")
}

fn ids<'a>(messages: impl IntoIterator<Item = &'a String>) -> anyhow::Result<Vec<Uuid>> {
    messages.into_iter().map(|message| id(message)).collect()
}

fn receiver(account: &BankAccount, holder_name: &str) -> BankReceiver {
    BankReceiver {
        bank_code: account.bank_code.clone(),
        account_number: account.account_number.clone(),
        holder_name: holder_name.to_owned(),
    }
}

async fn remit(world: &World, requests: &[RemittanceRequest]) -> anyhow::Result<()> {
    let messages = requests
        .iter()
        .map(|request| world.message(Flow::Remittance, request))
        .collect::<Result<Vec<_>, _>>()?;
    world.send(messages).await?;
    Ok(())
}

async fn pay(world: &World, requests: &[PaymentRequest]) -> anyhow::Result<()> {
    let messages = requests
        .iter()
        .map(|request| world.message(Flow::Payment, request))
        .collect::<Result<Vec<_>, _>>()?;
    world.send(messages).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_remittance_recharges_what_it_lacks_and_is_told_once() -> anyhow::Result<()> {
    let world = World::begin().await?;
    let setting = Setting::begin(&world).await?;
    let to = world.receiver(&setting.bank, BANK).await?;
    let members = world.members(6, 3_000).await?;
    let poor = world.members(2, 3_000).await?;
    let friend = world.members(1, 0).await?[0];
    world
        .open_accounts(&setting.bank, BANK, &members, AT_BANK)
        .await?;
    // Of these one has an account with next to nothing on it, the other none.
    world
        .open_accounts(&setting.bank, BANK, &poor[..1], 9_999)
        .await?;

    // Shortage 12,000; in all 20,000 + 3,000 - 15,000 are left.
    let to_member = remittance(members[0], friend, 15_000);
    // With the fee of 500 just over a step: 7,000 + 500 - 3,000 = 4,500.
    let to_bank = payout(members[1], receiver(&to, HOLDER), 7_000);
    let cases = [
        (to_member.clone(), completed(20_000), 8_000),
        (to_bank, completed(10_000), 5_500),
        // The bank finds another holder after the top-up: the money stays.
        (
            payout(members[2], receiver(&to, "이두리"), 20_000),
            rejected("holder_mismatch", 20_000),
            23_000,
        ),
        // The cap and a fee: with 3,000 there, 1,997,500 are short.
        (
            payout(members[3], receiver(&to, HOLDER), 2_000_000),
            rejected("balance_cap_exceeded", 0),
            3_000,
        ),
        // Enough is there: nothing is recharged.
        (remittance(members[4], friend, 3_000), completed(0), 0),
        // What fails for another reason is not topped up.
        (
            remittance(members[5], members[5], 9_000),
            rejected("same_member", 0),
            3_000,
        ),
        (
            remittance(poor[0], friend, 9_000),
            rejected("top_up_refused", 0),
            3_000,
        ),
        (
            remittance(poor[1], friend, 9_000),
            rejected("insufficient_funds", 0),
            3_000,
        ),
    ];
    let requests: Vec<RemittanceRequest> = cases.iter().map(|(it, _, _)| it.clone()).collect();
    remit(&world, &requests).await?;
    let asked = ids(requests.iter().map(|it| &it.message_id))?;
    world.await_done(Flow::Remittance, &asked, LONG).await?;
    // The same once more: a duplicate, for the request as for its recharge.
    remit(&world, &[to_member]).await?;
    world.drained(Flow::Remittance, LONG).await?;

    let told = setting.remitted(&world).await?;
    for (request, expected, left) in &cases {
        let told = told.get(&request.message_id);
        ensure!(told == Some(expected), "{request:?} came to {told:?}");
        let sender = id(&request.sender_id)?;
        let balance = world.balances(&[sender]).await?[&sender];
        ensure!(balance == *left, "{request:?} leaves {balance}");
    }
    ensure!(told.len() == cases.len(), "{told:?}");
    world.audit_is_clean().await?;
    world.stop(&setting.consumers).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_recharges_what_it_lacks_and_is_told_once() -> anyhow::Result<()> {
    let world = World::begin().await?;
    let setting = Setting::begin(&world).await?;
    let franchise = world.franchise(250).await?;
    let members = world.members(5, 1_000).await?;
    let (poor, none) = (members[3], members[4]);
    world
        .open_accounts(&setting.bank, BANK, &members[..3], AT_BANK)
        .await?;
    world
        .open_accounts(&setting.bank, BANK, &[poor], 500)
        .await?;
    // 4,000 are short, and 10,000 the least; 59,000 are short; the third finds its
    // own shortage, with nothing left of the 1,000 that the second takes.
    let cases = [
        (members[0], 5_000, completed(10_000)),
        (members[1], 60_000, completed(59_000)),
        (members[1], 60_000, completed(60_000)),
        (members[2], 1_000, completed(0)),
        (poor, 5_000, rejected("top_up_refused", 0)),
        (none, 5_000, rejected("insufficient_funds", 0)),
    ];
    let requests: Vec<PaymentRequest> = cases
        .iter()
        .enumerate()
        .map(|(number, (member, amount, _))| {
            payment(*member, franchise, &format!("order-{number}"), *amount)
        })
        .collect();
    pay(&world, &requests).await?;
    let asked = ids(requests.iter().map(|it| &it.message_id))?;
    world.await_done(Flow::Payment, &asked, LONG).await?;
    pay(&world, &requests[..2]).await?;
    world.drained(Flow::Payment, LONG).await?;
    let told = setting.paid(&world).await?;
    for (request, (_, _, expected)) in requests.iter().zip(&cases) {
        let told = told.get(&request.message_id);
        ensure!(told == Some(expected), "{request:?} came to {told:?}");
    }
    ensure!(told.len() == cases.len(), "{told:?}");
    let balances = world.balances(&members).await?;
    let left: Vec<i64> = members.iter().map(|member| balances[member]).collect();
    ensure!(left == [6_000, 0, 0, 1_000, 1_000], "{left:?}");
    world.audit_is_clean().await?;
    world.stop(&setting.consumers).await
}

/// Fifty at once of a member whose cap bears twenty.
#[tokio::test(flavor = "multi_thread")]
async fn fifty_top_ups_at_once_do_not_pass_the_cap_together() -> anyhow::Result<()> {
    const EACH: i64 = 100_000;
    const CAP: i64 = 2_000_000;
    let world = World::begin().await?;
    let setting = Setting::begin(&world).await?;
    let slow = mypay_bank::dummy::Dial {
        latency_ms: 2_000,
        ..Default::default()
    };
    world.dial(&setting.bank, slow).await?;
    let franchise = world.franchise(250).await?;
    let member = world.members(1, 0).await?;
    world
        .open_accounts(&setting.bank, BANK, &member, 100_000_000)
        .await?;
    let requests: Vec<PaymentRequest> = (0..50)
        .map(|number| payment(member[0], franchise, &format!("order-{number}"), EACH))
        .collect();
    pay(&world, &requests).await?;
    let asked = ids(requests.iter().map(|it| &it.message_id))?;
    let most = AtomicI64::new(0);
    mypay_tests::eventually("fifty answers", LONG, async || {
        world.all_live()?;
        let held: i64 =
            sqlx::query_scalar("SELECT balance + pending FROM money.account WHERE account_id = $1")
                .bind(member[0])
                .fetch_one(&world.pool)
                .await?;
        most.fetch_max(held, Ordering::Relaxed);
        let done = world.statuses("payment", &asked).await?;
        Ok((done.get("done") == Some(&50)).then_some(()))
    })
    .await?;
    world.drained(Flow::Payment, LONG).await?;
    let told = setting.paid(&world).await?;
    let granted = told.values().filter(|told| **told == completed(EACH));
    let granted = granted.count();
    let refused = rejected("balance_cap_exceeded", 0);
    let refused = told.values().filter(|told| **told == refused).count();
    ensure!(granted + refused == 50, "{told:?}");
    let most = most.into_inner();
    ensure!(
        granted >= 20 && refused > 0 && most <= CAP,
        "{granted} granted, {refused} refused, {most} won held at the most"
    );
    ensure!(world.balances(&member).await?[&member[0]] == 0);
    world.dial(&setting.bank, Default::default()).await?;
    world.audit_is_clean().await?;
    world.stop(&setting.consumers).await
}
