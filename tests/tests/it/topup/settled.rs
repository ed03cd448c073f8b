//! Settlements while payments wait for their top-ups and go on.

use anyhow::ensure;
use mypay_bank::dummy::Dial;
use mypay_schemas::Flow;
use mypay_schemas::payment::PaymentRequest;
use mypay_tests::World;
use mypay_tests::requests::payment;

use super::{AT_BANK, BANK, Setting, completed, ids, pay};
use crate::day::LONG;

const PAYMENTS: usize = 60;
const EACH: i64 = 20_000;

/// Run after run is cut while payments go on that were topped up: each slip is in
/// one run, whatever offset its payment was asked for at.
#[tokio::test(flavor = "multi_thread")]
async fn what_goes_on_between_two_cuts_is_settled_once() -> anyhow::Result<()> {
    let world = World::begin().await?;
    let setting = Setting::begin(&world).await?;
    let slow = Dial {
        latency_ms: 400,
        ..Dial::default()
    };
    world.dial(&setting.bank, slow).await?;
    let franchise = world.franchise(250).await?;
    let members = world.members(PAYMENTS, 0).await?;
    world
        .open_accounts(&setting.bank, BANK, &members, AT_BANK)
        .await?;
    let requests: Vec<PaymentRequest> = members
        .iter()
        .enumerate()
        .map(|(number, member)| payment(*member, franchise, &format!("order-{number}"), EACH))
        .collect();
    let mut cuts = 0;
    for some in requests.chunks(10) {
        pay(&world, some).await?;
        settle(&world).await?;
        cuts += 1;
    }
    let asked = ids(requests.iter().map(|it| &it.message_id))?;
    while world.statuses("payment", &asked).await?.get("done") != Some(&(PAYMENTS as i64)) {
        world.all_live()?;
        settle(&world).await?;
        cuts += 1;
        ensure!(cuts < 200, "the payments do not come to their end");
    }
    settle(&world).await?;
    world.drained(Flow::Payment, LONG).await?;
    let told = setting.paid(&world).await?;
    ensure!(
        told.len() == PAYMENTS && told.values().all(|told| *told == completed(EACH)),
        "{told:?}"
    );
    let (runs, slips, gross): (i64, i64, i64) = sqlx::query_as(
        "SELECT count(*) FILTER (WHERE slips > 0), sum(slips)::bigint, sum(gross)::bigint
           FROM settlement.payout WHERE franchise_id = $1",
    )
    .bind(franchise)
    .fetch_one(&world.pool)
    .await?;
    eprintln!("{cuts} cuts, {runs} runs with slips");
    ensure!(
        (slips, gross) == (PAYMENTS as i64, PAYMENTS as i64 * EACH) && runs > 1,
        "{runs} runs, {slips} slips, {gross} won"
    );
    world.dial(&setting.bank, Dial::default()).await?;
    world.audit_is_clean().await?;
    world.stop(&setting.consumers).await
}

async fn settle(world: &World) -> anyhow::Result<()> {
    let output = world.mypay(&["settle", "--wait", "60"]).await?;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
