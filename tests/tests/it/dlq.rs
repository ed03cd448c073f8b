//! Messages that our own code cannot handle, what waits behind them, and their way
//! out of the dead letters.

mod release;

use std::collections::HashMap;

use anyhow::{Context, ensure};
use mypay_schemas::Flow;
use mypay_schemas::firmbanking::{PURPOSE_REMITTANCE, id_of_command};
use mypay_schemas::identity::derive;
use mypay_schemas::remittance::{BankReceiver, RemittanceRequest};
use mypay_tests::banks::HOLDER;
use mypay_tests::exactly_once::{Asked, Must};
use mypay_tests::money::Reckoning;
use mypay_tests::requests::{Outgoing, payout, remittance};
use mypay_tests::topic::Offsets;
use mypay_tests::{Program, World, eventually};
use serde_json::Value;
use uuid::Uuid;

use crate::day::{LONG, seeded};

const OPENING: i64 = 100_000;
/// What the ledger cannot bear while it is broken, whole won.
const DEFECTIVE: i64 = 666;
/// How many messages wait behind one where they are many.
const BEHIND: i64 = 300;
/// The same, of what a bank has confirmed: a posting of kind 4.
const CONFIRMED: &str = "kind <> 4 OR amount <> 666";

/// Requests of one member in their order, and what the topics had before.
struct Case {
    world: World,
    members: Vec<Uuid>,
    asked: Asked,
    reckoning: Reckoning,
    results: Offsets,
    dead: Offsets,
}

/// A bank's answer that is parked, and what waits for it.
struct ParkedAnswer {
    remittance: Uuid,
    command: Uuid,
    result: Uuid,
    consumers: [Program; 2],
}

impl Case {
    async fn begin() -> anyhow::Result<Self> {
        let world = World::begin().await?;
        mend(&world).await?;
        let members = world.members(3, OPENING).await?;
        Ok(Self {
            reckoning: Reckoning::new(&members, OPENING),
            results: world.ends(Flow::Remittance.result_topic())?,
            dead: world.ends(Flow::Remittance.dead_letter_topic())?,
            asked: Asked::default(),
            members,
            world,
        })
    }

    /// Remittances of the first member, which all must complete in the end.
    fn requests(&mut self, amounts: &[i64]) -> Vec<RemittanceRequest> {
        let (from, to) = (self.members[0], self.members[1]);
        let requests = amounts.iter().map(|won| {
            let request = remittance(from, to, *won);
            self.asked.add(&request.message_id, Must::Complete);
            self.reckoning.remit(from, to, *won);
            request
        });
        requests.collect()
    }

    async fn send(&self, requests: &[&RemittanceRequest]) -> anyhow::Result<()> {
        let messages = requests
            .iter()
            .map(|request| self.world.message(Flow::Remittance, *request))
            .collect::<Result<Vec<Outgoing>, _>>()?;
        self.world.send(messages).await?;
        self.world.drained(Flow::Remittance, LONG).await
    }

    /// A remittance to a bank whose answer is parked behind a defect.
    async fn parked_answer(&mut self) -> anyhow::Result<ParkedAnswer> {
        let bank = self.world.banks(&["004"]).await?;
        let to = self.world.receiver(&bank, "020").await?;
        let receiver = BankReceiver {
            bank_code: to.bank_code,
            account_number: to.account_number,
            holder_name: HOLDER.into(),
        };
        let request = payout(self.members[0], receiver, DEFECTIVE);
        self.asked.add(&request.message_id, Must::Complete);
        let id = Uuid::try_parse(&request.message_id)?;
        let command = id_of_command(PURPOSE_REMITTANCE, id);
        let result = derive(command, "result");
        broken(&self.world, CONFIRMED).await?;
        let remittance = self.world.consume("remittance")?;
        let firmbanking = self.world.consume("firmbanking")?;
        self.send(&[&request]).await?;
        eventually("the bank's result to be parked", LONG, async || {
            self.world.all_live()?;
            Ok(parked(&self.world).await?.contains(&result).then_some(()))
        })
        .await?;
        Ok(ParkedAnswer {
            remittance: id,
            command,
            result,
            consumers: [remittance, firmbanking],
        })
    }

