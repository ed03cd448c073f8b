//! Payouts that operators have undone: by a transfer each, the other way round.

use mypay_schemas::Flow;
use mypay_schemas::firmbanking::{PURPOSE_UNDO, id_of_command};
use uuid::Uuid;

use super::commands::number;
use crate::data::Data;
use crate::flows::{Command, Reversal, Stage, State, Undo};
use crate::report::Check;
use crate::rows::{Status, shown};
use crate::sorted::find;

/// Compares approved undos with their commands, and commands that undo with approvals.
pub(super) fn check(data: &Data) -> Check {
    let mut check = Check::new(
        "undos_agree_with_commands",
        "each payout that operators have approved to undo, and the command that undoes it: the same amount, from the bank that was paid, and done where the payout came back by it; and each such command, and the approval",
        "SELECT * FROM banking.undo WHERE firmbanking_id = '<id>'; mypay trace <id>",
    );
    let mut on_their_way = 0;
    for undo in &data.tables.undos {
        check.compare();
        let problem = match find(&data.tables.commands, undo.undo).first() {
            Some(command) => of_command(data, undo, command),
            None => without_command(data, undo, &mut on_their_way),
        };
        if let Some(problem) = problem {
            check.offend_with(|| (shown(undo.id), String::new(), problem));
        }
    }
    strangers(data, &mut check);
    if on_their_way > 0 {
        check.note(format!(
            "{on_their_way} approved undos whose commands are on their way"
        ));
    }
    check
}

fn of_command(data: &Data, undo: &Undo, command: &Command) -> Option<String> {
    let Some(payout) = find(&data.tables.commands, undo.id).first() else {
        return Some("there is no such payout".to_string());
    };
    if command.amount != payout.amount {
        return Some(format!(
            "{} won are drawn to undo {} won",
            command.amount, payout.amount
        ));
    }
    if command.from_bank != payout.to_bank || !command.to_ours {
        return Some("the money does not go from the receiver's bank to us".to_string());
    }
    let reversal = find(&data.tables.reversals, undo.id).first();
    let came_back = reversal.is_some_and(|it| it.undo == undo.undo);
    let fits = match undo.stage {
        Stage::Completed => command.state == State::Done && came_back,
        Stage::Refused => command.state == State::Refused && !came_back,
        // Whoever ends the command ends the undo in the same commit.
        _ => matches!(command.state, State::Live | State::Manual) && reversal.is_none(),
    };
    let what = if came_back { "is" } else { "is not" };
    (!fits).then(|| {
        format!(
            "it is {:?}, the command {:?}, and the payout {what} back by it",
            undo.stage, command.state
        )
    })
}

/// It has not come to the firmbanking consumer yet, or was refused before it did.
fn without_command(data: &Data, undo: &Undo, on_their_way: &mut u64) -> Option<String> {
    let ended = find(&data.flow(Flow::Firmbanking).rows, undo.undo)
        .first()
        .is_some_and(|row| row.status == Status::Done);
    match undo.stage {
        Stage::Refused => None,
        Stage::Awaits if !ended => {
            *on_their_way += 1;
            None
        }
        stage => Some(format!("it is {stage:?}, but there is no command")),
    }
}

/// Commands that undo what nobody has approved to undo.
fn strangers(data: &Data, check: &mut Check) {
    for command in &data.tables.commands {
        if data.reasons.text(command.purpose) != PURPOSE_UNDO {
            continue;
        }
        let derived = id_of_command(PURPOSE_UNDO, Uuid::from_u128(command.origin));
        let approved = find(&data.tables.undos, command.origin).first();
        let approved = approved.is_some_and(|undo| undo.undo == command.id);
        if !approved || derived.as_u128() != command.id {
            check.offend_with(|| {
                let problem = "a command that undoes what nobody has approved to undo";
                (
                    shown(command.id),
                    number(data, command),
                    problem.to_string(),
                )
            });
        }
    }
}

/// Whether the command that a payout came back by is there and was done.
pub(super) fn brought_back(data: &Data, reversal: &Reversal, payout: &Command) -> Option<String> {
    let Some(undo) = find(&data.tables.commands, reversal.undo).first() else {
        return Some("there is no command that undid it".to_string());
    };
    let fits = undo.state == State::Done
        && undo.origin == payout.id
        && undo.amount == reversal.amount
        && undo.from_bank == reversal.bank
        && data.reasons.text(undo.purpose) == PURPOSE_UNDO;
    (!fits).then(|| "the command that undid it is another, or was not done".to_string())
}

#[cfg(test)]
mod tests {
    use mypay_decide::EntryKind;
    use mypay_schemas::reversal::reversal_id;

    use super::super::{cash, commands, reversals, sample, statement};
    use super::*;
    use crate::bank;
    use crate::ledger::Posting;

