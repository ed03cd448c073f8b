//! Which faults fall on one command.

use chrono::{DateTime, TimeDelta, Utc};

use super::faults::{Dial, Fault};
use super::transfer::{Instructions, TransferKey};
use crate::classes::Reason;

/// What a `refuse` may say.
const REFUSALS: [Reason; 6] = [
    Reason::InsufficientFundsAtBank,
    Reason::AccountClosed,
    Reason::StolenAccount,
    Reason::AccountSuspended,
    Reason::HolderMismatch,
    Reason::RefusedByBank,
];

/// What happens before the command is executed, instead of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Before {
    /// A 5xx.
    Error,
    /// The connection breaks after so many bytes of nothing: at once.
    Cut,
}

/// What happens to the answer of a command that was executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    /// It comes too late.
    Slow,
    /// It is a 5xx.
    Error,
    /// It breaks off; the number says where.
    Cut(u64),
    /// It does not come.
    Lost,
    /// It is unreadable.
    Garbage,
    /// Its code is in no table.
    UnknownCode,
}

/// The faults of one command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Plan {
    pub(super) before: Option<Before>,
    pub(super) wish: Instructions,
    pub(super) after: Option<After>,
}

impl Plan {
    /// Drawn from the dial; where two faults fall on one answer, the first of this list.
    pub(super) fn draw(dial: &Dial, key: &TransferKey, now: DateTime<Utc>) -> Self {
        let hits = |fault| dial.hits(fault, key);
        let draw = |fault, what| dial.draw(fault, what, key);
        let later = |ms: u64| Some(now + TimeDelta::milliseconds(i64::try_from(ms).unwrap_or(0)));

        let cut = hits(Fault::Cut);
        let cut_before = cut && draw(Fault::Cut, "when").is_multiple_of(4);
        let hidden = hits(Fault::NotFoundFirst);
        let in_progress = hits(Fault::InProgress);
        let refusal = || REFUSALS[draw(Fault::Refuse, "reason") as usize % REFUSALS.len()];

        let before = if hits(Fault::ErrorBefore) {
            Some(Before::Error)
        } else {
            cut_before.then_some(Before::Cut)
        };
        let after = if hidden || hits(Fault::LostAnswer) {
            Some(After::Lost)
        } else if cut && !cut_before {
            Some(After::Cut(draw(Fault::Cut, "where")))
        } else {
            let rest = [
                (Fault::ErrorAfter, After::Error),
                (Fault::Slow, After::Slow),
                (Fault::Garbage, After::Garbage),
                (Fault::UnknownCode, After::UnknownCode),
            ];
            rest.into_iter()
                .find(|(fault, _)| hits(*fault))
                .map(|(_, after)| after)
        };
        let wish = Instructions {
            refuse: hits(Fault::Refuse).then(refusal),
            in_progress_until: in_progress.then(|| later(dial.in_progress_ms)).flatten(),
            hidden_until: hidden.then(|| later(dial.not_found_ms)).flatten(),
            reverse_at: hits(Fault::LateReversal)
                .then(|| later(dial.reversal_ms))
                .flatten(),
            notice_lost: hits(Fault::LostNotice),
        };
        Self {
            before,
            wish,
            after,
        }
    }
}
