//! What a bank's notice, that it has undone a command, makes of our command.

use chrono::NaiveDate;
use mypay_schemas::identity::time_of;
use uuid::Uuid;

use crate::firmbanking::draws;

/// A notice, as far as its meaning hangs on it.
#[derive(Debug, Clone, Copy)]
pub struct Notice {
    /// The business date of what it undoes.
    pub business_date: NaiveDate,
    /// Our number of that, as the bank tells it.
    pub number: i32,
    /// Whole won.
    pub amount: i64,
}

/// Our command of a notice's number.
#[derive(Debug, Clone, Copy)]
pub struct Command<'a> {
    /// Its id, which carries its time.
    pub firmbanking_id: Uuid,
    /// As `banking.firmbanking` has it.
    pub state: &'a str,
    /// Whole won.
    pub amount: i64,
    /// What it was for.
    pub purpose: &'a str,
    /// Whether a flow asked for it; else it is a direct command of staff.
    pub is_of_flow: bool,
    /// Whether it has come back before.
    pub came_back: bool,
    /// Whether a transfer that undoes it is approved, and its bank has yet to answer.
    pub being_undone: bool,
}

/// What is made of a notice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judged {
    /// Our command is not settled: the notice was faster than the answer. Or it is
    /// being undone, which may give the money back as well.
    Waits,
    /// Our command is undone.
    Reversed,
    /// People must look at it, and why. Nothing is posted.
    Case(String),
}

impl Judged {
    /// As `banking.notice` has it.
    pub fn state(&self) -> &'static str {
        match self {
            Judged::Waits => "waits",
            Judged::Reversed => "reversed",
            Judged::Case(_) => "case",
        }
    }

    /// For people.
    pub fn detail(&self) -> Option<&str> {
        match self {
            Judged::Case(why) => Some(why),
            Judged::Waits | Judged::Reversed => None,
        }
    }
}

/// Judges a notice. `again`: another one has just undone the same command. `oldest`:
/// from when on ids are remembered, milliseconds since the epoch.
pub fn judge(notice: &Notice, command: Option<&Command<'_>>, again: bool, oldest: i64) -> Judged {
    let case = |why: String| Judged::Case(why);
    let Some(command) = command else {
        let (date, number) = (notice.business_date, notice.number.unsigned_abs());
        return case(format!("no command of ours is {date} number {number:06}"));
    };
    if command.came_back || again {
        return case("the command came back before, by another notice or an undo".to_string());
    }
    if command.amount != notice.amount {
        return case(format!(
            "{} won came back of a command of {} won",
            notice.amount, command.amount
        ));
    }
    if draws(command.purpose) {
        let purpose = command.purpose;
        return case(format!(
            "a command of the {purpose}: money was drawn, and only payouts come back"
        ));
    }
    // Once its undo is done it has come back, and is a case; refused, and it does now.
    if command.being_undone {
        return Judged::Waits;
    }
    match command.state {
        // Its flow could not claim what is told of it: only half would be undone. A
        // direct command has no flow.
        "done" if command.is_of_flow && time_of(command.firmbanking_id) < oldest => case(
            "a command of a week that queue_log has forgotten: its flow cannot undo it".to_string(),
        ),
        "done" => Judged::Reversed,
        "refused" => case("we hold the command for refused, and have given it back".to_string()),
        _ => Judged::Waits,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notice() -> Notice {
        Notice {
            business_date: NaiveDate::from_ymd_opt(2026, 3, 2).unwrap_or_default(),
            number: 42,
            amount: 5_000,
        }
    }

    fn command(state: &str) -> Command<'_> {
        Command {
            firmbanking_id: Uuid::nil(),
            state,
            amount: 5_000,
            purpose: "remittance",
            is_of_flow: false,
            came_back: false,
            being_undone: false,
        }
    }

    #[test]
    fn only_what_was_done_is_undone_and_what_is_not_settled_waits() {
        assert_eq!(
            judge(&notice(), Some(&command("done")), false, 0),
            Judged::Reversed
        );
        // The nil id is of 1970.
        assert_eq!(
            judge(&notice(), Some(&command("done")), false, 1),
            Judged::Reversed
        );
        for state in ["pending", "sending", "unknown", "manual"] {
            assert_eq!(
                judge(&notice(), Some(&command(state)), false, 0),
                Judged::Waits
            );
        }
    }

    #[test]
    fn of_what_is_being_undone_nothing_is_given_back_meanwhile() {
        let being_undone = Command {
            being_undone: true,
            ..command("done")
        };
        assert_eq!(
            judge(&notice(), Some(&being_undone), false, 0),
            Judged::Waits
        );
        let undone = Command {
            came_back: true,
            being_undone: false,
            ..command("done")
        };
        assert!(matches!(
            judge(&notice(), Some(&undone), false, 0),
            Judged::Case(_)
        ));
    }

    #[test]
    fn what_fits_no_command_of_ours_is_for_people() {
        let case = |command: Option<Command<'_>>, again| {
            assert!(matches!(
                judge(&notice(), command.as_ref(), again, 1),
                Judged::Case(_)
            ));
        };
        // From before the horizon: its flow could not undo it.
        case(
            Some(Command {
                is_of_flow: true,
                ..command("done")
            }),
            false,
        );
        case(None, false);
        case(Some(command("refused")), false);
        case(Some(command("done")), true);
        case(
            Some(Command {
                came_back: true,
                ..command("done")
            }),
            false,
        );
        case(
            Some(Command {
                amount: 4_999,
                ..command("done")
            }),
            false,
        );
        for drawn in ["recharge", "undo"] {
            case(
                Some(Command {
                    purpose: drawn,
                    ..command("done")
                }),
                false,
            );
        }
    }
}
