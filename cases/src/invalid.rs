//! What a decision must have, before anything is looked up.

use crate::decision::{Decision, Verdict};

/// The highest fee that is believed, whole won.
const FEE_MAX: i64 = 1_000_000;
/// The longest name, and the longest reason, in characters.
const OPERATOR_MAX: usize = 100;
const REASON_MAX: usize = 1_000;

/// What is wrong with a decision's field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// Nobody's name, or no reason.
    #[error("{field}: is empty: 1 to {most} characters")]
    Empty {
        /// Which field.
        field: &'static str,
        /// How long it may be.
        most: usize,
    },
    /// A name or reason that is too long.
    #[error("{field}: has {length} characters, and at most {most} are taken")]
    TooLong {
        /// Which field.
        field: &'static str,
        /// How long it is.
        length: usize,
        /// How long it may be.
        most: usize,
    },
    /// PostgreSQL has no text with U+0000 in it.
    #[error("{0}: has a character that no text of ours has (U+0000)")]
    Zero(&'static str),
    /// More than a bank would take, or less than nothing.
    #[error("fee: whole won from 0 to {FEE_MAX}")]
    FeeOutOfRange,
    /// A fee for what the bank has not done.
    #[error("fee: only what the bank did or refused can have cost one")]
    FeeOfNothing,
    /// An outcome that this kind of case cannot have.
    #[error("outcome: {0}")]
    Unfit(&'static str),
}

impl Invalid {
    /// Which field is at fault.
    pub const fn field(self) -> &'static str {
        match self {
            Self::Empty { field, .. } | Self::TooLong { field, .. } | Self::Zero(field) => field,
            Self::FeeOutOfRange | Self::FeeOfNothing => "fee",
            Self::Unfit(_) => "outcome",
        }
    }
}

/// Checks a decision's fields, each by itself, whatever its case.
///
/// # Errors
/// What is wrong with which of its fields.
pub fn check(decision: &Decision) -> Result<(), Invalid> {
    check_words(&decision.operator, &decision.reason)?;
    if !(0..=FEE_MAX).contains(&decision.fee) {
        return Err(Invalid::FeeOutOfRange);
    }
    if decision.fee > 0 && !matches!(decision.verdict, Verdict::Done | Verdict::Refused) {
        return Err(Invalid::FeeOfNothing);
    }
    Ok(())
}

/// Checks the words of a decision, or of a proposal to undo a payout: who, and why.
///
/// # Errors
/// What is wrong with which of the two.
pub fn check_words(operator: &str, reason: &str) -> Result<(), Invalid> {
    check_operator(operator)?;
    check_text("reason", reason, REASON_MAX)
}

/// Checks who approves.
pub(crate) fn check_operator(operator: &str) -> Result<(), Invalid> {
    check_text("operator", operator, OPERATOR_MAX)
}

fn check_text(field: &'static str, text: &str, most: usize) -> Result<(), Invalid> {
    match text.trim().chars().count() {
        0 => Err(Invalid::Empty { field, most }),
        length if length > most => Err(Invalid::TooLong {
            field,
            length,
            most,
        }),
        _ if text.contains('\0') => Err(Invalid::Zero(field)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn decision() -> Decision {
        Decision {
            decision_id: Uuid::now_v7(),
            case_id: Uuid::now_v7(),
            verdict: Verdict::Done,
            fee: 350,
            operator: "kim".to_owned(),
            reason: "asked by telephone\nand again by letter".to_owned(),
        }
    }

    fn refused(change: impl FnOnce(&mut Decision)) -> Option<(&'static str, Invalid)> {
        let mut decision = decision();
        change(&mut decision);
        check(&decision).err().map(|why| (why.field(), why))
    }

    #[test]
    fn each_field_says_what_is_wrong_with_it() {
        assert_eq!(refused(|_| {}), None);
        let empty = |field, most| Some((field, Invalid::Empty { field, most }));
        assert_eq!(refused(|it| it.operator.clear()), empty("operator", 100));
        assert_eq!(
            refused(|it| it.reason = " \n".into()),
            empty("reason", 1_000)
        );
        let long = Invalid::TooLong {
            field: "reason",
            length: 1_001,
            most: 1_000,
        };
        let told = refused(|it| it.reason = "가".repeat(1_001));
        assert_eq!(told, Some(("reason", long)));
        let told = refused(|it| it.operator = "a\0b".into());
        assert_eq!(told, Some(("operator", Invalid::Zero("operator"))));
        for fee in [-1, i64::MIN, FEE_MAX + 1, i64::MAX] {
            let told = refused(|it| it.fee = fee);
            assert_eq!(told, Some(("fee", Invalid::FeeOutOfRange)), "{fee}");
        }
        for verdict in [Verdict::Resend, Verdict::Dismiss] {
            let told = refused(|it| it.verdict = verdict);
            assert_eq!(told, Some(("fee", Invalid::FeeOfNothing)));
        }
    }
}
