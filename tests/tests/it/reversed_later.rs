//! A payout of one business day that its bank undoes on the next, and how both close.

use std::time::Duration;

use anyhow::{Context, ensure};
use chrono::NaiveDate;
use mypay_bank::BankClient;
use mypay_bank::dummy::Dial;
use mypay_bank::wire::DayTotals;
use mypay_decide::account::bank_owner;
use mypay_decide::firmbanking::direct_reversal_id;
use mypay_decide::{AccountKind, EntryKind};
use mypay_schemas::Flow;
use mypay_schemas::firmbanking::{PURPOSE_REMITTANCE, id_of_command};
use mypay_schemas::remittance::BankReceiver;
use mypay_schemas::reversal::{REMITTANCE_REVERSAL, reversal_id};
use mypay_tests::banks::{HOLDER, command, corporate, today};
use mypay_tests::money::Reckoning;
use mypay_tests::requests::payout;
use mypay_tests::world::binary;
use mypay_tests::{World, eventually};
use uuid::Uuid;

use crate::day::LONG;
use crate::reversals::{came_back, fee, tell_once};

/// Who pays, and where our other account is.
const PAYER: &str = "004";
const OTHER: &str = "020";
const OPENING: i64 = 100_000;
const PAYOUTS: usize = 3;
/// Of each payout, and of the transfer between our two accounts, whole won.
const WON: i64 = 3_000;
const BETWEEN: i64 = 30_000;

/// Remittances and a transfer of ours to our account at another bank, all of yesterday's
/// business date, are undone today. Yesterday closes before that and after it, and today
/// closes, too, at both banks; the senders have their money again.
#[tokio::test(flavor = "multi_thread")]
async fn a_payout_that_is_reversed_a_day_later_leaves_both_days_closed() -> anyhow::Result<()> {
    let world = World::begin().await?;
    let bank = world.banks(&[PAYER, OTHER]).await?;
    // Paid from one bank to another, else no bank undoes it.
    let others = world.only_contract(PAYER).await?;
    let to = world.receiver(&bank, OTHER).await?;
    let member = world.members(1, OPENING).await?;
    let receiver = BankReceiver {
        bank_code: to.bank_code.clone(),
        account_number: to.account_number.clone(),
        holder_name: HOLDER.into(),
    };
    let asked: Vec<_> = (0..PAYOUTS)
        .map(|_| payout(member[0], receiver.clone(), WON))
        .collect();
    let remitted: Vec<Uuid> = asked
        .iter()
        .map(|request| Uuid::try_parse(&request.message_id))
        .collect::<Result<_, _>>()?;
    let between = command(corporate(PAYER), corporate(OTHER), BETWEEN);
    let direct = Uuid::try_parse(&between.message_id)?;
    let mut commands: Vec<Uuid> = remitted
        .iter()
        .map(|id| id_of_command(PURPOSE_REMITTANCE, *id))
        .collect();
    commands.push(direct);
    let before = world.ends(REMITTANCE_REVERSAL)?;

    // Nothing reaches the bank before the commands have yesterday's numbers.
    world.kill_bank().await?;
    let remittance = world.consume("remittance")?;
    let firmbanking = world.consume("firmbanking")?;
    let mut messages = asked
        .iter()
        .map(|request| world.message(Flow::Remittance, request))
        .collect::<Result<Vec<_>, _>>()?;
    messages.push(world.message(Flow::Firmbanking, &between)?);
    world.send(messages).await?;
    world
        .await_commands(&commands, "pending", commands.len(), LONG)
        .await?;
    world.stop(&firmbanking).await?;
    let (later, day) = (today(), yesterday());
    numbered_on(&world, day, &commands).await?;
    world.bank().await?;
    let mut dial = Dial {
        // Later than the test lasts: it says itself when.
        reversal_ms: 3_600_000,
        ..Dial::default()
    };
    dial.set("late_reversal=1")?;
    world.dial(&bank, dial).await?;
    let firmbanking = world.again(&firmbanking)?;
    world
        .await_commands(&commands, "done", commands.len(), LONG)
        .await?;
    world.drained(Flow::Remittance, LONG).await?;
    for bank_code in [PAYER, OTHER] {
        is_closed(&world, bank_code, day).await?;
    }
    let done = Days::of(&bank, day, later).await?;

    undo(&world, day, commands.len()).await?;
    came_back(&world, &remitted).await?;
    undone(&world, direct).await?;
    for bank_code in [PAYER, OTHER] {
        for date in [day, later] {
            is_closed(&world, bank_code, date).await?;
        }
    }
    let after = Days::of(&bank, day, later).await?;
    after.has_moved_only_today(&done, commands.len() as i64)?;

    let mut reckoning = Reckoning::new(&member, OPENING);
    // The fee, whose work was done, is not given back.
    reckoning.spend(member[0], fee(&world, remitted[0]).await? * PAYOUTS as i64);
    world.balances_are(&reckoning).await?;
    for id in &remitted {
        let entry = reversal_id(*id);
        compensated(&world, entry, WON, (AccountKind::MemberMoney, member[0])).await?;
    }
    let other = (AccountKind::CorporateCash, bank_owner(OTHER));
    compensated(&world, direct_reversal_id(direct), BETWEEN, other).await?;
    let events = tell_once(&world, &before, &remitted).await?;
    ensure!(events.iter().all(|event| event.amount == WON), "{events:?}");

    world.stop(&remittance).await?;
    world.stop(&firmbanking).await?;
    world.dial(&bank, Dial::default()).await?;
    world.contracts_in_force(&others).await?;
    world.audit_is_clean_as_it_is().await
}

