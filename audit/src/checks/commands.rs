//! Commands to banks: their requests, their postings, their numbers.

use mypay_decide::{AccountKind, EntryKind};
use mypay_schemas::Flow;
use mypay_schemas::firmbanking::RESERVED;
use mypay_schemas::identity::{derive, time_of};
use uuid::Uuid;

use super::entry::{Line, difference};
use crate::bank::shown_day;
use crate::data::Data;
use crate::flows::{Command, State};
use crate::ledger::Side;
use crate::report::Check;
use crate::rows::{Row, Status, shown};
use crate::sorted::{Cursor, find};

/// Compares commands with the firmbanking requests that they were made for.
pub(super) fn agree_with_queue_log(data: &Data) -> Check {
    let mut check = Check::new(
        "commands_agree_with_queue_log",
        "each command to a bank, and its firmbanking request: done and success, refused and failure, else in progress; and the amount asked for",
        "SELECT * FROM banking.firmbanking WHERE firmbanking_id = '<id>'; GET /requests/<id>",
    );
    let of = data.flow(Flow::Firmbanking);
    let mut rows = Cursor::new(&of.rows);
    let mut messages = Cursor::new(&of.messages);
    for command in &data.tables.commands {
        check.compare();
        let row = rows.of(command.id).first();
        let place = row.and_then(|row| row.place);
        let message = messages
            .of(command.id)
            .iter()
            .find(|it| Some(it.place) == place);
        let problem = match row {
            _ if message.is_some_and(|message| message.amount != command.amount) => {
                Some("the command is of another amount than the request")
            }
            Some(row) => (!fits(command, row)).then_some("queue_log says otherwise"),
            None if time_of(Uuid::from_u128(command.id)) < data.horizon => None,
            None => Some("a command that no request asked for"),
        };
        if let Some(problem) = problem {
            check.offend_with(|| {
                (
                    shown(command.id),
                    number(data, command),
                    format!("{:?}: {problem}", command.state),
                )
            });
        }
    }
    let mut commands = Cursor::new(&data.tables.commands);
    for row in &of.rows {
        let known = !commands.of(row.id).is_empty();
        if row.status == Status::Done && row.success && !known {
            check.offend_with(|| {
                let problem = "a success, yet there is no command".to_string();
                (shown(row.id), String::new(), problem)
            });
        }
    }
    check
}

fn fits(command: &Command, row: &Row) -> bool {
    match command.state {
        State::Done => row.status == Status::Done && row.success,
        State::Refused => row.status == Status::Done && !row.success,
        State::Live | State::Manual => row.status == Status::Processing,
    }
}

/// Compares commands with the journal: the bank's fee, and the money where no
/// other flow posts it.
pub(super) fn are_posted(data: &Data) -> Check {
    let mut check = Check::new(
        "commands_are_posted",
        "each command to a bank, and its postings: the bank's fee, and the money of a direct command of staff",
        "SELECT * FROM banking.firmbanking WHERE firmbanking_id = '<id>'",
    );
    let reserved = RESERVED.map(|it| data.reasons.code(it));
    for command in &data.tables.commands {
        check.compare();
        let direct = !reserved.contains(&command.purpose);
        if let Some(problem) = unposted(data, command, direct) {
            check.offend_with(|| (shown(command.id), number(data, command), problem));
        }
    }
    check
}

