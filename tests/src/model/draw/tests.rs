//! That the draws are what they say, without a server.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use chrono::{TimeZone, Utc};
use mypay_schemas::firmbanking::BankAccount;

use super::*;
use crate::model::ledger::{Command, Franchise, Member, Standing, Whose, key};

fn account(bank_code: &str, number: usize) -> BankAccount {
    BankAccount {
        bank_code: bank_code.to_owned(),
        account_number: format!("{number:010}"),
    }
}

/// Members with accounts and much money, with accounts and nothing, and without
/// accounts; the first and the last have remitted nearly what a day allows.
pub(in crate::model) fn town() -> Ledger {
    let spent = 9_950_000;
    let member = |number: usize| Member {
        id: Uuid::now_v7(),
        account: (number < 12).then(|| account("004", number)),
        balance: if (6..12).contains(&number) {
            0
        } else {
            600_000
        },
        pending: 0,
        sent: if number == 0 || number == 15 {
            spent
        } else {
            0
        },
        perhaps_sent: 0,
        kept_of_day: 0,
        standing: Standing::Open,
        unclaimed: 0,
    };
    let franchise = |number: usize| Franchise {
        id: Uuid::now_v7(),
        account: Some(account("020", 100 + number)),
        holder_fits: true,
        bps: 150,
        on_hold: false,
        open: 0,
        commission: 0,
        owed: 0,
    };
    Ledger {
        members: (0..16).map(member).collect(),
        franchises: (0..3).map(franchise).collect(),
        fees: [("004".to_owned(), 300), ("020".to_owned(), 300)].into(),
        day: korean(noon()).date(),
        ..Ledger::default()
    }
}

/// Noon in Korea.
pub(super) fn noon() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 11, 26, 3, 0, 0).unwrap()
}

pub(super) fn draw(seed: u64) -> Draw {
    let receivers = ["004", "020", "088"];
    let receivers = receivers.map(|bank| (account(bank, 900), "holder".to_owned()));
    Draw::new(town(), receivers.into(), fastrand::Rng::with_seed(seed))
}

/// Banks do some of what they are told; what follows of it is heard, too.
fn banks_answer(draw: &mut Draw, done: impl Fn(&Command, bool) -> bool) {
    loop {
        let commands = std::mem::take(&mut draw.ledger.commands);
        if commands.is_empty() {
            break;
        }
        for command in commands {
            let by_chance = draw.rng().bool();
            let done = !command.mismatch && done(&command, by_chance);
            draw.ledger.answered(&command, done, false);
        }
    }
}

fn shown(drawn: &Drawn) -> String {
    match (&drawn.body, drawn.outcome) {
        (Body::Recharge(_), outcome) => format!("recharge {outcome:?}"),
        (Body::Remittance(_), outcome) => format!("remittance {outcome:?}"),
        (Body::Payment(it), outcome) if it.cancels.is_some() => format!("cancel {outcome:?}"),
        (Body::Payment(_), outcome) => format!("payment {outcome:?}"),
        (Body::Firmbanking(_), outcome) => format!("firmbanking {outcome:?}"),
        (Body::Closing(_), outcome) => format!("closing {outcome:?}"),
    }
}

