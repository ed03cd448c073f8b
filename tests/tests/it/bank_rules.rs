//! Rules of banks that a command meets on its way: hours of rest, pauses before
//! inquiries, numbers of accounts, and what was written down with a number.

use anyhow::{Context, ensure};
use chrono::{TimeDelta, Utc};
use mypay_bank::dummy::{BankDial, Dial};
use mypay_cases::{Decision, Verdict};
use mypay_schemas::Flow;
use mypay_schemas::firmbanking::{BankAccount, FirmbankingRequest};
use mypay_tests::banks::{command, corporate};
use mypay_tests::exactly_once::{Asked, Must};
use mypay_tests::{Program, World, eventually};
use sqlx::Row;
use uuid::Uuid;

use crate::day::LONG;

const BANK: &str = "088";

fn id(request: &FirmbankingRequest) -> anyhow::Result<Uuid> {
    Ok(Uuid::try_parse(&request.message_id)?)
}

/// A bank that says of itself that it rests, whatever our table says.
fn resting() -> Dial {
    let resting = BankDial {
        resting: true,
        ..BankDial::default()
    };
    Dial {
        banks: [(BANK.to_owned(), resting)].into(),
        ..Dial::default()
    }
}

/// The consumer with a table in which all banks rest now, by more than an hour.
fn at_night(world: &World) -> anyhow::Result<Program> {
    let korean = Utc::now() + TimeDelta::hours(9);
    let at = |hours| (korean + TimeDelta::hours(hours)).format("%H:%M");
    let window = format!("rest_window: \"{}-{}\"", at(-2), at(2));
    let codes = world.answer_codes(&[("rest_window: \"23:30-00:30\"", &window)])?;
    let codes = codes.display().to_string();
    let args = ["--bank-rest", "on", "--answer-codes", &codes];
    world.start(
        "firmbanking",
        &[&["consume", "firmbanking"][..], &args[..]].concat(),
    )
}

/// What is kept of a command.
#[derive(Debug, PartialEq)]
struct Kept {
    state: String,
    number: Option<i32>,
    calls: i32,
}

async fn kept(world: &World, command: Uuid) -> anyhow::Result<Kept> {
    let row = sqlx::query(
        "SELECT state, transaction_number, calls FROM banking.firmbanking WHERE firmbanking_id = $1",
    )
    .bind(command)
    .fetch_one(&world.pool)
    .await?;
    Ok(Kept {
        state: row.try_get(0)?,
        number: row.try_get(1)?,
        calls: row.try_get(2)?,
    })
}

/// Waits until the bank has put a command off by its own word: it has a number then.
async fn put_off_by_the_bank(world: &World, command: Uuid) -> anyhow::Result<Kept> {
    eventually("a command that the bank put off", LONG, async || {
        let told: Option<String> = sqlx::query_scalar(
            "SELECT detail FROM banking.firmbanking_history
              WHERE firmbanking_id = $1 AND state = 'pending' ORDER BY seq DESC LIMIT 1",
        )
        .bind(command)
        .fetch_optional(&world.pool)
        .await?
        .flatten();
        Ok(told.filter(|it| it.starts_with("the bank rests (")))
    })
    .await?;
    kept(world, command).await
}

async fn due_now(world: &World, commands: &[Uuid]) -> anyhow::Result<()> {
    sqlx::query("UPDATE banking.firmbanking SET due_at = now() WHERE firmbanking_id = ANY($1)")
        .bind(commands)
        .execute(&world.pool)
        .await?;
    Ok(())
}

/// The history's rows are numbered without a gap, and as many as the command says.
async fn history_is_whole(world: &World, command: Uuid) -> anyhow::Result<Vec<String>> {
    let rows = sqlx::query(
        "SELECT h.seq, f.changes, coalesce(h.detail, '')
           FROM banking.firmbanking_history h
           JOIN banking.firmbanking f USING (firmbanking_id)
          WHERE firmbanking_id = $1 ORDER BY h.seq",
    )
    .bind(command)
    .fetch_all(&world.pool)
    .await?;
    let mut details = Vec::new();
    for (place, row) in (1..).zip(&rows) {
        let (seq, changes): (i32, i32) = (row.try_get(0)?, row.try_get(1)?);
        ensure!(
            seq == place && changes as usize == rows.len(),
            "row {place} of {changes} is numbered {seq}"
        );
        details.push(row.try_get(2)?);
    }
    Ok(details)
}