fn unposted(data: &Data, command: &Command, direct: bool) -> Option<String> {
    let bank = data.reasons.text(command.from_bank);
    let posted = |what| {
        let entry = derive(Uuid::from_u128(command.id), what).as_u128();
        find(&data.ledger.postings, entry)
    };
    let ended = matches!(command.state, State::Done | State::Refused);
    let fee = (ended && command.fee > 0).then(|| Line {
        kind: EntryKind::FirmbankingFee,
        debit: Side::Ours(AccountKind::FirmbankingFee, 0),
        credit: Side::cash(&bank),
        amount: command.fee,
    });
    let transfer = (direct && command.state == State::Done).then(|| Line {
        kind: EntryKind::Transfer,
        debit: if command.to_ours {
            Side::cash(&data.reasons.text(command.to_bank))
        } else {
            Side::Ours(AccountKind::Suspense, 0)
        },
        credit: Side::cash(&bank),
        amount: command.amount,
    });
    let fee = difference(&data.ledger, posted("fee"), fee.as_slice());
    fee.map(|problem| format!("the fee: {problem}"))
        .or_else(|| {
            let transfer = difference(&data.ledger, posted("transfer"), transfer.as_slice());
            transfer.map(|problem| format!("the transfer: {problem}"))
        })
}

/// Looks for a number that two commands have.
pub(super) fn numbers_are_unique(data: &Data) -> Check {
    let mut check = Check::new(
        "transaction_numbers_are_unique",
        "the transaction numbers of all commands: none twice for a bank and business date",
        "SELECT * FROM banking.firmbanking WHERE business_date = '<date>'",
    );
    let mut numbers: Vec<_> = data
        .tables
        .commands
        .iter()
        .filter_map(|command| Some((command.from_bank, command.number?, command)))
        .collect();
    numbers.sort_unstable_by_key(|(bank, number, _)| (*bank, *number));
    check.compared = numbers.len() as u64;
    for pair in numbers
        .windows(2)
        .filter(|pair| (pair[0].0, pair[0].1) == (pair[1].0, pair[1].1))
    {
        check.offend_with(|| {
            let problem = format!("{} has it too", shown(pair[0].2.id));
            (shown(pair[1].2.id), number(data, pair[1].2), problem)
        });
    }
    check
}

/// A command's number, for people.
pub(super) fn number(data: &Data, command: &Command) -> String {
    let bank = data.reasons.text(command.from_bank);
    match command.number {
        Some((date, number)) => format!("bank {bank}, {} number {number:06}", shown_day(date)),
        None => format!("bank {bank}, no number"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    fn offenders(of: fn(&Data) -> Check, break_it: impl Fn(&mut Data)) -> u64 {
        let mut data = sample::day();
        break_it(&mut data);
        of(&data).offenders_total
    }

    #[test]
    fn a_clean_day_has_no_offenders() {
        let data = sample::day();
        for of in [agree_with_queue_log, are_posted, numbers_are_unique] {
            assert_eq!(of(&data).offenders, []);
            assert!(of(&data).compared >= 4);
        }
    }

    #[test]
    fn a_command_that_queue_log_does_not_know_or_knows_otherwise_is_found() {
        let of = agree_with_queue_log;
        assert_eq!(offenders(of, |data| data.tables.commands[0].amount += 1), 1);
        let manual = |data: &mut Data| {
            let done = data
                .tables
                .commands
                .iter_mut()
                .find(|it| it.state == State::Done);
            done.unwrap().state = State::Manual;
        };
        assert_eq!(offenders(of, manual), 1);
        assert_eq!(
            offenders(of, |data| data.flow_mut(Flow::Firmbanking).rows.clear()),
            5
        );
        assert_eq!(offenders(of, |data| data.tables.commands.clear()), 4);
    }

    #[test]
    fn a_fee_or_transfer_that_was_not_posted_is_found() {
        assert_eq!(
            offenders(are_posted, |data| data.ledger.postings.clear()),
            4
        );
        let dearer = |data: &mut Data| data.tables.commands.iter_mut().for_each(|it| it.fee += 1);
        assert_eq!(offenders(are_posted, dearer), 4);
    }

    #[test]
    fn a_number_that_two_commands_have_is_found() {
        let twice = |data: &mut Data| {
            let number = data.tables.commands[0].number;
            data.tables
                .commands
                .iter_mut()
                .for_each(|command| command.number = number);
        };
        assert_eq!(offenders(numbers_are_unique, twice), 4);
    }
}
