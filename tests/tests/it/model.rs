//! The pipeline against a second ledger: random requests of all flows, with
//! duplicates, a bank that loses answers, refuses and undoes, members who leave
//! between two rounds, and consumers that are killed meanwhile.
//!
//! `MYPAY_MODEL_SEED` draws other requests (the bank's faults fall on other ones
//! where the commands come in another order); `MYPAY_MODEL_COUNT` makes it longer.
//! [`mypay_tests::model`] says why the order does not matter.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use anyhow::{Context, ensure};
use chrono::Utc;
use mypay_bank::BankClient;
use mypay_bank::dummy::Dial;
use mypay_schemas::Flow;
use mypay_schemas::firmbanking::BankAccount;
use mypay_schemas::payment::PaymentResult;
use mypay_schemas::remittance::RemittanceResult;
use mypay_schemas::settlement::SettlementRequest;
use mypay_tests::exactly_once::{Asked, Must};
use mypay_tests::model::draw::{Body, Draw, Drawn, Outcome};
use mypay_tests::model::ends::{Won, are_the_same};
use mypay_tests::model::ledger::Standing;
use mypay_tests::model::truth::{Number, Truth};
use mypay_tests::requests::Outgoing;
use mypay_tests::topic::Offsets;
use mypay_tests::{Program, World, eventually};
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::day::LONG;

/// Which requests are drawn where nothing is said.
const SEED: u64 = 20_261_126;
/// Requests, where nothing is said; and how many between two quiet moments.
const COUNT: usize = 360;
const ROUND: usize = 120;
/// About two seconds a round, so that there is a midst to kill somebody in.
const PER_SECOND: usize = 90;

#[tokio::test(flavor = "multi_thread")]
async fn a_random_sequence_ends_as_a_second_ledger_says() -> anyhow::Result<()> {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let seed = number("MYPAY_MODEL_SEED").unwrap_or(SEED);
    let count = number("MYPAY_MODEL_COUNT").map_or(COUNT, |count| count as usize);
    let again = format!("MYPAY_MODEL_SEED={seed} MYPAY_MODEL_COUNT={count}");
    eprintln!("{again}");
    run(seed, count).await.context(again)
}

async fn run(seed: u64, count: usize) -> anyhow::Result<()> {
    let world = World::begin().await?;
    let mut run = Run::begin(&world, seed, count).await?;
    for round in 0..count.div_ceil(ROUND) {
        let rounded = run.round(round).await;
        rounded.with_context(|| format!("round {round}"))?;
    }
    run.end().await
}

struct Run<'a> {
    world: &'a World,
    bank: BankClient,
    draw: Draw,
    programs: Vec<Program>,
    /// How many of them may be killed.
    mortal: usize,
    asked: HashMap<Flow, Asked>,
    before: HashMap<Flow, Offsets>,
    /// Transfers that were looked at.
    read: HashSet<Number>,
}

impl<'a> Run<'a> {
    async fn begin(world: &'a World, seed: u64, count: usize) -> anyhow::Result<Self> {
        let bank = world.banks(&mypay_tests::model::town::CONTRACTS).await?;
        let mut dial = Dial {
            seed,
            in_progress_ms: 500,
            not_found_ms: 500,
            reversal_ms: 300,
            ..Dial::default()
        };
        for fault in [
            "lost_answer=0.1",
            "error_before=0.04",
            "error_after=0.04",
            "cut=0.04",
            "garbage=0.02",
            "unknown_code=0.02",
            "refuse=0.1",
            "in_progress=0.05",
            "not_found_first=0.03",
            "late_reversal=0.2",
            "lost_notice=0.3",
        ] {
            dial.set(fault)?;
        }
        let (ledger, receivers) = world.model_town(&bank).await?;
        world.dial(&bank, dial).await?;
        let mut read = HashSet::new();
        Truth::read(&world.pool, &mut read).await?;
        let before = Flow::ALL
            .into_iter()
            .map(|flow| Ok((flow, world.ends(flow.result_topic())?)))
            .collect::<anyhow::Result<_>>()?;
        let programs = [
            "recharge",
            "remittance",
            "payment",
            "settlement",
            "closing",
            "firmbanking",
        ]
        .into_iter()
        .map(|flow| world.consume(flow))
        .collect::<Result<Vec<_>, _>>()?;
        // What a killed worker had at a bank waits for its lease, 40 s: too long for
        // a short run.
        let mortal = programs.len() - usize::from(count <= COUNT);
        Ok(Self {
            world,
            bank,
            draw: Draw::new(ledger, receivers, fastrand::Rng::with_seed(seed)),
            programs,
            mortal,
            asked: HashMap::new(),
            before,
            read,
        })
    }

