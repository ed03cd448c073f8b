//! What banks have undone is posted once, and stands on their statements.

use mypay_bank::wire::LineKind;
use mypay_decide::firmbanking::direct_reversal_id;
use mypay_decide::{AccountKind, EntryKind};
use mypay_schemas::firmbanking::{
    PURPOSE_CLOSING, PURPOSE_RECHARGE, PURPOSE_REMITTANCE, PURPOSE_SETTLEMENT, RESERVED,
};
use mypay_schemas::reversal::reversal_id;
use uuid::Uuid;

use super::commands::number;
use super::entry::{Line, difference};
use crate::data::Data;
use crate::flows::{Command, Reversal, Stage, State};
use crate::ledger::Side;
use crate::report::Check;
use crate::rows::shown;
use crate::sorted::find;

/// Compares reversals with commands, the flows' rows, the journal, and the
/// banks' own statements.
pub(super) fn check(data: &Data) -> Check {
    let mut check = Check::new(
        "reversals_moved_once",
        "each command that a bank has undone, or a transfer of ours has: it was done, the money is whose it was, once, and the bank's own statement has it",
        "SELECT * FROM banking.reversal WHERE firmbanking_id = '<id>'; mypay bank cases",
    );
    let mut on_its_way = 0;
    for reversal in &data.tables.reversals {
        check.compare();
        let problem = match find(&data.tables.commands, reversal.id).first() {
            None => Some("there is no such command".to_string()),
            Some(command) => {
                on_its_way += u64::from(!is_posted(data, command));
                of_command(data, reversal, command).or_else(|| by_whom(data, reversal, command))
            }
        };
        if let Some(problem) = problem {
            check.offend_with(|| (shown(reversal.id), String::new(), problem));
        }
    }
    if on_its_way > 0 {
        check.note(format!(
            "{on_its_way} reversals that their flows have yet to post"
        ));
    }
    strays(data, &mut check);
    untold(data, &mut check);
    check
}

/// Whether the ledger has what came back of a command: banking posts what no
/// flow does, in the commit of the reversal.
pub(super) fn is_posted(data: &Data, command: &Command) -> bool {
    let reversed = !find(&data.tables.reversals, command.id).is_empty();
    reversed && (!is_of_a_flow(data, command) || data.tables.came_back.contains(&command.origin))
}

fn is_of_a_flow(data: &Data, command: &Command) -> bool {
    RESERVED
        .map(|purpose| data.reasons.code(purpose))
        .contains(&command.purpose)
}

/// The entries that reversals made, sorted.
pub(super) fn entries(data: &Data) -> Vec<u128> {
    let of_flow = |id: &u128| reversal_id(Uuid::from_u128(*id)).as_u128();
    let of_flows = data.tables.came_back.iter().map(of_flow);
    let of_direct = |it: &Reversal| direct_reversal_id(Uuid::from_u128(it.id)).as_u128();
    let direct = data.tables.reversals.iter().map(of_direct);
    let mut entries: Vec<u128> = of_flows.chain(direct).collect();
    entries.sort_unstable();
    entries
}

fn of_command(data: &Data, reversal: &Reversal, command: &Command) -> Option<String> {
    if command.state != State::Done {
        return Some(format!("the command is {:?}", command.state));
    }
    if command.amount != reversal.amount {
        return Some(format!(
            "{} won came back of {}",
            reversal.amount, command.amount
        ));
    }
    let (entry, credit) = match whose(data, command) {
        Ok(whose) => whose,
        Err(problem) => return Some(problem),
    };
    let line = is_posted(data, command).then(|| Line {
        kind: EntryKind::Reversal,
        debit: Side::cash(&data.reasons.text(reversal.bank)),
        credit,
        amount: reversal.amount,
    });
    let found = find(&data.ledger.postings, entry.as_u128());
    difference(&data.ledger, found, line.as_slice())
}

/// The entry, and whose the money is again.
fn whose(data: &Data, command: &Command) -> Result<(Uuid, Side), String> {
    let of_flow = reversal_id(Uuid::from_u128(command.origin));
    let direct = direct_reversal_id(Uuid::from_u128(command.id));
    let lost = || "the flow that asked for it does not know it".to_string();
    let tables = &data.tables;
    match data.reasons.text(command.purpose).as_str() {
        PURPOSE_RECHARGE => Err("a recharge came back: money that was drawn".to_string()),
        PURPOSE_REMITTANCE => {
            let payout = find(&tables.remittances, command.origin).first();
            let payout = payout.ok_or_else(lost)?;
            Ok((of_flow, Side::Back(payout.member)))
        }
        PURPOSE_SETTLEMENT => {
            let payout = find(&tables.payouts, command.origin)
                .first()
                .ok_or_else(lost)?;
            let payable = Side::Ours(AccountKind::FranchisePayable, payout.franchise);
            Ok((of_flow, payable))
        }
        PURPOSE_CLOSING => {
            let closing = tables.closing_of(command.origin).ok_or_else(lost)?;
            let kept = Side::Ours(AccountKind::Unclaimed, closing.member);
            Ok((of_flow, kept))
        }
        _ if command.to_ours => Ok((direct, Side::cash(&data.reasons.text(command.to_bank)))),
        _ => Ok((direct, Side::Ours(AccountKind::Suspense, 0))),
    }
}

