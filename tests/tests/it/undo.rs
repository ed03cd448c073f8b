//! Payouts that two operators bring back, by a transfer the other way round.

use anyhow::{Context, ensure};
use mypay_auth::Role::{self, Operator, Staff};
use mypay_bank::BankClient;
use mypay_bank::dummy::Dial;
use mypay_decide::AccountKind;
use mypay_decide::account::bank_owner;
use mypay_schemas::Flow;
use mypay_schemas::decoder::Decoder;
use mypay_schemas::firmbanking::{BankAccount, PURPOSE_REMITTANCE, PURPOSE_UNDO, id_of_command};
use mypay_schemas::remittance::BankReceiver;
use mypay_schemas::reversal::{
    REMITTANCE_REVERSAL, SETTLEMENT_REVERSAL, SettlementReversal, UNDONE,
};
use mypay_tests::banks::{HOLDER, today};
use mypay_tests::edge::Client;
use mypay_tests::money::Reckoning;
use mypay_tests::requests::payout;
use mypay_tests::{Program, World, eventually};
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::day::LONG;
use crate::reversals::{came_back, fee, tell_once};
use crate::settle::shop::Shop;

const OPENING: i64 = 100_000;
const WON: i64 = 30_000;

/// A remittance that bank 004 has paid to an account at bank 020, where we have an
/// account, too.
struct Paid {
    member: Uuid,
    remittance: Uuid,
    command: Uuid,
    receiver: BankAccount,
    client: Client,
    bank: BankClient,
    consumers: [Program; 2],
}

impl Paid {
    async fn out(world: &World, dial: Dial) -> anyhow::Result<Self> {
        let bank = world.banks(&["004", "020"]).await?;
        world.all_contracts_in_force().await?;
        world.only_contract("004").await?;
        world.dial(&bank, dial).await?;
        let member = world.members(1, OPENING).await?[0];
        let receiver = world.receiver(&bank, "020").await?;
        let to = BankReceiver {
            bank_code: receiver.bank_code.clone(),
            account_number: receiver.account_number.clone(),
            holder_name: HOLDER.into(),
        };
        let asked = payout(member, to, WON);
        let remittance = Uuid::try_parse(&asked.message_id)?;
        let command = id_of_command(PURPOSE_REMITTANCE, remittance);
        let consumers = [world.consume("firmbanking")?, world.consume("remittance")?];
        let message = world.message(Flow::Remittance, &asked)?;
        world.send([message]).await?;
        world.await_commands(&[command], "done", 1, LONG).await?;
        world.all_contracts_in_force().await?;
        let client = Client::new(world);
        client.accepts().await?;
        Ok(Self {
            member,
            remittance,
            command,
            receiver,
            client,
            bank,
            consumers,
        })
    }

    /// Somebody posts to what belongs to the command; gives the status and the code.
    async fn post(
        &self,
        (role, name): (Role, &str),
        what: &str,
        key: Uuid,
        reason: Option<&str>,
    ) -> anyhow::Result<(u16, Value)> {
        let path = format!("/firmbankings/{}/{what}", self.command);
        let request = self.client.request_by(role, name, Method::POST, &path);
        let mut request = request.header("Idempotency-Key", key.to_string());
        if let Some(reason) = reason {
            request = request.json(&json!({ "reason": reason }));
        }
        let answer = request.send().await?;
        Ok((answer.status().as_u16(), answer.json().await?))
    }

    async fn propose(&self, name: &str, key: Uuid, reason: &str) -> anyhow::Result<(u16, Value)> {
        self.post((Operator, name), "undo", key, Some(reason)).await
    }

    async fn approve(&self, name: &str) -> anyhow::Result<(u16, Value)> {
        let key = Uuid::now_v7();
        self.post((Operator, name), "undo/approval", key, None)
            .await
    }

    /// Waits until the undo of the payout is in a state; gives it.
    async fn is_undone(&self, world: &World, state: &str) -> anyhow::Result<Value> {
        eventually(&format!("an undo that is {state}"), LONG, async || {
            world.all_live()?;
            let path = format!("/firmbankings/{}", self.command);
            let undo = self.client.get(&path).await?["undo"].clone();
            Ok((undo["state"] == state).then_some(undo))
        })
        .await
    }

    /// What the banks took for the payout and for its undo, whole won.
    async fn fees(&self, world: &World) -> anyhow::Result<[i64; 2]> {
        let undo = id_of_command(PURPOSE_UNDO, self.command);
        let mut fees = [0, 0];
        for (fee, command) in fees.iter_mut().zip([self.command, undo]) {
            *fee =
                sqlx::query_scalar("SELECT fee FROM banking.firmbanking WHERE firmbanking_id = $1")
                    .bind(command)
                    .fetch_one(&world.pool)
                    .await?;
        }
        Ok(fees)
    }

