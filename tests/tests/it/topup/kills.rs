//! Consumers that are killed, again and again, while top-ups flow.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::ensure;
use mypay_bank::dummy::Dial;
use mypay_schemas::payment::PaymentRequest;
use mypay_schemas::remittance::RemittanceRequest;
use mypay_schemas::{Flow, ResultStatus};
use mypay_tests::World;
use mypay_tests::banks::HOLDER;
use mypay_tests::requests::{payment, payout, remittance};

use super::{AT_BANK, BANK, Setting, completed, ids, pay, receiver, rejected, remit};
use crate::day::{LONG, seeded};

const MEMBERS: usize = 50;
const KILLS: usize = 12;
/// What each request takes of the balance, a payout's fee of 500 counted in.
const EACH: i64 = 10_000;

/// Two hundred top-ups, and each consumer killed three times in their midst, at
/// random moments; the bank loses answers meanwhile. Each request comes to its one
/// result. A member's requests may be faster than one another and live on each
/// other's top-ups; but a won that was topped up is spent once, or is still there.
#[tokio::test(flavor = "multi_thread")]
async fn kills_at_any_step_lose_no_top_up_and_do_none_twice() -> anyhow::Result<()> {
    let world = World::begin().await?;
    let bank = world.banks(&[BANK]).await?;
    let mut dial = Dial {
        latency_ms: 100,
        ..Dial::default()
    };
    for fault in ["lost_answer=0.1", "error_after=0.1", "in_progress=0.1"] {
        dial.set(fault).map_err(anyhow::Error::msg)?;
    }
    world.dial(&bank, dial).await?;
    let to = world.receiver(&bank, BANK).await?;
    let franchise = world.franchise(250).await?;
    let members = world.members(MEMBERS, 0).await?;
    let friend = world.members(1, 0).await?[0];
    world.open_accounts(&bank, BANK, &members, AT_BANK).await?;
    let remitted = world.ends(Flow::Remittance.result_topic())?;
    let paid = world.ends(Flow::Payment.result_topic())?;
    let mut consumers = ["remittance", "payment", "recharge", "firmbanking"]
        .map(|flow| world.consume(flow))
        .into_iter()
        .collect::<anyhow::Result<Vec<_>>>()?;

    let mut remittances: Vec<RemittanceRequest> = Vec::new();
    let mut payments: Vec<PaymentRequest> = Vec::new();
    for (number, member) in members.iter().enumerate() {
        remittances.push(remittance(*member, friend, EACH));
        remittances.push(payout(*member, receiver(&to, HOLDER), EACH - 500));
        for order in 0..2 {
            let order_ref = format!("order-{number}-{order}");
            payments.push(payment(*member, franchise, &order_ref, EACH));
        }
    }
    let mut rng = seeded();
    let sending = async {
        for (remittances, payments) in remittances.chunks(10).zip(payments.chunks(10)) {
            remit(&world, remittances).await?;
            pay(&world, payments).await?;
            tokio::time::sleep(Duration::from_millis(1_500)).await;
        }
        anyhow::Ok(())
    };
    let killing = async {
        for kill in 0..KILLS {
            tokio::time::sleep(Duration::from_millis(rng.u64(500..2_000))).await;
            let place = kill % consumers.len();
            world.kill(&consumers[place]).await?;
            consumers[place] = world.again(&consumers[place])?;
        }
        anyhow::Ok(())
    };
    let (sent, killed) = tokio::join!(sending, killing);
    sent?;
    killed?;
    let asked = ids(remittances.iter().map(|it| &it.message_id))?;
    world.await_done(Flow::Remittance, &asked, LONG).await?;
    let asked = ids(payments.iter().map(|it| &it.message_id))?;
    world.await_done(Flow::Payment, &asked, LONG).await?;
    world.dial(&bank, Dial::default()).await?;
    let [remittance, payment, recharge, firmbanking] = &consumers[..] else {
        anyhow::bail!("four consumers")
    };
    world.drained(Flow::Remittance, LONG).await?;
    world.drained(Flow::Payment, LONG).await?;
    // No settlement consumer runs: what lies before it is waited for by nobody.
    world.audit_is_clean_as_it_is().await?;

    let setting = Setting {
        bank,
        consumers: remittance.clone(),
        remitted,
        paid,
    };
    let mut told = setting.remitted(&world).await?;
    told.extend(setting.paid(&world).await?);
    ensure!(told.len() == 4 * MEMBERS, "{} results", told.len());
    let by_sender = remittances.iter().map(|it| (&it.message_id, &it.sender_id));
    let by_payer = payments.iter().map(|it| (&it.message_id, &it.member_id));
    let mut left: HashMap<&str, i64> = HashMap::new();
    for (request, member) in by_sender.chain(by_payer) {
        let told = &told[request];
        let allowed = [
            completed(EACH),
            completed(0),
            rejected("insufficient_funds", EACH),
        ];
        ensure!(allowed.contains(told), "{request} came to {told:?}");
        let spent = if told.0 == ResultStatus::Completed {
            EACH
        } else {
            0
        };
        *left.entry(member).or_default() += told.2 - spent;
    }
    let balances = world.balances(&members).await?;
    for member in &members {
        let left = left[&*member.to_string()];
        ensure!(
            balances[member] == left,
            "{member} has {}, not {left}",
            balances[member]
        );
    }
    let recharged = told.values().filter(|told| told.2 == EACH).count();
    eprintln!("{recharged} of {} requests were topped up", told.len());
    ensure!(recharged > 2 * MEMBERS, "{recharged} top-ups test little");
    for consumer in [remittance, payment, recharge, firmbanking] {
        world.stop(consumer).await?;
    }
    Ok(())
}
