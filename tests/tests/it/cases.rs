//! What no bank can settle any more, and what people decide about it.

use std::time::Duration;

use anyhow::ensure;
use mypay_auth::Role;
use mypay_bank::dummy::Dial;
use mypay_cases::{Decision, Standing, Verdict};
use mypay_schemas::Flow;
use mypay_schemas::firmbanking::FirmbankingRequest;
use mypay_tests::banks::{command, corporate};
use mypay_tests::edge::Client;
use mypay_tests::{Program, World, eventually};
use reqwest::Method;
use sqlx::Row;
use uuid::Uuid;

use crate::day::LONG;

/// A bank whose right to inquire lapses after seconds, and whose "no such
/// transaction" is never believed: what it does not answer is for people.
fn impatient(world: &World) -> anyhow::Result<Program> {
    let lapsed = "settling_time: 1\n    inquiry_lapse: 3 #";
    let codes = world.answer_codes(&[
        ("settling_time: 1800\n    inquiry_lapse:", lapsed),
        ("transfer_timeout_ms: 15000", "transfer_timeout_ms: 1500"),
    ])?;
    let codes = codes.display().to_string();
    let args = ["consume", "firmbanking", "--answer-codes", &codes];
    world.start("firmbanking", &args)
}

fn id(request: &FirmbankingRequest) -> anyhow::Result<Uuid> {
    Ok(Uuid::try_parse(&request.message_id)?)
}

async fn decide(
    world: &World,
    case: Uuid,
    outcome: &str,
    fee: &str,
) -> anyhow::Result<Option<i32>> {
    let case = case.to_string();
    let args = [
        "bank",
        "decide",
        &case,
        "--outcome",
        outcome,
        "--fee",
        fee,
        "--operator",
        "kim.minji",
        "--reason",
        "asked the bank by telephone",
    ];
    Ok(world.mypay(&args).await?.status.code())
}

/// Three commands whose fate their bank does not tell: one it did, two it never
/// had. People settle each in another way, and each is settled once.
#[tokio::test(flavor = "multi_thread")]
async fn what_no_bank_can_settle_is_decided_by_a_name_with_a_reason_once() -> anyhow::Result<()> {
    let world = World::begin().await?;
    let bank = world.banks(&["081"]).await?;
    let to = world.receiver(&bank, "004").await?;
    let firmbanking = impatient(&world)?;
    let ask = || command(corporate("081"), to.clone(), 7_000);
    // The bank does it, and denies it for an hour.
    let mut dial = Dial {
        not_found_ms: 3_600_000,
        ..Dial::default()
    };
    dial.set("not_found_first=1")?;
    world.dial(&bank, dial).await?;
    let done = ask();
    world
        .send([world.message(Flow::Firmbanking, &done)?])
        .await?;
    world
        .await_commands(&[id(&done)?], "unknown", 1, LONG)
        .await?;
    // From here on it never has them.
    let mut dial = Dial::default();
    dial.set("error_before=1")?;
    world.dial(&bank, dial).await?;
    let (refused, resent) = (ask(), ask());
    let both = [
        world.message(Flow::Firmbanking, &refused)?,
        world.message(Flow::Firmbanking, &resent)?,
    ];
    world.send(both).await?;
    let all = [id(&done)?, id(&refused)?, id(&resent)?];
    world.await_commands(&all, "manual", 3, LONG).await?;

    let case = world
        .mypay(&["bank", "case", &done.message_id, "--json"])
        .await?;
    let case = String::from_utf8_lossy(&case.stdout).into_owned();
    for known in [
        "the right to inquire lapses at",
        "\"calls\": 1",
        "081-990081000001",
    ] {
        ensure!(
            case.contains(known),
            "the case does not tell {known:?}: {case}"
        );
    }
    let (code, said) = world.closes("081").await?;
    ensure!(code == Some(2) && said.contains("3 are cases"), "{said}");

    let number = number(&world, all[2]).await?;
    ensure!(
        decide(&world, all[0], "dismiss", "0").await? == Some(2),
        "no notice"
    );
    ensure!(decide(&world, all[0], "done", "350").await? == Some(0));
    ensure!(
        decide(&world, all[0], "refused", "0").await? == Some(1),
        "decided twice"
    );
    over_http(&world, all[1]).await?;
    ensure!(decide(&world, all[2], "resend", "0").await? == Some(0));
    world.await_commands(&all, "done", 2, LONG).await?;
    world.await_commands(&all, "refused", 1, LONG).await?;
    ensure!(
        self::number(&world, all[2]).await? == number,
        "sent again under another number"
    );

    let (code, said) = world.closes("081").await?;
    ensure!(code == Some(0), "{said}");
    world.stop(&firmbanking).await?;
    world.audit_is_clean_as_it_is().await
}