    /// All is told and posted, and both days close.
    async fn end(self, world: &World) -> anyhow::Result<()> {
        for bank_code in ["004", "020"] {
            let (code, said) = world.closes_on(bank_code, today()).await?;
            ensure!(code == Some(0), "{bank_code} does not close: {said}");
        }
        for consumer in &self.consumers {
            world.stop(consumer).await?;
        }
        world.dial(&self.bank, Dial::default()).await?;
        world.audit_is_clean_as_it_is().await
    }
}

/// Our cash at a bank, by the ledger.
async fn cash(world: &World, bank_code: &str) -> anyhow::Result<i64> {
    Ok(sqlx::query_scalar(
        "SELECT -coalesce(sum(balance), 0)::bigint FROM money.account WHERE kind = $1 AND owner = $2",
    )
    .bind(AccountKind::CorporateCash.number())
    .bind(bank_owner(bank_code))
    .fetch_one(&world.pool)
    .await?)
}

fn is(answer: (u16, Value), status: u16, code: &str) -> anyhow::Result<()> {
    ensure!(
        answer.0 == status && answer.1["code"] == code,
        "{status} {code} was due: {answer:?}"
    );
    Ok(())
}

/// Proposed by one, approved by another, and done once, whoever asks how often and
/// whatever is killed; then the bank says that it has undone the payout, too.
#[tokio::test(flavor = "multi_thread")]
async fn a_payout_is_brought_back_once_by_two_operators() -> anyhow::Result<()> {
    let world = World::begin().await?;
    world.banks(&["004", "020"]).await?;
    let before = [cash(&world, "004").await?, cash(&world, "020").await?];
    let told_before = world.ends(REMITTANCE_REVERSAL)?;
    let mut paid = Paid::out(&world, Dial::default()).await?;

    let (key, why) = (Uuid::now_v7(), "paid to the wrong account");
    is(paid.approve("lee").await?, 404, "no_undo")?;
    let staff = paid.post((Staff, "kim"), "undo", key, Some(why)).await?;
    is(staff, 403, "wrong_role")?;
    is(paid.propose("kim", key, " ").await?, 422, "field_empty")?;
    let (status, proposed) = paid.propose("kim", key, why).await?;
    ensure!(
        status == 201 && proposed["state"] == "proposed",
        "{proposed}"
    );
    ensure!(paid.propose("kim", key, why).await? == (200, proposed));
    is(paid.propose("kim", key, "no").await?, 409, "id_conflict")?;
    let again = paid.propose("lee", Uuid::now_v7(), why).await?;
    is(again, 409, "already_undone")?;
    is(paid.approve("kim").await?, 409, "same_operator")?;
    let (status, approved) = paid.approve("lee").await?;
    ensure!(
        status == 202 && approved["approved_by"] == "lee",
        "{approved}"
    );
    for consumer in &mut paid.consumers {
        world.kill(consumer).await?;
        *consumer = world.again(consumer)?;
    }
    ensure!(paid.approve("lee").await?.0 == 200, "the same again");
    is(paid.approve("park").await?, 409, "already_approved")?;

    let done = paid.is_undone(&world, "done").await?;
    ensure!(done["undo_id"] == json!(id_of_command(PURPOSE_UNDO, paid.command)));
    came_back(&world, &[paid.remittance]).await?;
    let kept = fee(&world, paid.remittance).await?;
    let events = tell_once(&world, &told_before, &[paid.remittance]).await?;
    ensure!(
        events[0].reason == UNDONE && events[0].amount == WON && events[0].fee_kept == kept,
        "{events:?}"
    );
    let mut reckoning = Reckoning::new(&[paid.member], OPENING);
    reckoning.spend(paid.member, kept);
    world.balances_are(&reckoning).await?;
    ensure!(world.at_banks(std::slice::from_ref(&paid.receiver)).await? == 0);
    // What 004 had paid is at 020 now.
    let fees = paid.fees(&world).await?;
    let after = [cash(&world, "004").await?, cash(&world, "020").await?];
    ensure!(
        after == [before[0] - WON - fees[0], before[1] + WON - fees[1]],
        "{before:?} {after:?} {fees:?}"
    );
    let again = paid.propose("kim", Uuid::now_v7(), why).await?;
    is(again, 409, "already_undone")?;

    dismissed_notice(&world, &paid).await?;
    world.balances_are(&reckoning).await?;
    paid.end(&world).await
}

