//! Payouts that a bank had done, and undoes later.

use std::collections::{BTreeMap, HashSet};

use anyhow::{Context, ensure};
use mypay_bank::dummy::Dial;
use mypay_decide::AccountKind;
use mypay_decide::account::bank_owner;
use mypay_schemas::Flow;
use mypay_schemas::decoder::Decoder;
use mypay_schemas::firmbanking::{PURPOSE_REMITTANCE, id_of_command};
use mypay_schemas::remittance::BankReceiver;
use mypay_schemas::reversal::{
    FIRMBANKING_REVERSAL, FirmbankingReversal, REMITTANCE_REVERSAL, RemittanceReversal, reversal_id,
};
use mypay_tests::banks::{HOLDER, command, corporate, today};
use mypay_tests::edge::Client;
use mypay_tests::money::Reckoning;
use mypay_tests::requests::{Outgoing, payout};
use mypay_tests::{World, eventually};
use sqlx::Row;
use uuid::Uuid;

use crate::day::LONG;

const MEMBERS: usize = 10;
const PAYOUTS: usize = 60;
const OPENING: i64 = 100_000;
const WON: i64 = 3_000;

/// Every payout comes back; half of the notices get lost, a third of the answers
/// too, so that many notices are faster than our `done`. Both consumers are killed
/// meanwhile. Then somebody forges reversals, and repeats
/// the genuine ones.
#[tokio::test(flavor = "multi_thread")]
async fn a_payout_that_comes_back_is_the_sender_s_again_once() -> anyhow::Result<()> {
    let world = World::begin().await?;
    let bank = world.banks(&["004"]).await?;
    // Paid from one bank to another, else no bank undoes it.
    world.suspend("020").await?;
    let to = world.receiver(&bank, "020").await?;
    let mut dial = Dial {
        reversal_ms: 300,
        ..Dial::default()
    };
    for fault in ["late_reversal=1", "lost_notice=0.5", "lost_answer=0.3"] {
        dial.set(fault)?;
    }
    world.dial(&bank, dial).await?;
    let members = world.members(MEMBERS, OPENING).await?;
    let before = world.ends(REMITTANCE_REVERSAL)?;
    let told_before = world.ends(FIRMBANKING_REVERSAL)?;

    let receiver = BankReceiver {
        bank_code: to.bank_code.clone(),
        account_number: to.account_number.clone(),
        holder_name: HOLDER.into(),
    };
    let asked: Vec<_> = (0..PAYOUTS)
        .map(|number| payout(members[number % MEMBERS], receiver.clone(), WON))
        .collect();
    let ids: Vec<Uuid> = asked
        .iter()
        .map(|request| Uuid::try_parse(&request.message_id))
        .collect::<Result<_, _>>()?;
    let remittance = world.consume("remittance")?;
    let firmbanking = world.consume("firmbanking")?;
    let messages = asked
        .iter()
        .map(|request| world.message(Flow::Remittance, request))
        .collect::<Result<Vec<_>, _>>()?;
    world.send(messages).await?;
    let at_bank: Vec<Uuid> = ids
        .iter()
        .map(|id| id_of_command(PURPOSE_REMITTANCE, *id))
        .collect();
    world
        .await_commands(&at_bank, "done", PAYOUTS / 2, LONG)
        .await?;
    world.kill(&firmbanking).await?;
    world.kill(&remittance).await?;
    let firmbanking = world.again(&firmbanking)?;
    let remittance = world.again(&remittance)?;

    came_back(&world, &ids).await?;
    are_listed_as_reversed(&world, &members, &ids).await?;
    let mut reckoning = Reckoning::new(&members, OPENING);
    let fee = fee(&world, ids[0]).await?;
    for number in 0..PAYOUTS {
        // The amount is back; the fee, whose work was done, is not.
        reckoning.spend(members[number % MEMBERS], fee);
    }
    world.balances_are(&reckoning).await?;

    // Whoever can write to the topic says that payouts came back, once more.
    let genuine = world.read_from(FIRMBANKING_REVERSAL, &told_before)?;
    ensure!(
        genuine.len() == PAYOUTS,
        "{} reversals were told",
        genuine.len()
    );
    let again = genuine.iter().map(|record| Outgoing {
        topic: FIRMBANKING_REVERSAL,
        key: record.key.clone(),
        payload: record.payload.clone(),
        ..Outgoing::default()
    });
    world.send(again).await?;
    let forged = forged(&world, &genuine[0].payload).await?;
    world.send([forged]).await?;
    let events = tell_once(&world, &before, &ids).await?;
    ensure!(
        events
            .iter()
            .all(|event| event.amount == WON && event.fee_kept == fee)
    );

    let (code, said) = world.closes("004").await?;
    ensure!(code == Some(0), "the day does not close: {said}");
    world.stop(&remittance).await?;
    world.stop(&firmbanking).await?;
    world.audit_is_clean_as_it_is().await?;
    world.balances_are(&reckoning).await?;
    world.all_contracts_in_force().await
}

