//! Each line of the banks' own statements has a command of ours behind it.

use std::collections::HashMap;

use mypay_bank::wire::LineKind;

use super::statement::bank;
use crate::bank::{Bank, shown_day};
use crate::data::Data;
use crate::flows::Command;
use crate::report::Check;

/// Looks for each line of the statements among our commands.
pub(super) fn lines_are_known(data: &Data) -> Check {
    let mut check = Check::new(
        "statement_lines_are_known",
        "each line of the banks' own statements of our accounts, and the command of ours behind it",
        "mypay close --date <business date>",
    );
    let Some(bank) = bank(data, &mut check) else {
        return check;
    };
    let known = by_number(data);
    for line in bank
        .lines
        .iter()
        .filter(|line| line.kind != LineKind::Opening)
    {
        check.compare();
        let ours = known.contains_key(&line.key()) || data.later_numbers.contains(&line.key());
        if !ours {
            check.offend_with(|| {
                let (bank, date, number) = line.key();
                let id = format!(
                    "line {} of bank {}",
                    line.line_number,
                    data.reasons.text(line.bank)
                );
                let place = format!(
                    "bank {}, {} number {number:06}",
                    data.reasons.text(bank),
                    shown_day(date)
                );
                (
                    id,
                    place,
                    format!(
                        "{} won moved that no command of ours asked for",
                        line.amount
                    ),
                )
            });
        }
    }
    check
}

/// Whether a line has no command among those that were loaded.
pub(super) fn has_unknown_lines(data: &Data, bank: &Bank) -> bool {
    let known = by_number(data);
    bank.lines
        .iter()
        .any(|line| line.kind != LineKind::Opening && !known.contains_key(&line.key()))
}

/// Our commands by bank, business date and number.
pub(super) fn by_number(data: &Data) -> HashMap<(u32, i32, i32), &Command> {
    data.tables
        .commands
        .iter()
        .filter_map(|command| {
            let (date, number) = command.number?;
            Some(((command.from_bank, date, number), command))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;
    use crate::bank::Line;

    #[test]
    fn a_line_that_no_command_asked_for_is_found() {
        let mut data = sample::day();
        assert_eq!(
            (
                lines_are_known(&data).offenders,
                lines_are_known(&data).compared
            ),
            (vec![], 4)
        );
        let Some(Ok(bank)) = &mut data.bank else {
            panic!("the sample has statements")
        };
        let line = bank.lines[bank.lines.len() - 1];
        let stray = Line {
            number: Some((9_999, 1)),
            ..line
        };
        bank.lines.push(stray);
        assert_eq!(lines_are_known(&data).offenders_total, 1);
        // It was asked for after the snapshot.
        data.later_numbers.insert(stray.key());
        assert!(lines_are_known(&data).ok);
    }

    #[test]
    fn a_bank_that_cannot_be_reached_is_no_pass() {
        let mut data = sample::day();
        data.bank = Some(Err("no answer".to_string()));
        assert!(!lines_are_known(&data).ok && lines_are_known(&data).could_not.is_some());
    }
}