/// The bank's notice that it has undone the payout is a case, and moves nothing.
async fn dismissed_notice(world: &World, paid: &Paid) -> anyhow::Result<()> {
    // The bank's own table: it says so, and has not.
    sqlx::query(
        "INSERT INTO dummy_bank.notice
                (bank_code, notice_date, notice_number, business_date, number, amount, reversed_at, lost)
         SELECT f.from_bank, $2,
                (SELECT coalesce(max(notice_number), 0) + 1 FROM dummy_bank.notice
                  WHERE bank_code = f.from_bank AND notice_date = $2),
                f.business_date, f.transaction_number, f.amount, now(), false
           FROM banking.firmbanking f WHERE f.firmbanking_id = $1",
    )
    .bind(paid.command)
    .bind(today())
    .execute(&world.pool)
    .await?;
    let case_id: Uuid = eventually("a case", LONG, async || {
        world.all_live()?;
        Ok(sqlx::query_scalar(
            "SELECT n.case_id FROM banking.notice n
               JOIN banking.firmbanking f ON f.from_bank = n.bank_code
                AND f.business_date = n.business_date AND f.transaction_number = n.transaction_number
              WHERE f.firmbanking_id = $1 AND n.state = 'case'",
        )
        .bind(paid.command)
        .fetch_optional(&world.pool)
        .await?)
    })
    .await?;
    let dismissed = Uuid::to_string(&case_id);
    let args = [
        "bank",
        "decide",
        &dismissed,
        "--outcome",
        "dismiss",
        "--operator",
        "kim",
        "--reason",
        "the bank was mistaken",
    ];
    let decided = world.mypay(&args).await?;
    ensure!(decided.status.success(), "{decided:?}");
    Ok(())
}

/// The receiver has spent the money: its bank refuses, all stays as it was, and the
/// payout is not undone again.
#[tokio::test(flavor = "multi_thread")]
async fn an_undo_that_the_bank_refuses_leaves_all_as_it_was() -> anyhow::Result<()> {
    let world = World::begin().await?;
    let told_before = world.ends(REMITTANCE_REVERSAL)?;
    let paid = Paid::out(&world, Dial::default()).await?;
    let kept = fee(&world, paid.remittance).await?;
    let mut reckoning = Reckoning::new(&[paid.member], OPENING);
    reckoning.spend(paid.member, WON + kept);
    sqlx::query(
        "UPDATE dummy_bank.account SET balance = 0 WHERE bank_code = $1 AND account_number = $2",
    )
    .bind(&paid.receiver.bank_code)
    .bind(&paid.receiver.account_number)
    .execute(&world.pool)
    .await?;
    ensure!(paid.propose("kim", Uuid::now_v7(), "a mistake").await?.0 == 201);
    ensure!(paid.approve("lee").await?.0 == 202);
    let refused = paid.is_undone(&world, "refused").await?;
    ensure!(refused["refused_for"].is_string(), "{refused}");
    let again = paid.propose("kim", Uuid::now_v7(), "once more").await?;
    is(again, 409, "already_undone")?;
    ensure!(paid.approve("lee").await? == (200, refused));
    world.balances_are(&reckoning).await?;
    ensure!(
        world
            .read_from(REMITTANCE_REVERSAL, &told_before)?
            .is_empty()
    );
    paid.end(&world).await
}

/// What its bank has undone is not undone once more, proposed before or after.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_bank_has_undone_we_do_not_undo() -> anyhow::Result<()> {
    let world = World::begin().await?;
    let mut dial = Dial {
        // Long enough to propose it in between.
        reversal_ms: 12_000,
        ..Dial::default()
    };
    dial.set("late_reversal=1")?;
    let paid = Paid::out(&world, dial).await?;
    let (status, proposed) = paid.propose("kim", Uuid::now_v7(), "a mistake").await?;
    ensure!(status == 201, "{proposed}");
    came_back(&world, &[paid.remittance]).await?;
    is(paid.approve("lee").await?, 409, "not_undoable")?;
    let kept = fee(&world, paid.remittance).await?;
    let mut reckoning = Reckoning::new(&[paid.member], OPENING);
    reckoning.spend(paid.member, kept);
    world.balances_are(&reckoning).await?;
    paid.end(&world).await
}

