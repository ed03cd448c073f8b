//! What must be true after every step, reckoned anew from the rows.

mod closings;
mod top_ups;

use std::collections::BTreeMap;

use uuid::Uuid;

use super::rows::{CommandState, State};
use super::world::{BANKS, CAPITAL, FRANCHISES, World, bank_number, franchise};
use crate::AccountKind;
use crate::account::bank_owner;

type Holds = Result<(), String>;

/// Fails unless the ledger, the rows and the limits are in accord.
pub(super) fn hold(world: &World) -> Holds {
    if let Some(wrong) = &world.wrong {
        return Err(wrong.clone());
    }
    balances_are_their_postings(world)?;
    members_have_what_came_in_less_what_went_out(world)?;
    in_transit_is_what_banks_have_yet_to_answer(world)?;
    payable_is_slips_less_cancels_and_what_is_owed(world)?;
    income_is_what_was_charged(world)?;
    chains_refund_no_more_than_was_paid(world)?;
    days_keep_their_limit(world)?;
    cash_is_what_we_heard_of(world)?;
    what_we_owe_is_covered(world)?;
    closings::hold(world)?;
    top_ups::hold(world)
}

/// Fails unless nothing is under way, and the banks hold what the ledger says.
pub(super) fn at_rest(world: &World) -> Holds {
    equal("in transit", sum(world, AccountKind::InTransit), 0)?;
    let pending: i64 = world.members.values().map(|money| money.pending).sum();
    equal("pending", pending, 0)?;
    for (bank, code) in BANKS.iter().enumerate() {
        let what = format!("the corporate account at {code}");
        equal(&what, cash(world, code), world.at_bank[bank])?;
    }
    closings::at_rest(world)?;
    top_ups::at_rest(world)
}

fn equal(what: &str, is: i64, must_be: i64) -> Holds {
    if is == must_be {
        return Ok(());
    }
    Err(format!("{what}: {is} won, and must be {must_be}"))
}

fn sum(world: &World, kind: AccountKind) -> i64 {
    let of_kind = world.others.values().filter(|(it, _)| it.kind == kind);
    of_kind.map(|(_, balance)| balance).sum()
}

fn cash(world: &World, code: &str) -> i64 {
    let owner = bank_owner(code);
    let slots = world.others.values();
    let slots = slots.filter(|(it, _)| it.kind == AccountKind::CorporateCash && it.owner == owner);
    // An asset is below zero.
    -slots.map(|(_, balance)| balance).sum::<i64>()
}

fn balances_are_their_postings(world: &World) -> Holds {
    let mut moved: BTreeMap<Uuid, i64> = BTreeMap::new();
    for posting in &world.postings {
        *moved.entry(posting.debit).or_default() -= posting.amount;
        *moved.entry(posting.credit).or_default() += posting.amount;
    }
    let members = world.members.iter().map(|(id, money)| (*id, money.balance));
    let others = world
        .others
        .iter()
        .map(|(id, (_, balance))| (*id, *balance));
    let mut total = 0;
    for (id, balance) in members.chain(others) {
        let moved = moved.remove(&id).unwrap_or(0);
        equal(&format!("the balance of {id}"), balance, moved)?;
        total += balance;
    }
    if !moved.is_empty() {
        return Err(format!(
            "postings of accounts that are not there: {moved:?}"
        ));
    }
    equal("all balances", total, 0)
}

fn members_have_what_came_in_less_what_went_out(world: &World) -> Holds {
    let mut must_have: BTreeMap<Uuid, (i64, i64)> = BTreeMap::new();
    for row in world.recharges.values() {
        let must_have = must_have.entry(row.member).or_default();
        match row.state {
            State::Awaits => must_have.1 += row.amount,
            State::Completed => must_have.0 += row.amount,
            State::Refused => {}
        }
    }
    for row in world.remittances.values() {
        if row.state != State::Refused {
            must_have.entry(row.sender).or_default().0 -= row.amount + row.fee;
        }
        if row.reversed {
            must_have.entry(row.sender).or_default().0 += row.amount;
        }
        if let Some(receiver) = row.receiver {
            must_have.entry(receiver).or_default().0 += row.amount;
        }
    }
    for paid in world.paid.values() {
        let back: i64 = paid.cancels.iter().map(|link| link.cancel.amount).sum();
        must_have.entry(paid.slip.member_id).or_default().0 -= paid.slip.gross - back;
    }
    for row in world.closings.values() {
        let out = i64::from(row.state != State::Refused) - i64::from(row.reversed);
        must_have.entry(row.member).or_default().0 -= out * row.amount;
    }
    for (id, money) in &world.members {
        let (balance, pending) = must_have.get(id).copied().unwrap_or_default();
        // What came back while the member was closed is kept apart.
        let kept = world.kept_for(*id);
        equal(&format!("the money of {id}"), money.balance + kept, balance)?;
        equal(&format!("pending of {id}"), money.pending, pending)?;
        if money.balance < 0 || money.pending < 0 || kept < 0 {
            return Err(format!("{id} is below zero"));
        }
    }
    Ok(())
}