/// Each of these remittances, and its command, is done over HTTP and says since when it
/// is undone.
async fn are_listed_as_reversed(
    world: &World,
    members: &[Uuid],
    ids: &[Uuid],
) -> anyhow::Result<()> {
    let client = Client::new(world);
    let mut reversed = HashSet::new();
    for member in members {
        let path = format!("/members/{member}/remittances?limit=500");
        let page = client.get(&path).await?;
        for it in page["items"].as_array().with_context(|| page.to_string())? {
            let at = it["reversed_at"].as_str().with_context(|| it.to_string())?;
            ensure!(it["state"] == "COMPLETED", "{it}");
            chrono::DateTime::parse_from_rfc3339(at)?;
            reversed.insert(it["remittance_id"].as_str().context("an id")?.to_owned());
        }
    }
    let expected: HashSet<String> = ids.iter().map(Uuid::to_string).collect();
    ensure!(reversed == expected, "{reversed:?}");
    let command = id_of_command(PURPOSE_REMITTANCE, ids[0]);
    let told = client.get(&format!("/firmbankings/{command}")).await?;
    ensure!(
        told["state"] == "done" && told["reversed_at"].is_string(),
        "{told}"
    );
    Ok(())
}

/// Waits until all of these remittances have come back.
pub(crate) async fn came_back(world: &World, ids: &[Uuid]) -> anyhow::Result<()> {
    eventually("all payouts to come back", LONG, async || {
        world.all_live()?;
        let row = sqlx::query(
            "SELECT count(*) FROM remittance.payout
              WHERE remittance_id = ANY($1) AND reversed_at IS NOT NULL AND state = 'COMPLETED'",
        )
        .bind(ids)
        .fetch_one(&world.pool)
        .await?;
        Ok((row.try_get::<i64, _>(0)? as usize == ids.len()).then_some(()))
    })
    .await
}

pub(crate) async fn fee(world: &World, id: Uuid) -> anyhow::Result<i64> {
    let row = sqlx::query("SELECT fee FROM remittance.payout WHERE remittance_id = $1")
        .bind(id)
        .fetch_one(&world.pool)
        .await?;
    Ok(row.try_get(0)?)
}

/// A reversal of a command that no bank has undone.
async fn forged(world: &World, genuine: &Option<Vec<u8>>) -> anyhow::Result<Outgoing> {
    let mut decoder = Decoder::new(&world.endpoints.registry_url);
    let payload = genuine.as_deref().context("a payload")?;
    let mut reversal: FirmbankingReversal = decoder.decode(payload).await?;
    let command = Uuid::now_v7();
    reversal.request_id = command.to_string();
    reversal.message_id = reversal_id(command).to_string();
    Ok(Outgoing {
        topic: FIRMBANKING_REVERSAL,
        key: Some(reversal.request_id.clone().into_bytes()),
        payload: Some(world.encoders.encode(FIRMBANKING_REVERSAL, &reversal)?),
        ..Outgoing::default()
    })
}

