//! Recharges of a member who has next to no room left under the cap.

use std::sync::atomic::{AtomicI64, Ordering};

use anyhow::ensure;
use mypay_bank::dummy::Dial;
use mypay_schemas::Flow;
use mypay_schemas::ResultStatus;
use mypay_schemas::firmbanking::{PURPOSE_RECHARGE, id_of_command};
use mypay_schemas::recharge::RechargeResult;
use mypay_tests::requests::recharge;
use mypay_tests::topic::Offsets;
use mypay_tests::{World, eventually};
use uuid::Uuid;

use crate::day::LONG;

const BANK: &str = "004";
const CAP: i64 = 2_000_000;
const BEGIN: i64 = 1_950_000;
const EACH: i64 = 10_000;
const ASKED: usize = 50;
/// As many as fill the cap to the won.
const FIT: usize = 5;

/// Fifty at once, of which five fit. The bank takes its time, so that all are decided
/// while none is credited: those five are reserved, and no other ever gets to the bank,
/// so that nothing has to be given back.
#[tokio::test(flavor = "multi_thread")]
async fn of_fifty_recharges_at_once_near_the_cap_those_that_fit_are_taken() -> anyhow::Result<()> {
    let world = World::begin().await?;
    let bank = world.banks(&[BANK]).await?;
    let slow = Dial {
        latency_ms: 2_000,
        ..Dial::default()
    };
    world.dial(&bank, slow).await?;
    let member = world.members(1, BEGIN).await?;
    let at_bank = ASKED as i64 * EACH;
    world.open_accounts(&bank, BANK, &member, at_bank).await?;
    let before = world.ends(Flow::Recharge.result_topic())?;
    let consumers = world.start("all", &["consume", "all"])?;
    let requests: Vec<_> = (0..ASKED).map(|_| recharge(member[0], EACH)).collect();
    let ids: Vec<Uuid> = requests
        .iter()
        .map(|request| Uuid::try_parse(&request.message_id))
        .collect::<Result<_, _>>()?;
    let messages = requests
        .iter()
        .map(|request| world.message(Flow::Recharge, request))
        .collect::<Result<Vec<_>, _>>()?;
    world.send(messages).await?;
    let most = held_at_the_most(&world, member[0], &ids).await?;
    ensure!(most == CAP, "{most} won held and reserved at the most");

    let taken = taken(&world, &before).await?;
    ensure!(taken.len() == FIT, "{taken:?} were taken");
    executed(&world, &ids, &taken).await?;
    ensure!(world.balances(&member).await?[&member[0]] == CAP);
    let left: i64 = sqlx::query_scalar(
        "SELECT a.balance FROM dummy_bank.account a
           JOIN banking.registered_account r
             ON r.bank_code = a.bank_code AND r.account_number = a.account_number
          WHERE r.member_id = $1",
    )
    .bind(member[0])
    .fetch_one(&world.pool)
    .await?;
    ensure!(left == at_bank - FIT as i64 * EACH, "{left} won are left");
    world.dial(&bank, Dial::default()).await?;
    world.audit_is_clean().await?;
    world.stop(&consumers).await
}

/// The most that a member had, with what was reserved, until all recharges were done.
async fn held_at_the_most(world: &World, member: Uuid, ids: &[Uuid]) -> anyhow::Result<i64> {
    let most = AtomicI64::new(0);
    eventually("fifty answers", LONG, async || {
        world.all_live()?;
        let held: i64 =
            sqlx::query_scalar("SELECT balance + pending FROM money.account WHERE account_id = $1")
                .bind(member)
                .fetch_one(&world.pool)
                .await?;
        most.fetch_max(held, Ordering::Relaxed);
        let done = world.statuses("recharge", ids).await?;
        Ok((done.get("done") == Some(&(ids.len() as i64))).then_some(()))
    })
    .await?;
    world.drained(Flow::Recharge, LONG).await?;
    Ok(most.into_inner())
}

/// The recharges that completed; all others must be told once that they pass the cap.
async fn taken(world: &World, before: &Offsets) -> anyhow::Result<Vec<Uuid>> {
    let topic = Flow::Recharge.result_topic();
    let results: Vec<RechargeResult> = world.decoded(topic, before).await?;
    ensure!(results.len() == ASKED, "{} results", results.len());
    let mut taken = Vec::new();
    for result in results {
        match result.status {
            ResultStatus::Completed => taken.push(Uuid::try_parse(&result.request_id)?),
            ResultStatus::Rejected => ensure!(
                result.reason.as_deref() == Some("balance_cap_exceeded"),
                "{result:?}"
            ),
        }
    }
    taken.sort_unstable();
    Ok(taken)
}

/// The bank has done these, and was asked for none of the others; none came back.
async fn executed(world: &World, ids: &[Uuid], taken: &[Uuid]) -> anyhow::Result<()> {
    let commands = |ids: &[Uuid]| -> Vec<Uuid> {
        let mut commands: Vec<Uuid> = ids
            .iter()
            .map(|id| id_of_command(PURPOSE_RECHARGE, *id))
            .collect();
        commands.sort_unstable();
        commands
    };
    let asked: Vec<(Uuid, Option<String>, bool)> = sqlx::query_as(
        "SELECT f.firmbanking_id, t.status,
                EXISTS (SELECT 1 FROM banking.reversal r
                         WHERE r.firmbanking_id = f.firmbanking_id)
           FROM banking.firmbanking f
           LEFT JOIN dummy_bank.transfer t
             ON t.bank_code = f.from_bank AND t.business_date = f.business_date
            AND t.number = f.transaction_number
          WHERE f.firmbanking_id = ANY($1) ORDER BY f.firmbanking_id",
    )
    .bind(commands(ids))
    .fetch_all(&world.pool)
    .await?;
    let must_be: Vec<_> = commands(taken)
        .into_iter()
        .map(|command| (command, Some("done".to_owned()), false))
        .collect();
    ensure!(asked == must_be, "{asked:?}, not {must_be:?}");
    Ok(())
}