    async fn round(&mut self, round: usize) -> anyhow::Result<()> {
        self.members_leave().await?;
        if round > 0 {
            self.staff_at_work().await?;
        }
        let drawn = self.draw.round(ROUND, Utc::now());
        ensure!(drawn.len() == ROUND, "only {} are certain", drawn.len());
        let messages = self.messages(&drawn)?;
        let pumping = self.world.pump(messages, PER_SECOND)?;
        self.kill_some().await?;
        pumping.await??;
        self.quiet().await?;
        self.hear_the_banks().await?;
        self.both_have_the_same().await
    }

    /// Closings, until the banks have answered: who has left and who has not is certain
    /// when the round begins.
    async fn members_leave(&mut self) -> anyhow::Result<()> {
        let drawn = self.draw.closings();
        let messages = self.messages(&drawn)?;
        self.world.send(messages).await?;
        self.kill_some().await?;
        self.quiet().await?;
        self.hear_the_banks().await
    }

    /// Rates, holds, and a run over all that was paid before.
    async fn staff_at_work(&mut self) -> anyhow::Result<()> {
        let count = self.draw.ledger.franchises.len();
        let (whose, other) = (
            self.draw.rng().usize(..count),
            self.draw.rng().usize(..count),
        );
        let bps = self.draw.rng().i32(0..=1_000);
        let shop = &mut self.draw.ledger.franchises[whose];
        shop.bps = bps;
        self.world.set_commission(shop.id, bps).await?;
        let shop = &mut self.draw.ledger.franchises[other];
        shop.on_hold = !shop.on_hold;
        self.world.set_hold(shop.id, shop.on_hold).await?;

        let message_id = Uuid::now_v7().to_string();
        let request = SettlementRequest {
            correlation_id: message_id.clone(),
            message_id: message_id.clone(),
            requested_at: Utc::now().timestamp_millis(),
            cut_at: Utc::now().timestamp_millis(),
            franchise_id: None,
            causation_id: None,
        };
        self.must(Flow::Settlement, &message_id, Must::Complete);
        let message = self.world.message(Flow::Settlement, &request)?;
        // Twice, in one partition: the second finds nothing to do.
        self.world.send([message.clone(), message]).await?;
        self.world.drained(Flow::Settlement, LONG).await?;
        self.draw.ledger.settle();
        Ok(())
    }

    fn must(&mut self, flow: Flow, id: &str, must: Must) {
        self.asked.entry(flow).or_default().add(id, must);
    }

    /// The messages of a round, some of them twice.
    fn messages(&mut self, drawn: &[Drawn]) -> anyhow::Result<Vec<Outgoing>> {
        let mut messages: Vec<Outgoing> = Vec::new();
        for drawn in drawn {
            let (flow, message) = match &drawn.body {
                Body::Recharge(it) => (Flow::Recharge, self.world.message(Flow::Recharge, it)?),
                Body::Remittance(it) => {
                    (Flow::Remittance, self.world.message(Flow::Remittance, it)?)
                }
                Body::Payment(it) => (Flow::Payment, self.world.message(Flow::Payment, it)?),
                Body::Firmbanking(it) => (
                    Flow::Firmbanking,
                    self.world.message(Flow::Firmbanking, it)?,
                ),
                Body::Closing(it) => (Flow::Closing, self.world.message(Flow::Closing, it)?),
            };
            let id = drawn.id.to_string();
            match drawn.outcome {
                Outcome::Completed => self.must(flow, &id, Must::Complete),
                Outcome::Rejected(reason) => self.must(flow, &id, Must::BeRejected(reason)),
                Outcome::AwaitsBank => {}
            }
            let mut again = message.clone();
            messages.push(message);
            match self.draw.rng().u32(0..100) {
                0..5 => messages.push(again),
                // From a client that keys otherwise: in another lane, maybe sooner.
                5..8 if !drawn.in_order => {
                    again.key = Some(id.into_bytes());
                    let place = messages.len().saturating_sub(self.draw.rng().usize(1..40));
                    messages.insert(place.max(1) - 1, again);
                }
                _ => {}
            }
        }
        Ok(messages)
    }