/// What was drawn in so many rounds of some seeds, and how often.
fn seen(
    seeds: std::ops::Range<u64>,
    done: impl Fn(&Command, bool) -> bool,
) -> BTreeMap<String, u32> {
    let mut seen = BTreeMap::new();
    for seed in seeds {
        let mut draw = draw(seed);
        for round in 0..4 {
            let closings = draw.closings();
            let of_the_kept = draw.ledger.commands.iter().filter(|it| match it.whose {
                Whose::Closing(member) => draw.ledger.members[member].standing == Standing::Closed,
                _ => false,
            });
            *seen
                .entry("payout of what was kept".to_owned())
                .or_default() += of_the_kept.count() as u32;
            for drawn in &closings {
                *seen.entry(shown(drawn)).or_default() += 1;
            }
            banks_answer(&mut draw, &done);
            let drawn = draw.round(120, noon());
            assert_eq!(drawn.len(), 120, "seed {seed}, round {round}");
            for drawn in &drawn {
                *seen.entry(shown(drawn)).or_default() += 1;
            }
            for flow in draw.ledger.after.values().map(After::flow) {
                *seen.entry(format!("{flow} after a top-up")).or_default() += 1;
            }
            banks_answer(&mut draw, &done);
            for member in &draw.ledger.members {
                assert!(member.balance >= 0, "seed {seed}: {member:?}");
                assert_eq!(member.pending, 0, "seed {seed}: {member:?}");
                let (left, kept) = (member.standing != Standing::Open, member.unclaimed);
                assert_ne!(
                    member.standing,
                    Standing::Closing,
                    "seed {seed}: {member:?}"
                );
                assert!(!left || member.balance == 0, "seed {seed}: {member:?}");
                assert!(left || kept == 0, "seed {seed}: {member:?}");
            }
            assert!(draw.ledger.after.is_empty());
        }
    }
    seen
}

#[test]
fn every_rejection_and_top_up_is_drawn() {
    let seen = seen(0..20, |_, by_chance| by_chance);
    for what in [
        "remittance Rejected(\"daily_limit_exceeded\")",
        "remittance Rejected(\"remittance_limit_exceeded\")",
        "remittance Rejected(\"insufficient_funds\")",
        "remittance Rejected(\"balance_cap_exceeded\")",
        "payment Rejected(\"balance_cap_exceeded\")",
        "payment Rejected(\"insufficient_funds\")",
        "payment AwaitsBank",
        "payment Rejected(\"unknown_member\")",
        "remittance Rejected(\"unknown_receiver\")",
        "closing Completed",
        "closing AwaitsBank",
        "closing Rejected(\"no_bank_account\")",
        "closing Rejected(\"balance_not_empty\")",
        "closing Rejected(\"member_closed\")",
        "payout of what was kept",
    ] {
        let count = seen.get(what).copied().unwrap_or(0);
        assert!(count > 0, "no {what} in {seen:#?}");
    }
    // A few in each of the eighty rounds.
    for flow in ["remittance", "payment"] {
        let count = seen[&format!("{flow} after a top-up")];
        assert!(count >= 160, "{count} {flow} top-ups in {seen:#?}");
    }
}

#[test]
fn whatever_banks_say_of_top_ups_no_balance_is_below_zero() {
    seen(20..40, |_, _| true);
    seen(40..60, |command, _| {
        !matches!(command.whose, Whose::TopUp(_))
    });
    seen(60..80, |command, _| {
        matches!(command.whose, Whose::TopUp(_))
    });
}

#[test]
fn transfers_of_a_round_are_told_apart() {
    for seed in 0..20 {
        let mut draw = draw(seed);
        draw.round(120, noon());
        banks_answer(&mut draw, |_, by_chance| by_chance);
        draw.round(120, noon());
        let mut told_apart = HashSet::new();
        for command in &draw.ledger.commands {
            let transfer = (key(&command.from), key(&command.to), command.amount);
            assert!(told_apart.insert(transfer), "seed {seed}: {command:?}");
        }
    }
}

#[test]
fn the_same_seed_draws_the_same() {
    let outcomes = |seed| {
        let mut draw = draw(seed);
        let mut drawn = draw.closings();
        banks_answer(&mut draw, |_, by_chance| by_chance);
        drawn.extend(draw.round(120, noon()));
        drawn.iter().map(shown).collect::<Vec<_>>()
    };
    assert_eq!(outcomes(7), outcomes(7));
    assert_ne!(outcomes(7), outcomes(8));
}

#[test]
fn near_midnight_nobody_is_told_that_the_day_s_limit_is_reached() {
    // Ten minutes before midnight in Korea.
    let late = Utc.with_ymd_and_hms(2026, 11, 26, 14, 50, 0).unwrap();
    let mut said = BTreeSet::new();
    for seed in 0..20 {
        said.extend(draw(seed).round(120, late).iter().map(shown));
    }
    let limit = "remittance Rejected(\"daily_limit_exceeded\")";
    assert!(!said.contains(limit), "{said:#?}");
}