    /// Waits until a remittance of the first member is paid out, and reckons with it.
    async fn is_paid_out(&mut self, id: Uuid) -> anyhow::Result<()> {
        eventually("the remittance to be done", LONG, async || {
            self.world.all_live()?;
            let status = self.world.statuses("remittance", &[id]).await?;
            Ok(status.contains_key("done").then_some(()))
        })
        .await?;
        let spent: i64 = sqlx::query_scalar(
            "SELECT amount + fee FROM remittance.payout WHERE remittance_id = $1",
        )
        .bind(id)
        .fetch_one(&self.world.pool)
        .await?;
        self.reckoning.spend(self.members[0], spent);
        Ok(())
    }

    /// How many letters of each reason have come.
    fn letters(&self) -> anyhow::Result<HashMap<String, usize>> {
        let mut reasons = HashMap::new();
        for letter in self.world.dead_letters(Flow::Remittance, &self.dead)? {
            *reasons.entry(letter.reason).or_default() += 1;
        }
        Ok(reasons)
    }

    /// Fails unless all is handled once, in this order, and nothing is parked.
    async fn is_settled(&self, order: &[&RemittanceRequest]) -> anyhow::Result<()> {
        ensure!(parked(&self.world).await?.is_empty(), "something is parked");
        let answers = self
            .world
            .results_of(Flow::Remittance, &self.results, &self.asked.ids())
            .await?;
        self.asked.are_answered_once(&answers)?;
        let handled: Vec<Uuid> = sqlx::query_scalar(
            r#"SELECT message_id FROM queue_log
                WHERE consumer = 'remittance' AND message_id = ANY($1)
                ORDER BY topic, partition, "offset""#,
        )
        .bind(ids(order)?)
        .fetch_all(&self.world.pool)
        .await?;
        ensure!(handled == ids(order)?, "in another order: {handled:?}");
        self.world.balances_are(&self.reckoning).await?;
        self.world.ledger_adds_up().await?;
        self.world.audit_is_clean_as_it_is().await
    }
}

/// A defect of ours: the ledger does not bear what it should.
async fn broken(world: &World, check: &str) -> anyhow::Result<()> {
    let broken =
        format!("ALTER TABLE money.posting ADD CONSTRAINT defect CHECK ({check}) NOT VALID");
    sqlx::query(sqlx::AssertSqlSafe(broken))
        .execute(&world.pool)
        .await?;
    Ok(())
}

async fn mend(world: &World) -> anyhow::Result<()> {
    sqlx::query("ALTER TABLE money.posting DROP CONSTRAINT IF EXISTS defect")
        .execute(&world.pool)
        .await?;
    Ok(())
}

/// What the remittance consumer has parked, in the order of the queues.
async fn parked(world: &World) -> anyhow::Result<Vec<Uuid>> {
    Ok(sqlx::query_scalar(
        r#"SELECT message_id FROM parked WHERE consumer = 'remittance'
            ORDER BY key, parked_at, topic, partition, "offset""#,
    )
    .fetch_all(&world.pool)
    .await?)
}

fn ids(requests: &[&RemittanceRequest]) -> anyhow::Result<Vec<Uuid>> {
    requests
        .iter()
        .map(|request| Ok(Uuid::try_parse(&request.message_id)?))
        .collect()
}