    /// Two of the consumers are killed while the requests come in.
    async fn kill_some(&mut self) -> anyhow::Result<()> {
        for _ in 0..2 {
            let pause = self.draw.rng().u64(100..800);
            let which = self.draw.rng().usize(..self.mortal);
            tokio::time::sleep(Duration::from_millis(pause)).await;
            let program = &self.programs[which];
            self.world.kill(program).await?;
            self.programs[which] = self.world.again(program)?;
        }
        Ok(())
    }

    async fn quiet(&self) -> anyhow::Result<()> {
        for flow in Flow::ALL {
            self.world.drained(flow, LONG).await?;
        }
        eventually("nothing to be under way", LONG, async || {
            self.world.all_live()?;
            Ok((self.world.under_way().await? == 0).then_some(()))
        })
        .await
    }

    /// What the banks did, the second ledger hears from their own book; what was
    /// topped up goes on to other banks then.
    async fn hear_the_banks(&mut self) -> anyhow::Result<()> {
        let mut truth = Truth::read(&self.world.pool, &mut self.read).await?;
        loop {
            let commands = std::mem::take(&mut self.draw.ledger.commands);
            if commands.is_empty() {
                return truth.is_used_up();
            }
            for command in commands {
                let (done, undone) = truth.of(&command)?;
                for (flow, request, must) in self.draw.ledger.told(&command, done) {
                    self.must(flow, &request.to_string(), must);
                }
                self.draw.ledger.answered(&command, done, undone);
            }
        }
    }

    async fn both_have_the_same(&self) -> anyhow::Result<()> {
        let ledger = &self.draw.ledger;
        let members: Vec<Uuid> = ledger.members.iter().map(|member| member.id).collect();
        let theirs = ledger.members.iter().map(|it| (it.id, it.balance));
        are_the_same(
            "members' balances",
            &won(self.world.balances(&members).await?),
            &won(theirs),
        )?;
        let pending = ledger.members.iter().find(|member| member.pending != 0);
        ensure!(pending.is_none(), "recharges under way: {pending:?}");
        let leaving = self.world.leaving(&members).await?;
        are_the_same(
            "memberships that have ended",
            &won(leaving.iter().map(|it| (it.0, i64::from(it.1)))),
            &won(ledger
                .members
                .iter()
                .map(|it| (it.id, i64::from(it.standing == Standing::Closed)))),
        )?;
        are_the_same(
            "sums that are kept for who has left",
            &won(leaving.iter().map(|it| (it.0, it.2))),
            &won(ledger.members.iter().map(|it| (it.id, it.unclaimed))),
        )?;
        let shops: Vec<Uuid> = ledger.franchises.iter().map(|shop| shop.id).collect();
        // Who was never paid has no account yet.
        let mut ours: HashMap<Uuid, i64> = shops.iter().map(|id| (*id, 0)).collect();
        ours.extend(self.world.payables(&shops).await?);
        let theirs = shops.iter().enumerate();
        let theirs = theirs.map(|(number, id)| (*id, ledger.payable(number)));
        are_the_same("debts to franchises", &won(ours), &won(theirs))
    }