fn yesterday() -> NaiveDate {
    today() - chrono::TimeDelta::days(1)
}

/// Gives commands that were not sent numbers of a day, as if they had been taken on it
/// and the bank could not be reached since: they go out with what they have.
async fn numbered_on(world: &World, date: NaiveDate, commands: &[Uuid]) -> anyhow::Result<()> {
    let numbered = sqlx::query(
        "WITH numbered AS (
             SELECT firmbanking_id, row_number() OVER (ORDER BY firmbanking_id)
                    + (SELECT coalesce(max(transaction_number), 0) FROM banking.firmbanking
                        WHERE from_bank = $3 AND business_date = $2) AS number
               FROM banking.firmbanking
              WHERE firmbanking_id = ANY($1) AND from_bank = $3 AND state = 'pending'
         )
         UPDATE banking.firmbanking f
            SET business_date = $2, transaction_number = n.number::int, due_at = now(),
                leased_until = NULL, content_hash = NULL
           FROM numbered n WHERE n.firmbanking_id = f.firmbanking_id",
    )
    .bind(commands)
    .bind(date)
    .bind(PAYER)
    .execute(&world.pool)
    .await?;
    ensure!(
        numbered.rows_affected() == commands.len() as u64,
        "{numbered:?} of {commands:?}"
    );
    Ok(())
}

/// The bank undoes what it did on a day, now.
async fn undo(world: &World, date: NaiveDate, count: usize) -> anyhow::Result<()> {
    let due = sqlx::query(
        "UPDATE dummy_bank.transfer SET reverse_at = now()
          WHERE bank_code = $1 AND business_date = $2 AND reverse_at IS NOT NULL",
    )
    .bind(PAYER)
    .bind(date)
    .execute(&world.pool)
    .await?;
    ensure!(due.rows_affected() == count as u64, "{due:?}");
    Ok(())
}

/// Waits until a direct command is undone.
async fn undone(world: &World, command: Uuid) -> anyhow::Result<()> {
    eventually("the transfer to come back", LONG, async || {
        world.all_live()?;
        let undone: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT 1 FROM banking.reversal WHERE firmbanking_id = $1)",
        )
        .bind(command)
        .fetch_one(&world.pool)
        .await?;
        Ok(undone.then_some(()))
    })
    .await
}

async fn is_closed(world: &World, bank_code: &str, date: NaiveDate) -> anyhow::Result<()> {
    let (code, said) = world.closes_on(bank_code, date).await?;
    ensure!(
        code == Some(0) && said.contains("closed, 16 figures are equal"),
        "{bank_code} does not close {date}: {said}"
    );
    Ok(())
}

/// Both days by the banks' own books: the payer's, and what our account at the other
/// bank held at the end of each.
struct Days {
    day: DayTotals,
    later: DayTotals,
    /// Whole won.
    held: [i64; 2],
}

impl Days {
    async fn of(bank: &BankClient, day: NaiveDate, later: NaiveDate) -> anyhow::Result<Self> {
        Ok(Self {
            day: totals(bank, PAYER, day).await?,
            later: totals(bank, PAYER, later).await?,
            held: [
                held(&totals(bank, OTHER, day).await?)?,
                held(&totals(bank, OTHER, later).await?)?,
            ],
        })
    }

    /// The figures of the day stand as they were; what came back is the next one's.
    fn has_moved_only_today(&self, before: &Self, count: i64) -> anyhow::Result<()> {
        ensure!(self.day.outgoing.count >= count, "{:?}", self.day);
        ensure!(
            self.day.outgoing == before.day.outgoing
                && self.day.reversed == before.day.reversed
                && self.held[0] == before.held[0],
            "{:?} was {:?}",
            self.day,
            before.day
        );
        let won = PAYOUTS as i64 * WON + BETWEEN;
        let (is, was) = (self.later.reversed, before.later.reversed);
        ensure!(
            (is.count - was.count, is.amount - was.amount) == (count, won)
                && self.held[1] == before.held[1] - BETWEEN,
            "{is:?} was {was:?}, {:?} held was {:?}",
            self.held,
            before.held
        );
        Ok(())
    }
}