/// Runs `mypay <args> --json`, which must succeed.
async fn said(world: &World, args: &[&str]) -> anyhow::Result<Value> {
    let args: Vec<&str> = args.iter().copied().chain(["--json"]).collect();
    let output = world.mypay(&args).await?;
    let complained = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "mypay {args:?}: {complained}");
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// The fingerprint of the letters that died of the defect, and how many are parked.
async fn group(world: &World, reason: &str) -> anyhow::Result<(String, u64)> {
    let groups = said(world, &["dlq", "groups", "--flow", "remittance"]).await?;
    let groups = groups.as_array().context("a list")?;
    // The last that died come first.
    let group = groups.iter().find(|group| group["reason"] == reason);
    let group = group.with_context(|| format!("no group of {reason} in {groups:?}"))?;
    let fingerprint = group["fingerprint"].as_str().context("a fingerprint")?;
    Ok((
        fingerprint.to_owned(),
        group["parked"].as_u64().context("a number")?,
    ))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_behind_a_defect_is_put_through_in_order_once_it_is_mended() -> anyhow::Result<()>
{
    let mut case = Case::begin().await?;
    let requests = case.requests(&[50, DEFECTIVE, 100, 200, 300]);
    let [before, first, second, third, late] = &requests[..] else {
        unreachable!("five were made")
    };
    let consumer = case.world.consume("remittance")?;
    case.send(&[before]).await?;
    broken(&case.world, &format!("amount <> {DEFECTIVE}")).await?;
    case.send(&[first, second, third]).await?;
    let waiting = ids(&[first, second, third])?;
    ensure!(parked(&case.world).await? == waiting);
    let expected = [("defect", 1), ("parked_behind", 2)];
    let expected = expected.map(|(reason, count)| (reason.to_owned(), count));
    ensure!(case.letters()? == expected.clone().into());
    // What was done before is a duplicate, parked or not.
    case.send(&[before]).await?;
    ensure!(case.letters()? == expected.into());

    // With the defect still there, a redrive changes nothing.
    let (fingerprint, parked_of_group) = group(&case.world, "defect").await?;
    ensure!(parked_of_group == 1, "{parked_of_group} are parked");
    let redrive = ["dlq", "redrive", "--fingerprint", &fingerprint];
    let report = said(&case.world, &redrive).await?;
    ensure!(report["put_through"] == 3, "{report:#}");
    case.world.drained(Flow::Remittance, LONG).await?;
    ensure!(parked(&case.world).await? == waiting);
    let answers = case
        .world
        .results_of(Flow::Remittance, &case.results, &case.asked.ids())
        .await?;
    ensure!(answers.len() == 1, "{answers:?}");
    let shown = said(&case.world, &["dlq", "show", &fingerprint]).await?;
    let shown = shown["shown"].as_array().context("letters")?.clone();
    let of_first = shown
        .iter()
        .filter(|letter| letter["message_id"] == first.message_id.as_str());
    let of_first: Vec<&Value> = of_first.collect();
    ensure!(of_first.len() == 2, "{shown:#?}");
    ensure!(of_first.iter().all(|letter| letter["parked"] == true));

    // What arrives meanwhile waits behind them all.
    case.send(&[late]).await?;
    mend(&case.world).await?;
    let dry = said(&case.world, &[&redrive[..], &["--dry-run"]].concat()).await?;
    ensure!(
        dry["put_through"] == 0 && dry["queues"][0]["parked"] == 4,
        "{dry:#}"
    );
    let report = said(&case.world, &redrive).await?;
    ensure!(report["put_through"] == 4, "{report:#}");
    case.world.drained(Flow::Remittance, LONG).await?;

    // Once more: all is done.
    let report = said(&case.world, &redrive).await?;
    ensure!(report["put_through"] == 0, "{report:#}");
    case.world.stop(&consumer).await?;
    case.is_settled(&[before, first, second, third, late]).await
}

/// Whoever puts dead letters through again, in whatever order.
#[tokio::test(flavor = "multi_thread")]
async fn parked_messages_that_come_again_in_any_order_are_handled_in_theirs() -> anyhow::Result<()>
{
    let mut case = Case::begin().await?;
    let requests = case.requests(&[DEFECTIVE, 100, 200]);
    let [first, second, third] = &requests[..] else {
        unreachable!("three were made")
    };
    broken(&case.world, &format!("amount <> {DEFECTIVE}")).await?;
    let consumer = case.world.consume("remittance")?;
    case.send(&[first, second, third]).await?;
    mend(&case.world).await?;
    // The same id with other content does not take its turn.
    let other = RemittanceRequest {
        amount: 999,
        ..first.clone()
    };
    case.send(&[&other, third, second, first, first, second, third])
        .await?;
    let letters = case.letters()?;
    ensure!(letters.get("id_conflict") == Some(&1), "{letters:?}");
    ensure!(letters.get("parked_behind") == Some(&4), "{letters:?}");
    case.world.stop(&consumer).await?;
    case.is_settled(&[first, second, third]).await
}

/// Several people redrive at once, while the consumer dies again and again.
#[tokio::test(flavor = "multi_thread")]
async fn a_queue_keeps_its_order_however_often_the_consumer_dies() -> anyhow::Result<()> {
    let mut case = Case::begin().await?;
    let amounts: Vec<i64> = std::iter::once(DEFECTIVE).chain(1..=BEHIND).collect();
    let requests = case.requests(&amounts);
    let requests: Vec<&RemittanceRequest> = requests.iter().collect();
    broken(&case.world, &format!("amount <> {DEFECTIVE}")).await?;
    let mut consumer = case.world.consume("remittance")?;
    case.send(&requests).await?;
    ensure!(parked(&case.world).await? == ids(&requests)?);
    mend(&case.world).await?;

    let mut rng = seeded();
    let redrive = ["dlq", "redrive", "--message-id", &requests[0].message_id];
    for _ in 0..4 {
        let before = case.world.gone_through(Flow::Remittance).await?;
        let (first, second) = tokio::join!(case.world.mypay(&redrive), case.world.mypay(&redrive));
        for output in [first?, second?] {
            let complained = String::from_utf8_lossy(&output.stderr);
            ensure!(output.status.success(), "{complained}");
        }
        let some = before + rng.i64(1..BEHIND);
        let flow = Flow::Remittance;
        case.world.await_gone_through(flow, some, LONG).await?;
        case.world.kill(&consumer).await?;
        consumer = case.world.again(&consumer)?;
        if parked(&case.world).await?.is_empty() {
            break;
        }
    }
    eventually("an empty queue", LONG, async || {
        case.world.drained(Flow::Remittance, LONG).await?;
        let left = !parked(&case.world).await?.is_empty();
        if left {
            case.world.mypay(&redrive).await?;
        }
        Ok((!left).then_some(()))
    })
    .await?;
    case.world.stop(&consumer).await?;
    case.is_settled(&requests).await
}

/// The dead letter of a message that lies on a result topic.
#[tokio::test(flavor = "multi_thread")]
async fn a_bank_s_result_is_put_through_again() -> anyhow::Result<()> {
    let mut case = Case::begin().await?;
    let ParkedAnswer {
        remittance: id,
        command,
        result,
        consumers,
    } = case.parked_answer().await?;

    mend(&case.world).await?;
    let redrive = ["dlq", "redrive", "--message-id", &result.to_string()];
    let report = said(&case.world, &redrive).await?;
    ensure!(report["put_through"] == 1, "{report:#}");
    case.is_paid_out(id).await?;
    is_traced(&case.world, id, command).await?;
    for consumer in &consumers {
        case.world.stop(consumer).await?;
    }
    ensure!(parked(&case.world).await?.is_empty());
    let answers = case
        .world
        .results_of(Flow::Remittance, &case.results, &case.asked.ids())
        .await?;
    case.asked.are_answered_once(&answers)?;
    case.world.balances_are(&case.reckoning).await?;
    case.world.audit_is_clean_as_it_is().await
}

/// The whole story is told, whichever of its ids is asked for.
async fn is_traced(world: &World, id: Uuid, command: Uuid) -> anyhow::Result<()> {
    let tables = [
        "queue_log",
        "remittance.payout",
        "banking.firmbanking",
        "banking.firmbanking_history",
        "money.posting",
    ];
    for asked in [id, command, derive(command, "result"), derive(id, "result")] {
        let trace = said(world, &["trace", &asked.to_string()]).await?;
        let steps = trace["steps"].as_array().context("steps")?;
        for table in tables {
            let told = steps.iter().any(|step| step["table"] == table);
            ensure!(told, "{asked}: nothing of {table} in {trace:#}");
        }
    }
    let unknown = world.mypay(&["trace", &Uuid::now_v7().to_string()]).await?;
    ensure!(unknown.status.code() == Some(1));
    let complained = String::from_utf8_lossy(&unknown.stderr);
    ensure!(complained.contains("knows no message"), "{complained}");
    Ok(())
}