fn in_transit_is_what_banks_have_yet_to_answer(world: &World) -> Holds {
    let remittances = world.remittances.values();
    let remittances = remittances.filter(|row| row.state == State::Awaits);
    let payouts = world.payouts.values();
    let payouts = payouts.filter(|row| row.state == State::Awaits);
    let closings = world.closings.values();
    let closings = closings.filter(|row| row.state == State::Awaits);
    let open: i64 = remittances
        .map(|row| row.amount)
        .chain(payouts.map(|row| row.amount))
        .chain(closings.map(|row| row.amount))
        .sum();
    equal("in transit", sum(world, AccountKind::InTransit), open)
}

/// And what is owed, paid or on its way is all that was earned in runs.
fn payable_is_slips_less_cancels_and_what_is_owed(world: &World) -> Holds {
    for whose in (0..FRANCHISES).map(franchise) {
        let (mut open, mut earned) = (0, 0);
        for paid in world
            .paid
            .values()
            .filter(|it| it.slip.franchise_id == whose)
        {
            let (mut of_runs, mut commission) = (0, 0);
            if paid.settled {
                of_runs = paid.slip.gross;
                commission = rounded_down(paid.slip.gross, paid.bps);
            } else {
                open += paid.slip.gross;
            }
            for link in &paid.cancels {
                if link.settled {
                    of_runs -= link.cancel.amount;
                    commission = rounded_down(of_runs, paid.bps);
                } else {
                    open -= link.cancel.amount;
                }
            }
            earned += of_runs - commission;
        }
        let owed = world.owed.get(&whose).copied().unwrap_or(0);
        let slots = world
            .others
            .values()
            .filter(|(it, _)| it.kind == AccountKind::FranchisePayable && it.owner == whose);
        let payable: i64 = slots.map(|(_, balance)| balance).sum();
        equal(&format!("payable of {whose}"), payable, open + owed)?;
        let paid_out: i64 = world
            .payouts
            .values()
            .filter(|row| row.franchise == whose && row.state != State::Refused && !row.reversed)
            .map(|row| row.amount)
            .sum();
        equal(
            &format!("paid and owed to {whose}"),
            paid_out + owed,
            earned,
        )?;
    }
    Ok(())
}

/// A part of a won is not taken.
fn rounded_down(gross: i64, bps: i32) -> i64 {
    gross * i64::from(bps) / 10_000
}

fn income_is_what_was_charged(world: &World) -> Holds {
    let fees = world.remittances.values();
    let fees = fees.filter(|row| row.state != State::Refused);
    let fees: i64 = fees.map(|row| row.fee).sum();
    equal(
        "remittance fees",
        sum(world, AccountKind::RemittanceFee),
        fees,
    )?;
    let mut commission = 0;
    for paid in world.paid.values() {
        let back = paid.cancels.iter().filter(|link| link.settled);
        let left = paid.slip.gross - back.map(|link| link.cancel.amount).sum::<i64>();
        if paid.settled {
            commission += rounded_down(left, paid.bps);
        }
    }
    equal(
        "commission",
        sum(world, AccountKind::Commission),
        commission,
    )?;
    let heard = world.commands.values();
    let heard = heard.filter(|it| matches!(it.state, CommandState::Done | CommandState::Refused));
    let spent: i64 = heard.map(|command| command.fee).sum();
    equal(
        "firmbanking fees",
        -sum(world, AccountKind::FirmbankingFee),
        spent,
    )
}