    /// What results say was topped up.
    async fn both_topped_up_the_same(&self) -> anyhow::Result<()> {
        let (remittances, payments) = (Flow::Remittance, Flow::Payment);
        let remitted: Vec<RemittanceResult> = self.told(remittances).await?;
        let paid: Vec<PaymentResult> = self.told(payments).await?;
        let told = remitted
            .into_iter()
            .map(|it| (it.request_id, it.topped_up))
            .chain(paid.into_iter().map(|it| (it.request_id, it.topped_up)));
        let asked = [remittances, payments].map(|flow| self.asked.get(&flow));
        let asked: HashSet<String> = asked.into_iter().flatten().flat_map(Asked::ids).collect();
        let ours: Won = told.filter(|(id, _)| asked.contains(id)).collect();
        let mut theirs: Won = asked.into_iter().map(|id| (id, 0)).collect();
        theirs.extend(won(self.draw.ledger.topped_up.clone()));
        let count = self.draw.ledger.topped_up.len();
        ensure!(count > 0, "nothing was topped up");
        eprintln!("{count} requests were topped up");
        are_the_same("top-ups", &ours, &theirs)
    }

    /// Results of a flow since the beginning.
    async fn told<T: DeserializeOwned>(&self, flow: Flow) -> anyhow::Result<Vec<T>> {
        let (topic, before) = (flow.result_topic(), &self.before[&flow]);
        self.world.decoded(topic, before).await
    }

    async fn banks_have_the_same(&self) -> anyhow::Result<()> {
        let mut ours = Won::new();
        let mut theirs = Won::new();
        for ((bank_code, account_number), must_have) in &self.draw.ledger.at_bank {
            let account = BankAccount {
                bank_code: bank_code.clone(),
                account_number: account_number.clone(),
            };
            let has = self.world.at_bank(&self.bank, &account).await?;
            let whose = format!("{bank_code} {account_number}");
            ours.insert(whose.clone(), has);
            theirs.insert(whose, *must_have);
        }
        are_the_same("accounts at banks", &ours, &theirs)
    }

    /// That the comparison says something: it sees a single won.
    async fn one_won_is_seen(&self) -> anyhow::Result<()> {
        let members = &self.draw.ledger.members;
        let here = members.iter().find(|it| it.standing == Standing::Open);
        let here = here.context("everybody has left")?.id;
        let change = async |won: i64| {
            sqlx::query("UPDATE money.account SET balance = balance + $2 WHERE account_id = $1")
                .bind(here)
                .bind(won)
                .execute(&self.world.pool)
                .await
        };
        change(1).await?;
        let compared = self.both_have_the_same().await;
        change(-1).await?;
        ensure!(compared.is_err(), "a won too many was not seen");
        self.both_have_the_same().await
    }

    /// That the closings of this run came to something.
    fn somebody_has_left(&self) -> anyhow::Result<()> {
        let members = self.draw.ledger.members.iter();
        let left = members.filter(|it| it.standing == Standing::Closed).count();
        ensure!(left > 0, "nobody has left");
        eprintln!("{left} members have left");
        Ok(())
    }

    /// Results, and what the banks' accounts hold.
    async fn end(self) -> anyhow::Result<()> {
        self.one_won_is_seen().await?;
        self.somebody_has_left()?;
        let mut count = 0;
        for (flow, asked) in &self.asked {
            let answers = self
                .world
                .results_of(*flow, &self.before[flow], &asked.ids())
                .await?;
            asked
                .are_answered_once(&answers)
                .with_context(|| format!("results of {flow}"))?;
            count += asked.len();
        }
        self.both_topped_up_the_same().await?;
        self.banks_have_the_same().await?;
        eprintln!("{count} requests, and both ledgers say the same");
        self.world.dial(&self.bank, Dial::default()).await?;
        self.world.all_contracts().await?;
        for program in &self.programs {
            self.world.stop(program).await?;
        }
        self.world.audit_is_clean_as_it_is().await
    }
}

fn won(of: impl IntoIterator<Item = (Uuid, i64)>) -> Won {
    let of = of.into_iter();
    of.map(|(whose, won)| (whose.to_string(), won)).collect()
}