/// One command has a number when its bank goes to rest, another has none yet. Both
/// wait until the bank is awake, without a call and without a failure, and go out
/// then: the one under the number that it had.
#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_meets_the_banks_rest_waits_and_keeps_its_number() -> anyhow::Result<()> {
    let world = World::begin().await?;
    // To an account of ours: nobody is asked about it first.
    let bank = world.banks(&[BANK, "004"]).await?;
    let to = corporate("004");
    world.dial(&bank, resting()).await?;
    let firmbanking = world.consume("firmbanking")?;
    let (numbered, fresh) = (
        command(corporate(BANK), to.clone(), 3_000),
        command(corporate(BANK), to, 4_000),
    );
    world
        .send([world.message(Flow::Firmbanking, &numbered)?])
        .await?;
    put_off_by_the_bank(&world, id(&numbered)?).await?;
    world.stop(&firmbanking).await?;
    let before = kept(&world, id(&numbered)?).await?;
    ensure!(
        before.state == "pending" && before.number.is_some(),
        "{before:?}"
    );

    // The bank would take them; we know that it rests.
    world.dial(&bank, Dial::default()).await?;
    let both = [id(&numbered)?, id(&fresh)?];
    due_now(&world, &both[..1]).await?;
    let firmbanking = at_night(&world)?;
    world
        .send([world.message(Flow::Firmbanking, &fresh)?])
        .await?;
    eventually("two commands that wait for the morning", LONG, async || {
        let waiting: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM banking.firmbanking
              WHERE firmbanking_id = ANY($1) AND state = 'pending'
                AND due_at > now() + interval '1 hour'",
        )
        .bind(&both[..])
        .fetch_one(&world.pool)
        .await?;
        Ok((waiting == 2).then_some(()))
    })
    .await?;
    ensure!(kept(&world, both[0]).await? == before, "it was called");
    let waiting = kept(&world, both[1]).await?;
    ensure!(
        waiting.number.is_none() && waiting.calls == 0,
        "{waiting:?}"
    );
    world.stop(&firmbanking).await?;

    let firmbanking = world.consume("firmbanking")?;
    due_now(&world, &both).await?;
    world.await_commands(&both, "done", 2, LONG).await?;
    let after = kept(&world, both[0]).await?;
    ensure!(
        after.number == before.number && after.calls == before.calls + 1,
        "{before:?} {after:?}"
    );
    for command in both {
        let told = history_is_whole(&world, command).await?;
        let waited = told.iter().any(|it| it.starts_with("the bank rests until"));
        ensure!(waited, "{told:?}");
    }
    world.stop(&firmbanking).await?;
    world.audit_is_clean_as_it_is().await
}