/// Each of these remittances has one event, under the id that it must have.
pub(crate) async fn tell_once(
    world: &World,
    before: &mypay_tests::topic::Offsets,
    ids: &[Uuid],
) -> anyhow::Result<Vec<RemittanceReversal>> {
    // Until the forged message and the repeated ones are gone through, too.
    world.drained(Flow::Remittance, LONG).await?;
    let records = eventually("an event for each payout", LONG, async || {
        let records = world.read_from(REMITTANCE_REVERSAL, before)?;
        Ok((records.len() >= ids.len()).then_some(records))
    })
    .await?;
    let mut decoder = Decoder::new(&world.endpoints.registry_url);
    let mut events = Vec::new();
    for record in &records {
        let payload = record.payload.as_deref().context("a payload")?;
        let event: RemittanceReversal = decoder.decode(payload).await?;
        events.push(event);
    }
    let told: HashSet<&str> = events.iter().map(|it| &*it.request_id).collect();
    ensure!(
        told.len() == ids.len() && events.len() == ids.len(),
        "{} events of {} payouts",
        events.len(),
        told.len()
    );
    for event in &events {
        let id = Uuid::try_parse(&event.request_id)?;
        ensure!(event.message_id == reversal_id(id).to_string() && ids.contains(&id));
    }
    Ok(events)
}

/// Notices that fit no command of ours, or not in full, move nothing: people look
/// at them, and dismiss them.
#[tokio::test(flavor = "multi_thread")]
async fn a_notice_that_fits_no_command_is_a_case_and_moves_nothing() -> anyhow::Result<()> {
    let world = World::begin().await?;
    world.banks(&["004"]).await?;
    let before = world.ends(FIRMBANKING_REVERSAL)?;
    let firmbanking = world.consume("firmbanking")?;
    // The bank's own table: it gives a number that we never had.
    sqlx::query(
        "INSERT INTO dummy_bank.notice
                (bank_code, notice_date, notice_number, business_date, number, amount, reversed_at, lost)
         SELECT '004', $1, coalesce(max(notice_number), 0) + 1, $1, 940001, 5000, now(), false
           FROM dummy_bank.notice WHERE bank_code = '004' AND notice_date = $1",
    )
    .bind(today())
    .execute(&world.pool)
    .await?;
    let case_id: Uuid = eventually("a case", LONG, async || {
        world.all_live()?;
        let row = sqlx::query(
            "SELECT case_id FROM banking.notice WHERE transaction_number = 940001 AND state = 'case'",
        )
        .fetch_optional(&world.pool)
        .await?;
        row.map(|row| Ok(row.try_get(0)?)).transpose()
    })
    .await?;
    let (code, said) = world.closes("004").await?;
    ensure!(code == Some(2) && said.contains("1 notices"), "{said}");
    let shown = world.mypay(&["bank", "cases", "--json"]).await?;
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    ensure!(shown.contains(&case_id.to_string()), "{shown}");

    let id = case_id.to_string();
    let decide = |outcome: &'static str| {
        let id = id.clone();
        let world = &world;
        async move {
            let args = [
                "bank",
                "decide",
                &id,
                "--outcome",
                outcome,
                "--operator",
                "kim",
                "--reason",
                "asked KB",
            ];
            world.mypay(&args).await
        }
    };
    ensure!(
        !decide("done").await?.status.success(),
        "a notice is no command"
    );
    ensure!(decide("dismiss").await?.status.success());
    ensure!(
        decide("dismiss").await?.status.code() == Some(1),
        "it is closed"
    );
    ensure!(world.read_from(FIRMBANKING_REVERSAL, &before)?.is_empty());
    // Both sides still have the notice: it moved nothing, and is no difference.
    let (code, said) = world.closes("004").await?;
    ensure!(code == Some(0), "{said}");
    world.stop(&firmbanking).await?;
    world.audit_is_clean_as_it_is().await
}

