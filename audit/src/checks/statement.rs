//! Our commands against the banks' own statements.

use mypay_bank::wire::LineKind;

use super::commands::number;
use crate::bank::{Bank, Line};
use crate::data::Data;
use crate::flows::{Command, State};
use crate::report::Check;
use crate::rows::shown;

/// Looks for each command on the statements.
pub(super) fn commands_are_on_it(data: &Data) -> Check {
    let mut check = Check::new(
        "commands_are_on_the_statement",
        "each command that we hold for done, and the banks' own statements: number, business date, amount, direction, fee; one that we hold for refused is not there",
        "mypay close --date <business date>",
    );
    let Some(bank) = bank(data, &mut check) else {
        return check;
    };
    let mut unsettled = 0;
    for command in data
        .tables
        .commands
        .iter()
        .filter(|command| command.number.is_some())
    {
        let lines = lines_of(bank, command);
        let problem = match command.state {
            State::Done => done(command, lines),
            State::Refused => refused(lines),
            State::Live | State::Manual => {
                unsettled += u64::from(!lines.is_empty());
                continue;
            }
        };
        check.compare();
        if let Some(problem) = problem {
            check.offend_with(|| (shown(command.id), number(data, command), problem));
        }
    }
    if unsettled > 0 {
        check.note(format!(
            "{unsettled} commands that the bank did and has yet to tell us of"
        ));
    }
    check
}

/// The statements; where they could not be had, the check fails.
pub(super) fn bank<'a>(data: &'a Data, check: &mut Check) -> Option<&'a Bank> {
    match &data.bank {
        Some(Ok(bank)) => return Some(bank),
        Some(Err(why)) => check.fail(format!("could not compare: {why}")),
        None => check.fail("could not compare: the bank was not asked"),
    }
    None
}

fn lines_of<'a>(bank: &'a Bank, command: &Command) -> &'a [Line] {
    let Some((date, number)) = command.number else {
        return &[];
    };
    let key = (command.from_bank, date, number);
    let from = bank.lines.partition_point(|line| line.key() < key);
    let count = bank.lines[from..]
        .iter()
        .take_while(|line| line.key() == key)
        .count();
    &bank.lines[from..from + count]
}

fn done(command: &Command, lines: &[Line]) -> Option<String> {
    let moved = |bank, amount| {
        let of_bank = lines
            .iter()
            .filter(|line| line.kind == LineKind::Transfer && line.bank == bank)
            .filter(|line| (line.amount < 0) == (amount < 0));
        let amounts: Vec<i64> = of_bank.map(|line| line.amount).collect();
        match amounts[..] {
            [] => Some("the bank's statement does not have it".to_string()),
            [found] if found == amount => None,
            [found] => Some(format!("{amount} won here, {found} won on the statement")),
            _ => Some(format!("{} times on the statement", amounts.len())),
        }
    };
    let out = command
        .from_ours
        .then(|| moved(command.from_bank, -command.amount))
        .flatten();
    let into = || {
        command
            .to_ours
            .then(|| moved(command.to_bank, command.amount))
            .flatten()
    };
    let fee = || {
        let taken: i64 = lines.iter().map(|line| line.fee).sum();
        (taken != command.fee).then(|| {
            format!(
                "a fee of {} won here, {taken} won on the statement",
                command.fee
            )
        })
    };
    out.or_else(into).or_else(fee)
}

fn refused(lines: &[Line]) -> Option<String> {
    lines
        .iter()
        .any(|line| line.kind == LineKind::Transfer)
        .then(|| "the bank did it, though we hold it for refused".to_string())
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    fn offenders(of: fn(&Data) -> Check, break_it: impl Fn(&mut Data, &mut Bank)) -> u64 {
        let mut data = sample::day();
        let Some(Ok(mut bank)) = data.bank.take() else {
            panic!("the sample has statements")
        };
        break_it(&mut data, &mut bank);
        data.bank = Some(Ok(bank));
        of(&data).offenders_total
    }

    #[test]
    fn a_clean_day_has_no_offenders() {
        let data = sample::day();
        assert_eq!(commands_are_on_it(&data).offenders, []);
        assert_eq!(commands_are_on_it(&data).compared, 4);
    }

    #[test]
    fn a_command_that_the_bank_did_not_do_or_did_otherwise_is_found() {
        let of = commands_are_on_it;
        assert_eq!(offenders(of, |_, bank| bank.lines.clear()), 4);
        let moved = |bank: &mut Bank, by: fn(&mut Line)| {
            bank.lines
                .iter_mut()
                .filter(|line| line.kind == LineKind::Transfer)
                .for_each(by);
        };
        assert_eq!(
            offenders(of, |_, bank| moved(bank, |line| line.amount += 1)),
            4
        );
        assert_eq!(
            offenders(of, |_, bank| moved(bank, |line| line.amount = -line.amount)),
            4
        );
        assert_eq!(
            offenders(of, |_, bank| moved(bank, |line| line.fee += 1)),
            4
        );
        let refused = |data: &mut Data, _: &mut Bank| {
            for command in data
                .tables
                .commands
                .iter_mut()
                .filter(|it| it.state == State::Done)
            {
                command.state = State::Refused;
            }
        };
        assert_eq!(offenders(of, refused), 4);
    }

    #[test]
    fn a_bank_that_cannot_be_reached_is_no_pass() {
        let mut data = sample::day();
        data.bank = Some(Err("no answer".to_string()));
        let check = commands_are_on_it(&data);
        assert!(!check.ok && check.could_not.is_some());
    }
}