/// The same over HTTP: taken down, told again, and refused to whoever comes later.
async fn over_http(world: &World, case: Uuid) -> anyhow::Result<()> {
    let client = Client::new(world);
    let listed = client.get("/bank-cases").await?;
    ensure!(
        listed["items"]
            .as_array()
            .is_some_and(|cases| cases.len() >= 2),
        "{listed}"
    );
    let key = Uuid::now_v7().to_string();
    let path = format!("/bank-cases/{case}/decision");
    let post = async |key: &str, outcome: &str, role: Role, subject: &str| {
        let body = serde_json::json!({"outcome": outcome, "reason": "the bank never had it"});
        let request = client.request_by(role, subject, Method::POST, &path);
        let answer = request.header("Idempotency-Key", key).json(&body).send();
        anyhow::Ok(answer.await?.status().as_u16())
    };
    let lee = async |key: &str, outcome: &str| post(key, outcome, Role::Operator, "lee").await;
    ensure!(
        post(&key, "refused", Role::Staff, "lee").await? == 403,
        "not an operator"
    );
    ensure!(lee(&key, "refused").await? == 202);
    ensure!(lee(&key, "refused").await? == 200, "the same again");
    ensure!(
        lee(&key, "done").await? == 409,
        "the key of another decision"
    );
    let other = Uuid::now_v7().to_string();
    ensure!(
        post(&other, "resend", Role::Operator, "park").await? == 409,
        "decided, or being so"
    );
    let known = client.get(&format!("/bank-cases/{case}")).await?;
    ensure!(known["decisions"][0]["operator"] == "lee", "{known}");
    Ok(())
}

async fn number(world: &World, command: Uuid) -> anyhow::Result<(chrono::NaiveDate, i32)> {
    let row = sqlx::query(
        "SELECT business_date, transaction_number FROM banking.firmbanking WHERE firmbanking_id = $1",
    )
    .bind(command)
    .fetch_one(&world.pool)
    .await?;
    Ok((row.try_get(0)?, row.try_get(1)?))
}

/// A decision that the bank's own answer was faster than changes nothing, and
/// says so. (The workers are stopped, so that the two meet for certain.)
#[tokio::test(flavor = "multi_thread")]
async fn a_decision_that_the_bank_s_answer_was_faster_than_is_void() -> anyhow::Result<()> {
    let world = World::begin().await?;
    let bank = world.banks(&["081"]).await?;
    let to = world.receiver(&bank, "004").await?;
    let mut dial = Dial::default();
    dial.set("lost_answer=1")?;
    world.dial(&bank, dial).await?;
    let firmbanking = world.consume("firmbanking")?;
    let asked = command(corporate("081"), to, 9_000);
    let case = id(&asked)?;
    world
        .send([world.message(Flow::Firmbanking, &asked)?])
        .await?;
    world.await_commands(&[case], "unknown", 1, LONG).await?;
    world.kill(&firmbanking).await?;
    let now_is = |state: &'static str| {
        sqlx::query(
            "UPDATE banking.firmbanking SET state = $2, due_at = now() WHERE firmbanking_id = $1",
        )
        .bind(case)
        .bind(state)
        .execute(&world.pool)
    };
    now_is("manual").await?;
    let decision = Decision {
        decision_id: Uuid::now_v7(),
        case_id: case,
        verdict: Verdict::Refused,
        fee: 0,
        operator: "kim".into(),
        reason: "nobody answers the telephone".into(),
    };
    ensure!(mypay_cases::decide(&world.pool, &decision).await? == (Standing::Taken, true));
    // The bank's own word arrives, and it is done.
    now_is("unknown").await?;
    let firmbanking = world.again(&firmbanking)?;
    world.await_commands(&[case], "done", 1, LONG).await?;
    let standing = eventually(
        "a decision that is void",
        Duration::from_secs(10),
        async || {
            let standing = mypay_cases::standing(&world.pool, decision.decision_id).await?;
            Ok(standing.filter(|standing| *standing != Standing::Taken))
        },
    )
    .await?;
    ensure!(matches!(standing, Standing::Overtaken(_)), "{standing:?}");
    world.stop(&firmbanking).await?;
    world.audit_is_clean_as_it_is().await
}
