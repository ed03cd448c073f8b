//! What an answer makes of a command: a function of the command, the answer
//! and the bank's rules.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use mypay_bank::account::same_holder;
use mypay_bank::classes::Bank;
use mypay_bank::client::CallFailed;
use mypay_bank::{Answer, HolderAnswer, Reason};

use super::Inquiry;
use super::claim::Taken;
use uuid::Uuid;

/// A call and what it makes of its command.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) firmbanking_id: Uuid,
    /// The lease that the call was made under.
    pub(super) fence: i64,
    pub(super) next: Next,
    /// For the history: what the bank said, or did not.
    pub(super) detail: String,
    /// Whether the bank itself said that it did or refused the command. That
    /// holds whoever asked, and whatever became of the lease meanwhile.
    pub(super) conclusive: bool,
}

/// A command's next state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Next {
    /// The bank did it, and took its fee.
    Done { fee: i64, bank_reference: String },
    /// The bank refused it.
    Refused { reason: String, fee: i64 },
    /// Nothing has left or been kept: it may be sent (again), with its number.
    Pending { due_at: DateTime<Utc> },
    /// The holder is the one named; it may be sent.
    HolderChecked,
    /// It may have moved money or not: to be inquired about.
    Unknown { due_at: DateTime<Utc> },
    /// Only an operator can find out.
    Manual,
}

impl Next {
    /// For the metrics.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Next::Done { .. } => "done",
            Next::Refused { .. } => "refused",
            Next::Pending { .. } => "again",
            Next::HolderChecked => "holder_checked",
            Next::Unknown { .. } => "unknown",
            Next::Manual => "manual",
        }
    }

    /// What the bank took for the command, whole won.
    pub(super) fn fee(&self) -> i64 {
        match self {
            Next::Done { fee, .. } | Next::Refused { fee, .. } => *fee,
            _ => 0,
        }
    }
}

/// How soon something that passes is tried again.
const SOON: TimeDelta = TimeDelta::seconds(1);

/// What an answer to the command itself makes of it.
pub(super) fn of_transfer(
    answer: Answer,
    taken: &Taken,
    bank: &Bank,
    inquiry: Inquiry,
    now: DateTime<Utc>,
) -> (Next, String) {
    match answer {
        Answer::NotSent { why } if why.is_passing() => {
            let due_at = now + backoff(SOON, TimeDelta::seconds(30), taken.calls);
            (Next::Pending { due_at }, format!("not sent: {why}"))
        }
        // This call cannot be made; but an earlier one, under this number, was.
        Answer::NotSent { why } if taken.calls > 1 => (Next::Manual, format!("not sent: {why}")),
        // Not a byte has left, and never can.
        Answer::NotSent { why } => {
            let reason = "format_error".to_string();
            (Next::Refused { reason, fee: 0 }, format!("not sent: {why}"))
        }
        other => of_answer(other, taken, bank, inquiry, now),
    }
}

/// What an answer to an inquiry makes of the command.
pub(super) fn of_inquiry(
    answer: Answer,
    taken: &Taken,
    bank: &Bank,
    inquiry: Inquiry,
    now: DateTime<Utc>,
) -> (Next, String) {
    match answer {
        Answer::NotFound => {
            let settled = now - taken.sent_at >= delta(bank.settling_time);
            if bank.no_such_transaction_is_trustworthy && settled {
                let detail = "the bank has no such transaction, and is to be believed".to_string();
                (Next::Pending { due_at: now }, detail)
            } else {
                unknown(
                    taken,
                    bank,
                    inquiry,
                    now,
                    "the bank has no such transaction yet".to_string(),
                )
            }
        }
        // The bank rests from answering, which says nothing of the command.
        Answer::Refused { reason, code, .. } if reason.is_passing() => unknown(
            taken,
            bank,
            inquiry,
            now,
            format!("the bank rests ({code})"),
        ),
        // The inquiry was not sent; the command was, before.
        Answer::NotSent { why } => unknown(
            taken,
            bank,
            inquiry,
            now,
            format!("the inquiry was not sent: {why}"),
        ),
        other => of_answer(other, taken, bank, inquiry, now),
    }
}