fn chains_refund_no_more_than_was_paid(world: &World) -> Holds {
    for (id, paid) in &world.paid {
        let slip = &paid.slip;
        let commission = rounded_down(slip.gross, paid.bps);
        equal(&format!("commission of {id}"), slip.commission, commission)?;
        let (mut refunded, mut given_back) = (0, 0);
        for (number, link) in paid.cancels.iter().enumerate() {
            refunded += link.cancel.amount;
            given_back += link.cancel.commission_back;
            let place = i32::try_from(number + 1).unwrap_or(0);
            if (link.cancel.seq, link.cancel.refunded) != (place, refunded) {
                return Err(format!("the chain of {id}: {:?}", paid.cancels));
            }
            let left = commission - given_back;
            equal(
                &format!("commission left of {id}"),
                left,
                link.cancel.commission_after,
            )?;
        }
        if refunded > slip.gross || given_back > commission {
            return Err(format!("{id}: {refunded} refunded of {}", slip.gross));
        }
    }
    Ok(())
}

fn days_keep_their_limit(world: &World) -> Holds {
    let mut days: BTreeMap<_, i64> = BTreeMap::new();
    for row in world.remittances.values() {
        if row.amount > world.limits.remittance_max {
            return Err(format!("a remittance of {} won", row.amount));
        }
        *days.entry((row.sender, row.day)).or_default() += row.amount;
    }
    let over = days.iter().find(|it| *it.1 > world.limits.remittance_daily);
    over.map_or(Ok(()), |over| Err(format!("too much in a day: {over:?}")))
}

fn cash_is_what_we_heard_of(world: &World) -> Holds {
    let mut held = [CAPITAL; 2];
    let mut suspense = 0;
    for command in world.commands.values() {
        let request = &command.request;
        let (from, to) = (&request.from.bank_code, &request.to.bank_code);
        let heard = matches!(command.state, CommandState::Done | CommandState::Refused);
        if heard {
            held[bank_number(from)] -= command.fee;
        }
        if command.origin.is_some() || command.state != CommandState::Done || command.reversed {
            continue;
        }
        held[bank_number(from)] -= request.amount;
        match command.to_ours {
            true => held[bank_number(to)] += request.amount,
            false => suspense += request.amount,
        }
    }
    for row in world.recharges.values() {
        if row.state == State::Completed {
            held[bank_number(&row.bank)] += row.amount;
        }
    }
    let remittances = world.remittances.values();
    let remittances = remittances.filter(|row| row.receiver.is_none());
    let remittances = remittances.map(|row| (&row.bank, row.amount, row.state, row.reversed));
    let payouts = world.payouts.values();
    let payouts = payouts.map(|row| (&row.bank, row.amount, row.state, row.reversed));
    let closings = world.closings.values();
    let closings = closings.map(|row| (&row.bank, row.amount, row.state, row.reversed));
    for (id, command) in &world.commands {
        // It came back at another bank than the one that had paid it.
        let (back, amount) = (world.came_back_to(*id), command.request.amount);
        if world.has_given_back(command) {
            held[bank_number(&command.request.from.bank_code)] -= amount;
            held[bank_number(&back)] += amount;
        }
    }
    for (bank, amount, state, reversed) in remittances.chain(payouts).chain(closings) {
        let out = i64::from(state == State::Completed) - i64::from(reversed);
        held[bank_number(bank)] -= out * amount;
    }
    for (bank, code) in BANKS.iter().enumerate() {
        equal(&format!("cash at {code}"), cash(world, code), held[bank])?;
    }
    equal("suspense", -sum(world, AccountKind::Suspense), suspense)
}

/// money + payable + in transit + income - expense = cash, but for the capital
/// and what staff moved by hand.
fn what_we_owe_is_covered(world: &World) -> Holds {
    let money: i64 = world.members.values().map(|money| money.balance).sum();
    let owed = sum(world, AccountKind::FranchisePayable)
        + sum(world, AccountKind::InTransit)
        + sum(world, AccountKind::Unclaimed);
    let income = sum(world, AccountKind::RemittanceFee) + sum(world, AccountKind::Commission);
    let expense = -sum(world, AccountKind::FirmbankingFee);
    let ours = sum(world, AccountKind::Capital) + sum(world, AccountKind::Suspense);
    let cash = BANKS.iter().map(|code| cash(world, code)).sum();
    equal("what we owe", money + owed + income - expense + ours, cash)
}
