//! Each payout of a settlement run took its commission and its net once.

use mypay_decide::{AccountKind, EntryKind};
use mypay_schemas::Flow;
use mypay_schemas::identity::{derive, time_of};
use uuid::Uuid;

use super::entry::{IN_TRANSIT, Line, difference};
use crate::data::Data;
use crate::flows::{Payout, Stage};
use crate::ledger::Side;
use crate::report::Check;
use crate::rows::{Status, shown};
use crate::sorted::{Cursor, find};

/// Compares payouts with the journal and with the runs that made them.
pub(super) fn check(data: &Data) -> Check {
    let mut check = Check::new(
        "settlements_moved_once",
        "each franchise's part of a settlement run: gross, commission, owed and net, its postings, and what the bank's answer made of it",
        "SELECT * FROM settlement.payout WHERE payout_id = '<id>'",
    );
    let mut postings = Cursor::new(&data.ledger.postings);
    for payout in &data.tables.payouts {
        check.compare();
        let problem = run(data, payout)
            .or_else(|| {
                let lines = made(payout);
                difference(&data.ledger, postings.of(payout.id), &lines)
            })
            .or_else(|| {
                answer(data, payout).map(|problem| format!("the bank's answer: {problem}"))
            });
        if let Some(problem) = problem {
            check.offend_with(|| {
                (
                    shown(payout.id),
                    format!("run {}", shown(payout.run)),
                    problem,
                )
            });
        }
    }
    check
}

fn payable(payout: &Payout) -> Side {
    Side::Ours(AccountKind::FranchisePayable, payout.franchise)
}

fn run(data: &Data, payout: &Payout) -> Option<String> {
    if payout.net != payout.gross - payout.cancelled - payout.commission + payout.owed {
        return Some("gross - cancels - commission + owed is not the net".to_string());
    }
    if payout.stage != Stage::Carried && payout.net <= 0 {
        return Some(format!("a payout of {} won", payout.net));
    }
    let run = find(&data.flow(Flow::Settlement).rows, payout.run).first();
    let purged = time_of(Uuid::from_u128(payout.run)) < data.horizon;
    let succeeded = run.is_some_and(|run| run.status == Status::Done && run.success);
    (!succeeded && !purged).then(|| "its run is not done".to_string())
}

fn made(payout: &Payout) -> Vec<Line> {
    let (kind, debit) = (EntryKind::Settlement, payable(payout));
    let mut lines = Vec::with_capacity(2);
    if payout.commission != 0 {
        // Below zero where cancels gave back what earlier runs took.
        let income = Side::Ours(AccountKind::Commission, 0);
        let (debit, credit) = if payout.commission > 0 {
            (debit, income)
        } else {
            (income, debit)
        };
        lines.push(Line {
            kind,
            debit,
            credit,
            amount: payout.commission.abs(),
        });
    }
    if payout.stage != Stage::Carried {
        lines.push(Line {
            kind,
            debit,
            credit: IN_TRANSIT,
            amount: payout.net,
        });
    }
    lines
}

fn answer(data: &Data, payout: &Payout) -> Option<String> {
    let entry = derive(Uuid::from_u128(payout.id), "bank answered").as_u128();
    let found = find(&data.ledger.postings, entry);
    let (debit, amount) = (IN_TRANSIT, payout.net);
    let line = match payout.stage {
        Stage::Completed => {
            let credit = Side::cash(&data.reasons.text(payout.bank));
            Some(Line {
                kind: EntryKind::TransitConfirmed,
                debit,
                credit,
                amount,
            })
        }
        Stage::Refused => {
            let credit = payable(payout);
            Some(Line {
                kind: EntryKind::TransitRefused,
                debit,
                credit,
                amount,
            })
        }
        Stage::Awaits | Stage::Carried => None,
    };
    difference(&data.ledger, found, line.as_slice())
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    fn offenders(break_it: impl Fn(&mut Data)) -> u64 {
        let mut data = sample::day();
        break_it(&mut data);
        check(&data).offenders_total
    }

    #[test]
    fn a_clean_day_has_no_offenders() {
        let data = sample::day();
        assert_eq!((check(&data).offenders, check(&data).compared), (vec![], 1));
    }

    #[test]
    fn a_payout_that_does_not_add_up_or_was_not_posted_is_found() {
        assert_eq!(offenders(|data| data.tables.payouts[0].owed += 1), 1);
        assert_eq!(offenders(|data| data.tables.payouts[0].commission += 1), 1);
        assert_eq!(
            offenders(|data| data.tables.payouts[0].stage = Stage::Refused),
            1
        );
        assert_eq!(
            offenders(|data| data.flow_mut(Flow::Settlement).rows.clear()),
            1
        );
        assert_eq!(offenders(|data| data.ledger.postings.clear()), 1);
    }
}