async fn totals(bank: &BankClient, bank_code: &str, date: NaiveDate) -> anyhow::Result<DayTotals> {
    let totals = bank.day_totals(bank_code, date).await;
    totals.map_err(|error| anyhow::anyhow!("the totals of {bank_code}: {error}"))
}

fn held(totals: &DayTotals) -> anyhow::Result<i64> {
    let ours = corporate(&totals.bank_code).account_number;
    let account = totals.accounts.iter().find(|it| it.account_number == ours);
    Ok(account.context("our account")?.closing_balance)
}

/// One journal entry gives the money of an account back to the payer's cash, or from it.
async fn compensated(
    world: &World,
    entry: Uuid,
    won: i64,
    (kind, owner): (AccountKind, Uuid),
) -> anyhow::Result<()> {
    let postings: Vec<(i64, i16, Uuid, i16, Uuid)> = sqlx::query_as(
        "SELECT p.amount, d.kind, d.owner, c.kind, c.owner
           FROM money.posting p
           JOIN money.account d ON d.account_id = p.debit
           JOIN money.account c ON c.account_id = p.credit
          WHERE p.entry_id = $1 AND p.kind = $2",
    )
    .bind(entry)
    .bind(EntryKind::Reversal as i16)
    .fetch_all(&world.pool)
    .await?;
    let cash = (AccountKind::CorporateCash.number(), bank_owner(PAYER));
    let must_be = (won, cash.0, cash.1, kind.number(), owner);
    ensure!(postings == [must_be], "{postings:?}, not {must_be:?}");
    Ok(())
}

/// What the exit code of `mypay close` tells: nothing differs, a won does, or it could
/// not be found out.
#[tokio::test(flavor = "multi_thread")]
async fn a_close_says_by_its_exit_code_whether_anything_differs() -> anyhow::Result<()> {
    let world = World::begin().await?;
    let bank = world.banks(&[PAYER]).await?;
    let to = world.receiver(&bank, OTHER).await?;
    let firmbanking = world.consume("firmbanking")?;
    let request = command(corporate(PAYER), to, WON);
    let id = Uuid::try_parse(&request.message_id)?;
    world
        .send([world.message(Flow::Firmbanking, &request)?])
        .await?;
    world.await_commands(&[id], "done", 1, LONG).await?;
    world.stop(&firmbanking).await?;
    is_closed(&world, PAYER, today()).await?;

    dearer(&world, id, 1).await?;
    let (code, said) = world.closes(PAYER).await?;
    let line = said
        .lines()
        .find(|line| line.contains("paid out: fees, won"));
    let numbers: Vec<i64> = line
        .context("the figure that differs")?
        .split(|character: char| !character.is_ascii_digit())
        .filter_map(|number| number.parse().ok())
        .collect();
    // Ours, the bank's, and the difference.
    ensure!(
        code == Some(1) && matches!(numbers[..], [ours, theirs, 1] if ours == theirs + 1),
        "{code:?} {said}"
    );
    dearer(&world, id, -1).await?;

    let tomorrow = today() + chrono::TimeDelta::days(1);
    let (code, said) = world.closes_on(PAYER, tomorrow).await?;
    ensure!(code == Some(2) && said.contains("has not begun"), "{said}");
    let (code, said) = world.closes("999").await?;
    ensure!(code == Some(2) && said.contains("no contract"), "{said}");
    let bad = world.mypay(&["close", "--date", "2026-02-30"]).await?;
    ensure!(bad.status.code() == Some(2), "{bad:?}");
    let (code, said) = without_a_database(&world).await?;
    ensure!(code == Some(2) && said.contains("PostgreSQL"), "{said}");
    world.kill_bank().await?;
    let (code, said) = world.closes(PAYER).await?;
    ensure!(
        code == Some(2) && said.contains("could not compare"),
        "{said}"
    );
    world.bank().await?;
    is_closed(&world, PAYER, today()).await?;
    world.audit_is_clean_as_it_is().await
}

/// Says that a command cost so much more than its bank took, whole won.
async fn dearer(world: &World, command: Uuid, won: i64) -> anyhow::Result<()> {
    sqlx::query("UPDATE banking.firmbanking SET fee = fee + $2 WHERE firmbanking_id = $1")
        .bind(command)
        .bind(won)
        .execute(&world.pool)
        .await?;
    Ok(())
}

/// `mypay close` where nothing listens at the database's address.
async fn without_a_database(world: &World) -> anyhow::Result<(Option<i32>, String)> {
    let date = today().to_string();
    let mut command = tokio::process::Command::new(binary()?);
    command
        .args(["close", "--date", &date])
        .envs(world.endpoints.variables())
        .env("MYPAY_DATABASE_URL", "postgres://mypay@127.0.0.1:1/mypay")
        .env("MYPAY_HOME", world.stack.home());
    let output = tokio::time::timeout(Duration::from_secs(60), command.output()).await??;
    let complained = String::from_utf8_lossy(&output.stderr).into_owned();
    Ok((output.status.code(), complained))
}