/// Two direct commands of staff come back, one to a stranger and one to our account
/// at another bank, whose contract names another account by then: each is undone
/// between the two sides it was booked between.
#[tokio::test(flavor = "multi_thread")]
async fn a_direct_transfer_comes_back_from_where_it_went() -> anyhow::Result<()> {
    let world = World::begin().await?;
    let bank = world.banks(&["004", "020"]).await?;
    let mut dial = Dial {
        // Long enough for the contract to be changed in between.
        reversal_ms: 4_000,
        ..Dial::default()
    };
    dial.set("late_reversal=1")?;
    world.dial(&bank, dial).await?;
    let to_stranger = command(
        corporate("004"),
        world.receiver(&bank, "020").await?,
        70_000,
    );
    let between = command(corporate("004"), corporate("020"), 30_000);
    let commands =
        [&to_stranger, &between].map(|it| Uuid::try_parse(&it.message_id).expect("a new id"));
    let before = sides(&world).await?;
    let firmbanking = world.consume("firmbanking")?;
    world
        .send([
            world.message(Flow::Firmbanking, &to_stranger)?,
            world.message(Flow::Firmbanking, &between)?,
        ])
        .await?;
    world.await_commands(&commands, "done", 2, LONG).await?;
    let done = sides(&world).await?;
    let fees = done.values().sum::<i64>() - before.values().sum::<i64>();
    ensure!(
        moved(&before, &done) == [100_000 + fees, -30_000, -70_000],
        "{before:?} {done:?}"
    );
    rename_account(&world, "020", "990020000009").await?;
    eventually("both reversals", LONG, async || {
        world.all_live()?;
        let undone: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM banking.reversal WHERE firmbanking_id = ANY($1)",
        )
        .bind(&commands[..])
        .fetch_one(&world.pool)
        .await?;
        Ok((undone == 2).then_some(()))
    })
    .await?;
    let undone = sides(&world).await?;
    // The fee, whose work was done, is not given back.
    ensure!(
        moved(&before, &undone) == [fees, 0, 0] && fees > 0,
        "{before:?} {undone:?}"
    );
    rename_account(&world, "020", &corporate("020").account_number).await?;
    world.dial(&bank, Dial::default()).await?;
    world.stop(&firmbanking).await?;
    world.audit_is_clean_as_it_is().await
}

async fn rename_account(world: &World, bank_code: &str, account: &str) -> anyhow::Result<()> {
    sqlx::query("UPDATE banking.contract SET corporate_account = $2 WHERE bank_code = $1")
        .bind(bank_code)
        .bind(account)
        .execute(&world.pool)
        .await?;
    Ok(())
}

/// The sides that direct commands of these banks are booked between: our cash at
/// 004 and at 020, and what went to strangers.
type Sides = BTreeMap<&'static str, i64>;

async fn sides(world: &World) -> anyhow::Result<Sides> {
    let mut sides = Sides::new();
    for (name, kind, owner) in [
        ("1 cash 004", AccountKind::CorporateCash, bank_owner("004")),
        ("2 cash 020", AccountKind::CorporateCash, bank_owner("020")),
        ("3 suspense", AccountKind::Suspense, Uuid::nil()),
    ] {
        let balance: i64 = sqlx::query_scalar(
            "SELECT coalesce(sum(balance), 0)::bigint FROM money.account WHERE kind = $1 AND owner = $2",
        )
        .bind(kind.number())
        .bind(owner)
        .fetch_one(&world.pool)
        .await?;
        sides.insert(name, balance);
    }
    Ok(sides)
}

fn moved(before: &Sides, after: &Sides) -> Vec<i64> {
    before.iter().map(|(name, was)| after[name] - was).collect()
}