/// Whose doing it was: the bank's, by its statement, or that of a transfer of ours.
fn by_whom(data: &Data, reversal: &Reversal, command: &Command) -> Option<String> {
    if reversal.undo != 0 {
        return super::undos::brought_back(data, reversal, command);
    }
    if reversal.bank != command.from_bank {
        return Some("another bank than the one commanded has undone it".to_string());
    }
    on_statement(data, command)
}

fn on_statement(data: &Data, command: &Command) -> Option<String> {
    // That a statement could not be had is told by the checks of statements.
    let Some(Ok(bank)) = &data.bank else {
        return None;
    };
    let (date, number) = command.number?;
    let key = (command.from_bank, date, number);
    let came_back: Vec<i64> = bank
        .lines
        .iter()
        .filter(|line| line.key() == key && line.bank == command.from_bank)
        .filter(|line| line.kind == LineKind::Reversal)
        .map(|line| line.amount)
        .collect();
    match came_back[..] {
        [amount] if amount == command.amount => None,
        [amount] => Some(format!("{amount} won came back on the statement")),
        [] => Some("the bank's statement does not have it".to_string()),
        _ => Some("it came back several times on the statement".to_string()),
    }
}

/// Rows of flows that say that money is back, without a bank's word for it.
fn strays(data: &Data, check: &mut Check) {
    let tables = &data.tables;
    let reversed: std::collections::HashSet<u128> = tables
        .reversals
        .iter()
        .filter_map(|it| Some(find(&tables.commands, it.id).first()?.origin))
        .collect();
    for id in tables.came_back.difference(&reversed) {
        check.offend_with(|| {
            let problem = "it is held for reversed, but no bank has said so".to_string();
            (shown(*id), String::new(), problem)
        });
    }
}

/// Counts what statements have undone and no notice has told us of.
fn untold(data: &Data, check: &mut Check) {
    let Some(Ok(bank)) = &data.bank else { return };
    let known = super::statement_lines::by_number(data);
    let untold = bank
        .lines
        .iter()
        .filter(|line| line.kind == LineKind::Reversal)
        .filter_map(|line| Some((line, known.get(&line.key())?)))
        .filter(|(line, command)| line.bank == command.from_bank)
        .filter(|(_, command)| find(&data.tables.reversals, command.id).is_empty())
        // Its notice waits until it is known what became of our own undo.
        .filter(|(_, command)| {
            let undo = find(&data.tables.undos, command.id).first();
            undo.is_none_or(|undo| undo.stage != Stage::Awaits)
        });
    for (line, command) in untold {
        check.offend_with(|| {
            let problem = format!(
                "the bank gave {} won back, and no notice of it was taken in: wait for the next \
                 look at the notices, or see `mypay bank cases`",
                line.amount
            );
            (shown(command.id), number(data, command), problem)
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;
    use crate::bank;
    use crate::ledger::Posting;

    /// The remittance that was paid out has come back.
    fn day() -> Data {
        let mut data = sample::day();
        let command = find_command(&data);
        data.tables.reversals.push(Reversal {
            id: command.id,
            bank: command.from_bank,
            amount: command.amount,
            undo: 0,
            recorded_at: data.now,
        });
        data.tables.came_back.insert(command.origin);
        let of = |it: &&Posting| it.kind == EntryKind::TransitConfirmed as i16;
        let cash = data.ledger.postings.iter().find(of).unwrap().credit;
        data.ledger.postings.push(Posting {
            entry: reversal_id(Uuid::from_u128(command.origin)).as_u128(),
            debit: cash,
            credit: data.tables.remittances[0].member,
            amount: command.amount,
            kind: EntryKind::Reversal as i16,
            line: 0,
        });
        data.ledger.postings.sort_by_key(Posting::order);
        if let Some(Ok(bank)) = &mut data.bank {
            let of = |it: &&bank::Line| it.number == command.number;
            let line = *bank.lines.iter().find(of).unwrap();
            bank.lines.push(bank::Line {
                kind: LineKind::Reversal,
                line_number: 99,
                amount: command.amount,
                fee: 0,
                ..line
            });
        }
        data
    }

    fn find_command(data: &Data) -> Command {
        *data
            .tables
            .commands
            .iter()
            .find(|it| it.origin == sample::PAID_OUT)
            .unwrap()
    }

    fn offenders(break_it: impl Fn(&mut Data)) -> u64 {
        let mut data = day();
        break_it(&mut data);
        check(&data).offenders_total
    }

    #[test]
    fn a_payout_that_came_back_and_was_posted_has_no_offenders() {
        assert_eq!(
            (check(&day()).offenders, check(&day()).compared),
            (vec![], 1)
        );
        assert!(check(&sample::day()).ok);
    }

    #[test]
    fn a_reversal_that_was_not_posted_or_twice_or_is_not_the_bank_s_is_found() {
        let entry = reversal_id(Uuid::from_u128(sample::PAID_OUT)).as_u128();
        assert_eq!(
            offenders(|data| data.ledger.postings.retain(|it| it.entry != entry)),
            1
        );
        assert_eq!(offenders(|data| data.tables.reversals[0].amount += 1), 1);
        assert_eq!(offenders(|data| data.tables.came_back.clear()), 1);
        // Neither the bank's word for it, nor a notice of the statement's line.
        assert_eq!(offenders(|data| data.tables.reversals.clear()), 2);
        assert_eq!(
            offenders(|data| {
                if let Some(Ok(bank)) = &mut data.bank {
                    bank.lines.retain(|line| line.kind != LineKind::Reversal);
                }
            }),
            1
        );
    }
}