/// Nor where the undo had its number already, and its bank was not reached: not a byte of
/// it has left, and its receiver would pay twice.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_bank_has_undone_meanwhile_is_not_sent_under_its_number() -> anyhow::Result<()> {
    let world = World::begin().await?;
    let mut dial = Dial {
        reversal_ms: 15_000,
        ..Dial::default()
    };
    dial.set("late_reversal=1")?;
    let mut paid = Paid::out(&world, dial).await?;
    let mut silent = Dial::default();
    silent.set("020:error_before=1")?;
    world.dial(&paid.bank, silent).await?;
    ensure!(paid.propose("kim", Uuid::now_v7(), "a mistake").await?.0 == 201);
    ensure!(paid.approve("lee").await?.0 == 202);
    let undo = id_of_command(PURPOSE_UNDO, paid.command);
    world.await_commands(&[undo], "unknown", 1, LONG).await?;
    world.kill(&paid.consumers[0]).await?;
    eventually("the bank's notice", LONG, async || {
        Ok(sqlx::query(
            "SELECT 1 FROM dummy_bank.notice n
               JOIN banking.firmbanking f ON f.from_bank = n.bank_code
                AND f.business_date = n.business_date AND f.transaction_number = n.number
              WHERE f.firmbanking_id = $1",
        )
        .bind(paid.command)
        .fetch_optional(&world.pool)
        .await?)
    })
    .await?;
    // As where no connection was made: the call is taken back, and the number stays.
    sqlx::query(
        "UPDATE banking.firmbanking
            SET state = 'pending', calls = 0, inquiries = 0, inquiry_tries = 0, send_tries = 1,
                leased_until = NULL, due_at = now() + interval '5 seconds'
          WHERE firmbanking_id = $1",
    )
    .bind(undo)
    .execute(&world.pool)
    .await?;
    world.dial(&paid.bank, Dial::default()).await?;
    paid.consumers[0] = world.again(&paid.consumers[0])?;
    let refused = paid.is_undone(&world, "refused").await?;
    ensure!(refused["refused_for"] == "came_back", "{refused}");
    came_back(&world, &[paid.remittance]).await?;
    let kept = fee(&world, paid.remittance).await?;
    let mut reckoning = Reckoning::new(&[paid.member], OPENING);
    reckoning.spend(paid.member, kept);
    world.balances_are(&reckoning).await?;
    paid.end(&world).await
}

/// A franchise's payout, undone by the command line: owed again, and paid by a retry.
#[tokio::test(flavor = "multi_thread")]
async fn a_settlement_that_is_undone_is_owed_and_paid_again() -> anyhow::Result<()> {
    let world = World::begin().await?;
    let shop = Shop::open(&world).await?;
    for flow in ["payment", "settlement", "firmbanking"] {
        world.consume(flow)?;
    }
    let before = world.ends(SETTLEMENT_REVERSAL)?;
    shop.pay(100_000).await?;
    let run = shop.settle().await?;
    shop.part(&run, 97_500, "COMPLETED", Value::Null).await?;
    let command: Uuid =
        sqlx::query_scalar("SELECT firmbanking_id FROM settlement.payout WHERE run_id = $1::uuid")
            .bind(&run)
            .fetch_one(&world.pool)
            .await?;
    let id = command.to_string();
    let propose = [
        "bank",
        "undo",
        &id,
        "--operator",
        "kim",
        "--reason",
        "twice",
    ];
    let approve = |operator| ["bank", "approve-undo", &*id, "--operator", operator];
    let code = async |args: &[&str]| anyhow::Ok(world.mypay(args).await?.status.code());
    ensure!(code(&approve("lee")).await? == Some(1), "not proposed");
    ensure!(code(&propose).await? == Some(0));
    ensure!(code(&propose).await? == Some(1), "another proposal");
    ensure!(code(&approve("kim")).await? == Some(1), "the same operator");
    ensure!(code(&approve("lee")).await? == Some(0));
    ensure!(code(&approve("lee")).await? == Some(0), "the same again");

    let told = eventually("the payout to come back", LONG, async || {
        world.all_live()?;
        let told = world.read_from(SETTLEMENT_REVERSAL, &before)?;
        Ok((!told.is_empty()).then_some(told))
    })
    .await?;
    let mut decoder = Decoder::new(&world.endpoints.registry_url);
    let payload = told[0].payload.as_deref().context("a payload")?;
    let event: SettlementReversal = decoder.decode(payload).await?;
    ensure!(
        event.reason == UNDONE && event.amount == 97_500 && event.request_id == run,
        "{event:?}"
    );
    let retry = format!("/franchises/{}/payouts/retry", shop.franchise);
    let run = shop.done(&retry, &json!({})).await?;
    shop.part(&run, 97_500, "COMPLETED", Value::Null).await?;
    let (code, said) = world.closes("004").await?;
    ensure!(code == Some(0), "the day does not close: {said}");
    world.audit_is_clean().await
}
