//! What a notice makes of our command: a function of the two.

use chrono::{DateTime, NaiveDate, Utc};
use mypay_decide::firmbanking::draws;
use mypay_schemas::identity::time_of;
use uuid::Uuid;

/// A notice, as the bank wrote it.
#[derive(Debug, Clone)]
pub(super) struct Notice {
    pub(super) bank_code: String,
    pub(super) notice_date: NaiveDate,
    pub(super) notice_number: i64,
    pub(super) business_date: NaiveDate,
    pub(super) number: i32,
    pub(super) amount: i64,
    pub(super) reversed_at: DateTime<Utc>,
}

/// Our command of a notice's number.
#[derive(Debug, Clone)]
pub(super) struct Command {
    pub(super) firmbanking_id: Uuid,
    pub(super) state: String,
    pub(super) amount: i64,
    pub(super) purpose: String,
    pub(super) origin_id: Option<Uuid>,
    pub(super) correlation_id: String,
    pub(super) traceparent: Option<String>,
    /// Whether it has come back before.
    pub(super) came_back: bool,
    /// The bank of the receiving account, where that is ours too.
    pub(super) to_ours: Option<String>,
    /// Whether a transfer that undoes it is approved, and its bank has yet to answer.
    pub(super) being_undone: bool,
}

/// What is made of a notice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Judged {
    /// Our command is not settled: the notice was faster than the answer. Or it is
    /// being undone, which may give the money back as well.
    Waits,
    /// Our command is undone.
    Reversed,
    /// People must look at it, and why. Nothing is posted.
    Case(String),
}

impl Judged {
    pub(super) fn state(&self) -> &'static str {
        match self {
            Judged::Waits => "waits",
            Judged::Reversed => "reversed",
            Judged::Case(_) => "case",
        }
    }

    pub(super) fn detail(&self) -> Option<&str> {
        match self {
            Judged::Case(why) => Some(why),
            Judged::Waits | Judged::Reversed => None,
        }
    }
}

/// Judges a notice. `again`: another one has just undone the same command. `oldest`:
/// from when on ids are remembered.
pub(super) fn judge(
    notice: &Notice,
    command: Option<&Command>,
    again: bool,
    oldest: i64,
) -> Judged {
    let case = |why: String| Judged::Case(why);
    let Some(command) = command else {
        return case(format!("no command of ours is {}", super::shown(notice)));
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
    if draws(&command.purpose) {
        let purpose = &command.purpose;
        return case(format!(
            "a command of the {purpose}: money was drawn, and only payouts come back"
        ));
    }
    // Once its undo is done it has come back, and is a case; refused, and it does now.
    if command.being_undone {
        return Judged::Waits;
    }
    match command.state.as_str() {
        // Its flow could not claim what is told of it: only half would be undone. A
        // direct command has no flow.
        "done" if command.origin_id.is_some() && time_of(command.firmbanking_id) < oldest => case(
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
        let date = NaiveDate::from_ymd_opt(2026, 3, 2).unwrap_or_default();
        Notice {
            bank_code: "004".into(),
            notice_date: date,
            notice_number: 1,
            business_date: date,
            number: 42,
            amount: 5_000,
            reversed_at: DateTime::UNIX_EPOCH,
        }
    }

    fn command(state: &str) -> Command {
        Command {
            firmbanking_id: Uuid::nil(),
            state: state.into(),
            amount: 5_000,
            purpose: "remittance".into(),
            origin_id: None,
            correlation_id: String::new(),
            traceparent: None,
            came_back: false,
            to_ours: None,
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
        let case = |command: Option<Command>, again| {
            assert!(matches!(
                judge(&notice(), command.as_ref(), again, 1),
                Judged::Case(_)
            ));
        };
        // From before the horizon: its flow could not undo it.
        case(
            Some(Command {
                origin_id: Some(Uuid::nil()),
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
                    purpose: drawn.into(),
                    ..command("done")
                }),
                false,
            );
        }
    }
}