/// The question about the holder, asked before, takes nothing off the pauses: the first
/// inquiry is made after the first pause and not after twice that.
#[tokio::test(flavor = "multi_thread")]
async fn the_first_inquiry_is_made_after_the_first_pause() -> anyhow::Result<()> {
    const FIRST: i64 = 40;
    let world = World::begin().await?;
    let bank = world.banks(&[BANK]).await?;
    let to = world.receiver(&bank, "004").await?;
    let mut dial = Dial::default();
    dial.set("lost_answer=1")?;
    world.dial(&bank, dial).await?;
    let first = FIRST.to_string();
    let args = ["consume", "firmbanking", "--inquiry-first", &first];
    let firmbanking = world.start("firmbanking", &args)?;
    let asked = command(corporate(BANK), to, 5_000);
    world
        .send([world.message(Flow::Firmbanking, &asked)?])
        .await?;
    let command = id(&asked)?;
    world.await_commands(&[command], "unknown", 1, LONG).await?;
    let row = sqlx::query(
        "SELECT extract(epoch FROM due_at - changed_at)::bigint, inquiries, inquiry_tries
           FROM banking.firmbanking WHERE firmbanking_id = $1",
    )
    .bind(command)
    .fetch_one(&world.pool)
    .await?;
    let (pause, inquiries, tries): (i64, i32, i32) =
        (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    ensure!(
        (FIRST - 1..=FIRST + 1).contains(&pause),
        "a pause of {pause} s"
    );
    ensure!(inquiries == 0 && tries == 0, "{inquiries} {tries}");
    due_now(&world, &[command]).await?;
    world.await_commands(&[command], "done", 1, LONG).await?;
    let told = history_is_whole(&world, command).await?;
    let inquired = told
        .last()
        .is_some_and(|it| it.starts_with("inquiry 1: done"));
    ensure!(inquired, "{told:?}");
    world.stop(&firmbanking).await?;
    world.audit_is_clean_as_it_is().await
}

/// A row that says something else than what was written down with its number is never
/// sent: people look at it. Once it says the same again, it goes out.
#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_is_not_what_has_its_number_is_a_case_and_never_sent() -> anyhow::Result<()>
{
    let world = World::begin().await?;
    let bank = world.banks(&[BANK]).await?;
    let to = world.receiver(&bank, "004").await?;
    world.dial(&bank, resting()).await?;
    let firmbanking = world.consume("firmbanking")?;
    let asked = command(corporate(BANK), to, 6_000);
    let command = id(&asked)?;
    world
        .send([world.message(Flow::Firmbanking, &asked)?])
        .await?;
    put_off_by_the_bank(&world, command).await?;
    world.stop(&firmbanking).await?;
    let before = kept(&world, command).await?;
    world.dial(&bank, Dial::default()).await?;
    let grow = |won: i64| {
        sqlx::query("UPDATE banking.firmbanking SET amount = amount + $2 WHERE firmbanking_id = $1")
            .bind(command)
            .bind(won)
            .execute(&world.pool)
    };
    grow(1).await?;
    let firmbanking = world.consume("firmbanking")?;
    world.await_commands(&[command], "manual", 1, LONG).await?;
    let after = kept(&world, command).await?;
    ensure!(
        (after.number, after.calls) == (before.number, before.calls),
        "{before:?} {after:?}"
    );

    grow(-1).await?;
    let decision = Decision {
        decision_id: Uuid::now_v7(),
        case_id: command,
        verdict: Verdict::Resend,
        fee: 0,
        operator: "kim".into(),
        reason: "the amount is as it was written down".into(),
    };
    mypay_cases::decide(&world.pool, &decision).await?;
    world.await_commands(&[command], "done", 1, LONG).await?;
    ensure!(kept(&world, command).await?.number == before.number);
    history_is_whole(&world, command).await?;
    world.stop(&firmbanking).await?;
    world.audit_is_clean_as_it_is().await
}

/// A number of an account that is too short, by the topic: rejected, with a reason. And
/// no table takes one.
#[tokio::test(flavor = "multi_thread")]
async fn an_account_number_that_is_too_short_is_rejected_and_never_waits() -> anyhow::Result<()> {
    let world = World::begin().await?;
    let bank = world.banks(&[BANK]).await?;
    let to = world.receiver(&bank, "004").await?;
    let before = world.ends(Flow::Firmbanking.result_topic())?;
    let firmbanking = world.consume("firmbanking")?;
    let mut asked = Asked::default();
    let mut messages = Vec::new();
    for number in ["1-2345", "12345", "", "123456789012345678901", "12345a"] {
        let short = BankAccount {
            bank_code: "004".to_owned(),
            account_number: number.to_owned(),
        };
        let request = command(corporate(BANK), short, 1_000);
        asked.add(
            &request.message_id,
            Must::BeRejected("invalid_account_number"),
        );
        messages.push(world.message(Flow::Firmbanking, &request)?);
    }
    // As people write it.
    let (front, back) = to.account_number.split_at(4);
    let written = BankAccount {
        account_number: format!("{front}-{back} "),
        ..to.clone()
    };
    let request = command(corporate(BANK), written, 1_000);
    asked.add(&request.message_id, Must::Complete);
    messages.push(world.message(Flow::Firmbanking, &request)?);
    world.send(messages).await?;
    world
        .await_commands(&[id(&request)?], "done", 1, LONG)
        .await?;
    let answers = eventually("an answer to each", LONG, async || {
        let ids = asked.ids();
        let results = world.results_of(Flow::Firmbanking, &before, &ids);
        let answers = results.await?;
        Ok((answers.len() >= asked.len()).then_some(answers))
    })
    .await?;
    asked.are_answered_once(&answers)?;
    let kept: String =
        sqlx::query_scalar("SELECT to_account FROM banking.firmbanking WHERE firmbanking_id = $1")
            .bind(id(&request)?)
            .fetch_one(&world.pool)
            .await?;
    ensure!(kept == to.account_number, "{kept}");

    let refused = sqlx::query(
        "UPDATE banking.firmbanking SET to_account = '12345' WHERE firmbanking_id = $1",
    )
    .bind(id(&request)?)
    .execute(&world.pool)
    .await
    .err()
    .context("the table took it")?;
    let constraint = refused.as_database_error().and_then(|it| it.constraint());
    ensure!(
        constraint == Some("firmbanking_account_numbers"),
        "{refused}"
    );
    world.stop(&firmbanking).await?;
    world.audit_is_clean_as_it_is().await
}