    /// The remittance that was paid out is undone: its receiver's bank is our only one.
    fn day() -> Data {
        let mut data = sample::day();
        let of = |it: &&Command| it.origin == sample::PAID_OUT;
        let payout = *data.tables.commands.iter().find(of).unwrap();
        let id = id_of_command(PURPOSE_UNDO, Uuid::from_u128(payout.id)).as_u128();
        let purpose = data.reasons.code(PURPOSE_UNDO);
        data.tables.commands.push(Command {
            id,
            origin: payout.id,
            purpose,
            from_ours: false,
            to_ours: true,
            fee: 0,
            number: payout.number.map(|(date, _)| (date, 77)),
            ..payout
        });
        crate::sorted::sort(&mut data.tables.commands);
        data.tables.undos.push(Undo {
            id: payout.id,
            undo: id,
            stage: Stage::Completed,
        });
        data.tables.reversals.push(Reversal {
            id: payout.id,
            bank: payout.to_bank,
            amount: payout.amount,
            undo: id,
            recorded_at: data.now,
        });
        data.tables.came_back.insert(payout.origin);
        post(&mut data, &payout);
        if let Some(Ok(bank)) = &mut data.bank {
            let of = |it: &&bank::Line| it.number == payout.number;
            let line = *bank.lines.iter().find(of).unwrap();
            bank.lines.push(bank::Line {
                number: payout.number.map(|(date, _)| (date, 77)),
                line_number: 99,
                amount: payout.amount,
                fee: 0,
                ..line
            });
            bank.lines
                .sort_by_key(|line| (line.key(), line.line_number));
            bank.balances[0].1 += payout.amount;
        }
        data
    }

    fn post(data: &mut Data, payout: &Command) {
        let of = |it: &&Posting| it.kind == EntryKind::TransitConfirmed as i16;
        let cash = data.ledger.postings.iter().find(of).unwrap().credit;
        data.ledger.postings.push(Posting {
            entry: reversal_id(Uuid::from_u128(payout.origin)).as_u128(),
            debit: cash,
            credit: data.tables.remittances[0].member,
            amount: payout.amount,
            kind: EntryKind::Reversal as i16,
            line: 0,
        });
        data.ledger.postings.sort_by_key(Posting::order);
        // Cash is an asset, and below zero.
        data.ledger.system.get_mut(&cash).unwrap().balance -= payout.amount;
    }

    fn offenders(of: fn(&Data) -> Check, break_it: impl Fn(&mut Data)) -> u64 {
        let mut data = day();
        break_it(&mut data);
        of(&data).offenders_total
    }

    fn command(data: &mut Data) -> &mut Command {
        let id = data.tables.undos[0].undo;
        let commands = &mut data.tables.commands;
        commands.iter_mut().find(|it| it.id == id).unwrap()
    }

    #[test]
    fn a_payout_that_was_undone_has_no_offenders() {
        let data = day();
        for of in [
            check,
            reversals::check,
            cash::check,
            commands::are_posted,
            statement::commands_are_on_it,
        ] {
            assert_eq!(of(&data).offenders, []);
        }
        assert_eq!(check(&data).compared, 1);
    }

    #[test]
    fn an_undo_that_its_command_contradicts_is_found() {
        assert_eq!(offenders(check, |data| command(data).amount += 1), 1);
        assert_eq!(offenders(check, |data| command(data).to_ours = false), 1);
        assert_eq!(
            offenders(check, |data| command(data).state = State::Refused),
            1
        );
        assert_eq!(offenders(check, |data| data.tables.reversals.clear()), 1);
        for stage in [Stage::Awaits, Stage::Refused] {
            assert_eq!(
                offenders(check, |data| data.tables.undos[0].stage = stage),
                1
            );
        }
        let forget = |data: &mut Data| {
            let id = data.tables.undos[0].undo;
            data.tables.commands.retain(|it| it.id != id);
        };
        assert_eq!(offenders(check, forget), 1);
        // Nobody has approved it, or another than this.
        assert_eq!(offenders(check, |data| data.tables.undos.clear()), 1);
        assert_eq!(offenders(check, |data| data.tables.undos[0].undo ^= 1), 2);
    }

    #[test]
    fn an_approved_undo_waits_for_its_command_and_is_no_offence() {
        let mut data = day();
        let id = data.tables.undos[0].undo;
        data.tables.commands.retain(|it| it.id != id);
        data.tables.reversals.clear();
        data.tables.undos[0].stage = Stage::Awaits;
        let waiting = check(&data);
        assert_eq!((waiting.offenders, waiting.notes.len()), (vec![], 1));
        data.tables.undos[0].stage = Stage::Refused;
        assert_eq!(check(&data).offenders, []);
    }

    #[test]
    fn money_that_came_back_by_an_undo_is_on_our_account_at_the_receiver_s_bank() {
        let of = reversals::check;
        assert_eq!(
            offenders(of, |data| command(data).state = State::Refused),
            1
        );
        assert_eq!(offenders(of, |data| command(data).origin ^= 1), 1);
        let elsewhere = |data: &mut Data| {
            data.tables.reversals[0].bank = data.reasons.code("088");
        };
        assert_eq!(offenders(of, elsewhere), 1);
    }

    #[test]
    fn what_an_undo_brought_and_its_flow_has_not_posted_is_no_difference() {
        let mut data = day();
        let entry = reversal_id(Uuid::from_u128(sample::PAID_OUT)).as_u128();
        let posted = find(&data.ledger.postings, entry)[0];
        data.ledger.postings.retain(|it| it.entry != entry);
        data.ledger.system.get_mut(&posted.debit).unwrap().balance += posted.amount;
        assert_eq!(cash::check(&data).offenders_total, 1);
        data.tables.came_back.clear();
        assert_eq!(cash::check(&data).offenders, []);
        assert_eq!(reversals::check(&data).notes.len(), 1);
    }
}
