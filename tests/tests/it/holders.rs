//! A bank that hangs when it is asked whose account one is: payouts to its accounts
//! wait, and nothing else does.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use anyhow::ensure;
use mypay_bank::dummy::{BankDial, Dial};
use mypay_schemas::Flow;
use mypay_schemas::firmbanking::BankAccount;
use mypay_tests::banks::{command, corporate};
use mypay_tests::edge::Client;
use mypay_tests::exactly_once::{Asked, Must};
use mypay_tests::{World, eventually};
use serde_json::json;
use sqlx::Row;
use uuid::Uuid;

use crate::day::LONG;

/// More than there are places for questions at a bank.
const HANGING: usize = 600;
const WELL: usize = 200;
const PAYER: &str = "004";
const HANGS: &str = "020";

/// All payouts are of one bank, and most go to a bank that hangs on questions about
/// holders. The others, to another bank, go on as if it did not: neither the payer's
/// places nor its breaker are taken by it.
#[tokio::test(flavor = "multi_thread")]
async fn a_bank_that_hangs_on_holder_inquiries_costs_the_paying_bank_nothing() -> anyhow::Result<()>
{
    let world = World::begin().await?;
    let bank = world.banks(&[PAYER]).await?;
    let (there, elsewhere) = (
        world.receiver(&bank, HANGS).await?,
        world.receiver(&bank, "088").await?,
    );
    let hangs = BankDial {
        latency_ms: Some(60_000),
        ..BankDial::default()
    };
    let dial = Dial {
        banks: [(HANGS.to_owned(), hangs)].into(),
        ..Dial::default()
    };
    world.dial(&bank, dial).await?;
    let codes = world.answer_codes(&[
        ("inquiry_timeout_ms: 5000", "inquiry_timeout_ms: 1000"),
        ("failures: 20, open_ms: 10000", "failures: 5, open_ms: 2000"),
    ])?;
    let codes = codes.display().to_string();
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let listen = format!("127.0.0.1:{port}");
    let args = [
        "consume",
        "firmbanking",
        "--answer-codes",
        &codes,
        "--metrics-listen",
        &listen,
    ];
    let firmbanking = world.start("firmbanking", &args)?;
    let (hanging, first) = world.commands(PAYER, &there, HANGING)?;
    let (well, second) = world.commands(PAYER, &elsewhere, WELL)?;
    world.send(first).await?;
    eventually("a bank that was asked in vain", LONG, async || {
        let asked_in_vain: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM banking.firmbanking
              WHERE firmbanking_id = ANY($1) AND holder_tries > 0",
        )
        .bind(&hanging)
        .fetch_one(&world.pool)
        .await?;
        Ok((asked_in_vain >= 20).then_some(()))
    })
    .await?;
    world.send(second).await?;
    let began = Instant::now();
    world.await_commands(&well, "done", WELL, LONG).await?;
    let took = began.elapsed();
    eprintln!("{WELL} payouts to the other bank took {took:?}");
    ensure!(took < Duration::from_secs(6), "it took {took:?}");

    let row = sqlx::query(
        "SELECT count(*) FILTER (WHERE state = 'pending' AND transaction_number IS NULL),
                sum(calls)::bigint, count(*) FILTER (WHERE holder_tries = 0)
           FROM banking.firmbanking WHERE firmbanking_id = ANY($1)",
    )
    .bind(&hanging)
    .fetch_one(&world.pool)
    .await?;
    let (waiting, calls, unasked): (i64, i64, i64) =
        (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    eprintln!("{waiting} of {HANGING} payouts wait; {unasked} were not asked for yet");
    ensure!(
        waiting as usize == HANGING && calls == 0,
        "{waiting} wait, {calls} calls"
    );
    let metrics = reqwest::get(format!("http://{listen}/metrics"))
        .await?
        .text()
        .await?;
    for line in [
        format!("mypay_bank_breaker_state{{bank=\"{PAYER}\"}} 0"),
        "mypay_bank_holder_breaker_state{bank=\"088\"} 0".to_owned(),
        format!(
            "mypay_bank_calls_total{{bank=\"{PAYER}\",call=\"transfer\",outcome=\"done\"}} {WELL}"
        ),
    ] {
        ensure!(metrics.contains(&line), "no {line:?} in {metrics}");
    }
    let asked = format!("mypay_bank_holder_breaker_state{{bank=\"{HANGS}\"}}");
    ensure!(
        metrics.contains(&asked) && !metrics.contains(&format!("{asked} 0")),
        "the bank that hangs is still asked: {metrics}"
    );

    world.dial(&bank, Dial::default()).await?;
    world
        .await_commands(&hanging, "done", HANGING, LONG)
        .await?;
    world.stop(&firmbanking).await?;
    world.audit_is_clean_as_it_is().await
}

/// Nobody is paid whose account nobody named: by the topic that is rejected, over HTTP
/// refused. Between our own accounts no name is needed.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_goes_to_an_account_whose_holder_nobody_named() -> anyhow::Result<()> {
    const OTHER: &str = "088";
    let world = World::begin().await?;
    let bank = world.banks(&[PAYER, OTHER]).await?;
    let to = world.receiver(&bank, HANGS).await?;
    let client = Client::new(&world);
    client.accepts().await?;
    let before = world.ends(Flow::Firmbanking.result_topic())?;
    let firmbanking = world.consume("firmbanking")?;
    let mut nameless = command(corporate(PAYER), to.clone(), 1_000);
    nameless.to_holder_name = None;
    let between = command(corporate(PAYER), corporate(OTHER), 2_000);
    ensure!(between.to_holder_name.is_none());
    let mut asked = Asked::default();
    asked.add(
        &nameless.message_id,
        Must::BeRejected("missing_holder_name"),
    );
    asked.add(&between.message_id, Must::Complete);
    world
        .send([
            world.message(Flow::Firmbanking, &nameless)?,
            world.message(Flow::Firmbanking, &between)?,
        ])
        .await?;
    let answers = eventually("an answer to each", LONG, async || {
        let ids = asked.ids();
        let answers = world.results_of(Flow::Firmbanking, &before, &ids).await?;
        Ok((answers.len() >= asked.len()).then_some(answers))
    })
    .await?;
    asked.are_answered_once(&answers)?;

    let body = |to: &BankAccount| {
        let account = |it: &BankAccount| json!({ "bank_code": it.bank_code, "account_number": it.account_number });
        let from = account(&corporate(PAYER));
        json!({ "purpose": "staff", "from": from, "to": account(to), "amount": 3_000 })
    };
    let key = Uuid::now_v7();
    let post = async |to: &BankAccount| {
        client
            .post("/firmbankings", &key.to_string(), &body(to))
            .await
    };
    let (status, told) = post(&to).await?;
    ensure!(
        status.as_u16() == 422
            && told["code"] == "missing_holder_name"
            && told["pointer"] == "/to_holder_name",
        "{status} {told}"
    );
    // Nothing was taken under that key.
    let (status, told) = post(&corporate(OTHER)).await?;
    ensure!(status.as_u16() == 202, "{status} {told}");
    world.await_commands(&[key], "done", 1, LONG).await?;
    // What was taken is told again, and not refused for its content.
    let (status, told) = post(&to).await?;
    ensure!(status.as_u16() == 409, "{status} {told}");
    world.stop(&firmbanking).await?;
    world.audit_is_clean_as_it_is().await
}