fn of_answer(
    answer: Answer,
    taken: &Taken,
    bank: &Bank,
    inquiry: Inquiry,
    now: DateTime<Utc>,
) -> (Next, String) {
    match answer {
        Answer::Done {
            bank_reference,
            fee,
            executed_at,
        } => {
            let detail = format!("done at {executed_at}");
            (
                Next::Done {
                    fee,
                    bank_reference,
                },
                detail,
            )
        }
        Answer::Refused { reason, code, .. } if reason.is_passing() => {
            // Refused for the hour, not for what it is; kept by nobody.
            let due_at = bank.rest_window.awake_at(now).max(now + SOON);
            (Next::Pending { due_at }, format!("the bank rests ({code})"))
        }
        // The bank knows our number with other content, or cannot read us: what
        // stands under that number may have moved money. Nobody is refunded.
        Answer::Refused { reason, code, .. }
            if matches!(
                reason,
                Reason::NumberUsedWithOtherContent | Reason::FormatError
            ) =>
        {
            (Next::Manual, format!("{} ({code})", reason.as_str()))
        }
        Answer::Refused { reason, code, fee } => {
            let reason = reason.as_str().to_string();
            (
                Next::Refused {
                    reason: reason.clone(),
                    fee,
                },
                format!("{reason} ({code})"),
            )
        }
        Answer::InProgress => unknown(
            taken,
            bank,
            inquiry,
            now,
            "the bank has it in progress".to_string(),
        ),
        Answer::Unknown { why } => unknown(taken, bank, inquiry, now, why.to_string()),
        Answer::NotFound | Answer::NotSent { .. } => unknown(
            taken,
            bank,
            inquiry,
            now,
            "an answer out of place".to_string(),
        ),
    }
}

/// Still unknown: inquired about again, until the right to inquire lapses.
fn unknown(
    taken: &Taken,
    bank: &Bank,
    inquiry: Inquiry,
    now: DateTime<Utc>,
    detail: String,
) -> (Next, String) {
    if now - taken.sent_at >= delta(bank.inquiry_lapse) {
        return (
            Next::Manual,
            format!("the right to inquire has lapsed; {detail}"),
        );
    }
    let pause = backoff(
        delta(inquiry.first),
        delta(inquiry.longest),
        taken.inquiries,
    );
    (
        Next::Unknown {
            due_at: now + pause,
        },
        detail,
    )
}

/// What the answer to a holder inquiry makes of the command.
pub(super) fn of_holder(
    answer: HolderAnswer,
    named: &str,
    taken: &Taken,
    now: DateTime<Utc>,
) -> (Next, String) {
    let refused = |reason: &str| Next::Refused {
        reason: reason.to_string(),
        fee: 0,
    };
    match answer {
        HolderAnswer::Open { holder_name } if same_holder(&holder_name, named) => (
            Next::HolderChecked,
            "the holder is the one named".to_string(),
        ),
        // The bank's name is another person's; it is kept out of the history.
        HolderAnswer::Open { .. } => (
            refused("holder_mismatch"),
            "the holder is another".to_string(),
        ),
        HolderAnswer::Closed { .. } => (
            refused("account_closed"),
            "the account is closed".to_string(),
        ),
        HolderAnswer::NoSuchAccount => (
            refused("no_such_account"),
            "there is no such account".to_string(),
        ),
        // A bank that nobody knows: it can never be asked, and nothing has left.
        HolderAnswer::Unavailable {
            why: CallFailed::NotSent(why),
        } if !why.is_passing() => (refused("no_contract"), format!("the holder inquiry: {why}")),
        HolderAnswer::Unavailable { why } => {
            let due_at = now + backoff(SOON, TimeDelta::seconds(60), taken.inquiries);
            (
                Next::Pending { due_at },
                format!("the holder inquiry: {why}"),
            )
        }
    }
}

fn backoff(first: TimeDelta, longest: TimeDelta, times: i32) -> TimeDelta {
    let doublings = times.clamp(0, 16) as u32;
    (first * 2_i32.pow(doublings.min(16))).min(longest.max(first))
}

fn delta(duration: Duration) -> TimeDelta {
    TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX)
}
