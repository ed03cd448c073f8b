//! What is counted about banks: calls for their bills, and what somebody must look at.

use std::net::TcpListener;
use std::time::Duration;

use anyhow::{Context, ensure};
use chrono::TimeDelta;
use mypay_bank::dummy::{BankDial, Dial};
use mypay_schemas::Flow;
use mypay_schemas::firmbanking::FirmbankingRequest;
use mypay_tests::banks::{command, corporate, today};
use mypay_tests::{Program, World, eventually};
use sqlx::Row;
use uuid::Uuid;

use crate::day::LONG;

const BANK: &str = "088";
/// Where our other account is.
const OTHER: &str = "004";

fn id(request: &FirmbankingRequest) -> anyhow::Result<Uuid> {
    Ok(Uuid::try_parse(&request.message_id)?)
}

/// The consumer, and where its metrics are.
fn measured(world: &World) -> anyhow::Result<(Program, String)> {
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let listen = format!("127.0.0.1:{port}");
    let args = ["consume", "firmbanking", "--metrics-listen", &listen];
    Ok((world.start("firmbanking", &args)?, listen))
}

/// Waits until a line stands among the metrics.
async fn await_metric(listen: &str, line: &str) -> anyhow::Result<()> {
    eventually(&format!("the metric {line}"), LONG, async || {
        let Ok(answer) = reqwest::get(format!("http://{listen}/metrics")).await else {
            return Ok(None);
        };
        let metrics = answer.text().await?;
        Ok(metrics.lines().any(|it| it == line).then_some(()))
    })
    .await
}

/// A bank that cannot be reached is called again and again, and not a byte leaves: none
/// of that is in its bill, neither calls nor questions about holders.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_of_which_not_a_byte_left_is_not_in_the_bill() -> anyhow::Result<()> {
    const ASKED: &str = "020";
    let world = World::begin().await?;
    let bank = world.banks(&[BANK, OTHER]).await?;
    let to = world.receiver(&bank, ASKED).await?;
    let asked_before = counted(&world, ASKED, &[]).await?.1;
    world.kill_bank().await?;
    let firmbanking = world.consume("firmbanking")?;
    let between = command(corporate(BANK), corporate(OTHER), 2_000);
    let payout = command(corporate(BANK), to, 3_000);
    let both = [id(&between)?, id(&payout)?];
    world
        .send([
            world.message(Flow::Firmbanking, &between)?,
            world.message(Flow::Firmbanking, &payout)?,
        ])
        .await?;
    // Between two tries, so that nothing is counted that is under way.
    let (calls, asked) = eventually("a bank that was called in vain", LONG, async || {
        world.all_live()?;
        let (calls, asked, tried) = counted(&world, ASKED, &both).await?;
        Ok((tried == 2).then_some((calls, asked)))
    })
    .await?;
    ensure!(
        calls == 0 && asked == asked_before,
        "{calls} calls, {asked} questions of {asked_before}"
    );
    world.bank().await?;
    world.await_commands(&both, "done", 2, LONG).await?;
    let (calls, asked, _) = counted(&world, ASKED, &both).await?;
    ensure!(
        calls == 2 && asked == asked_before + 1,
        "{calls} calls, {asked} questions of {asked_before}"
    );
    world.stop(&firmbanking).await?;
    world.audit_is_clean_as_it_is().await
}

/// In one instant: the calls of commands, the questions about holders that a bank was
/// asked, and how many of the commands wait after two tries or more.
async fn counted(world: &World, asked: &str, commands: &[Uuid]) -> anyhow::Result<(i64, i64, i64)> {
    let row = sqlx::query(
        "SELECT coalesce(sum(calls), 0)::bigint,
                (SELECT coalesce(sum(inquiries), 0)::bigint FROM banking.holder_inquiry
                  WHERE bank_code = $1),
                count(*) FILTER (WHERE state = 'pending' AND leased_until IS NULL
                                   AND greatest(send_tries, holder_tries) >= 2)
           FROM banking.firmbanking WHERE firmbanking_id = ANY($2)",
    )
    .bind(asked)
    .bind(commands)
    .fetch_one(&world.pool)
    .await?;
    Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?))
}

/// A bank says that it did what we hold for refused by then. (The row is changed by
/// hand while the bank thinks: no way that is ours leads there.)
#[tokio::test(flavor = "multi_thread")]
async fn a_bank_that_contradicts_what_is_settled_is_counted() -> anyhow::Result<()> {
    let world = World::begin().await?;
    let bank = world.banks(&[BANK, OTHER]).await?;
    let thinks = BankDial {
        latency_ms: Some(3_000),
        ..BankDial::default()
    };
    let dial = Dial {
        banks: [(BANK.to_owned(), thinks)].into(),
        ..Dial::default()
    };
    world.dial(&bank, dial).await?;
    let (firmbanking, listen) = measured(&world)?;
    let none = format!("mypay_bank_contradictions_total{{bank=\"{BANK}\"}} 0");
    await_metric(&listen, &none).await?;
    let asked = command(corporate(BANK), corporate(OTHER), 4_000);
    let command = id(&asked)?;
    world
        .send([world.message(Flow::Firmbanking, &asked)?])
        .await?;
    world.await_commands(&[command], "sending", 1, LONG).await?;
    sqlx::query("UPDATE banking.firmbanking SET state = 'refused' WHERE firmbanking_id = $1")
        .bind(command)
        .execute(&world.pool)
        .await?;
    let one = format!("mypay_bank_contradictions_total{{bank=\"{BANK}\"}} 1");
    await_metric(&listen, &one).await?;
    world
        .await_log(
            &firmbanking,
            "the bank contradicts what was settled",
            Duration::from_secs(5),
        )
        .await?;

    // As it was: the bank is asked, and says so again.
    world.dial(&bank, Dial::default()).await?;
    sqlx::query(
        "UPDATE banking.firmbanking
            SET state = 'unknown', fence = fence + 1, leased_until = NULL, due_at = now()
          WHERE firmbanking_id = $1",
    )
    .bind(command)
    .execute(&world.pool)
    .await?;
    world.await_commands(&[command], "done", 1, LONG).await?;
    world.stop(&firmbanking).await?;
    world.audit_is_clean_as_it_is().await
}

/// A bank gave two notices a number and never gave them to us, on a day that is asked
/// about still and on one that is too old: of the first they are missing, and the second
/// is a case for people.
#[tokio::test(flavor = "multi_thread")]
async fn notices_that_a_bank_never_gives_are_missing_and_then_a_case() -> anyhow::Result<()> {
    let world = World::begin().await?;
    world.banks(&[BANK]).await?;
    let (recent, old) = (today() - TimeDelta::days(5), today() - TimeDelta::days(20));
    sqlx::query(
        "INSERT INTO banking.notice_day (bank_code, notice_date, complete_to, last_number, due_at)
         SELECT $1, d, 0, 2, now() FROM unnest($2::date[]) AS d
         ON CONFLICT (bank_code, notice_date) DO UPDATE SET last_number = 2, due_at = now()",
    )
    .bind(BANK)
    .bind([recent, old])
    .execute(&world.pool)
    .await?;
    let (firmbanking, listen) = measured(&world)?;
    let case: Uuid = eventually("a case of the old day", LONG, async || {
        world.all_live()?;
        let case = sqlx::query_scalar(
            "SELECT n.case_id FROM banking.notice n
               JOIN banking.notice_day d USING (bank_code, notice_date)
              WHERE n.bank_code = $1 AND n.notice_date = $2 AND n.notice_number = 1
                AND n.state = 'case' AND n.amount IS NULL AND d.given_up_at IS NOT NULL",
        );
        let case = case.bind(BANK).bind(old).fetch_optional(&world.pool);
        Ok(case.await?)
    })
    .await?;
    let missing = format!("mypay_bank_notices_missing{{bank=\"{BANK}\"}} 2");
    await_metric(&listen, &missing).await?;
    let shown = world.mypay(&["bank", "cases", "--json"]).await?;
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    ensure!(
        shown.contains(&case.to_string()) && shown.contains("2 of the 2 notices of this day"),
        "{shown}"
    );
    let case = case.to_string();
    let dismiss = ["bank", "decide", &case, "--outcome", "dismiss"];
    let by = ["--operator", "kim", "--reason", "the bank undid nothing"];
    let decided = world.mypay(&[&dismiss[..], &by[..]].concat()).await?;
    ensure!(decided.status.success(), "{decided:?}");

    // The bank had none at all: what was written by hand is taken out again.
    world.stop(&firmbanking).await?;
    sqlx::query("DELETE FROM banking.notice_day WHERE bank_code = $1 AND notice_date = $2")
        .bind(BANK)
        .bind(recent)
        .execute(&world.pool)
        .await?;
    world.audit_is_clean_as_it_is().await
}

/// The first number of the last tenth is told, once; and what is told is what the table
/// has for today, whether or not another command goes out.
#[tokio::test(flavor = "multi_thread")]
async fn numbers_that_run_short_are_told_at_nine_tenths() -> anyhow::Result<()> {
    const SHORT: &str = "081";
    let world = World::begin().await?;
    world.banks(&[SHORT, OTHER]).await?;
    let last = |number: i32| {
        sqlx::query(
            "INSERT INTO banking.transaction_number VALUES ($1, $2, $3)
             ON CONFLICT (bank_code, business_date) DO UPDATE SET last_number = $3",
        )
        .bind(SHORT)
        .bind(today())
        .bind(number)
        .execute(&world.pool)
    };
    let used = |number: i32| format!("mypay_bank_numbers_used{{bank=\"{SHORT}\"}} {number}");
    last(854_998).await?;
    let (firmbanking, listen) = measured(&world)?;
    let told = "nine tenths of this bank's transaction numbers of the day are used";
    for (number, is_told) in [(854_999, false), (855_000, true), (855_001, true)] {
        let asked = command(corporate(SHORT), corporate(OTHER), 1_000);
        world
            .send([world.message(Flow::Firmbanking, &asked)?])
            .await?;
        world
            .await_commands(&[id(&asked)?], "done", 1, LONG)
            .await?;
        await_metric(&listen, &used(number)).await?;
        let times = world.log(&firmbanking)?.matches(told).count();
        ensure!(
            times == usize::from(is_told),
            "told {times} times at {number}"
        );
    }
    let elsewhere = 700_000 + i32::try_from(Uuid::now_v7().as_u128() % 100_000).context("small")?;
    last(elsewhere).await?;
    await_metric(&listen, &used(elsewhere)).await?;
    world.stop(&firmbanking).await?;
    world.audit_is_clean_as_it_is().await
}
