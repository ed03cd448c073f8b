//! What an answer makes of a command: what the bank said in the words of
//! `mypay_decide::bank_answer`, which decides, and its decision for the tables.

use std::time::Duration;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use mypay_bank::account::same_holder;
use mypay_bank::classes::Bank;
use mypay_bank::client::{CallFailed, UnknownWhy};
use mypay_bank::{Answer, HolderAnswer, Reason};
use mypay_decide::bank_answer::{
    self, Answer as Said, Call, Class, Holder, HolderStep, Refusal, Rules, Sent, Step, Tries, Why,
};
use uuid::Uuid;

use super::Inquiry;
use super::claim::Taken;

/// A call and what it makes of its command.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) firmbanking_id: Uuid,
    /// The lease that the call was made under.
    pub(super) fence: i64,
    pub(super) next: Next,
    /// What the pauses before the next tries hang on.
    pub(super) tries: Tries,
    /// For the history: what the bank said, or did not.
    pub(super) detail: String,
    /// Whether the bank itself said that it did or refused the command. That
    /// holds whoever asked, and whatever became of the lease meanwhile.
    pub(super) conclusive: bool,
    /// What was counted when it was taken, and was not done after all: not a byte left.
    pub(super) unmade: Option<Counted>,
}

/// As what a call is counted, before it is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Counted {
    /// A call to do the command.
    Call,
    /// An inquiry about the command.
    Inquiry,
    /// A question about the holder, of this day in Korea.
    Holder(NaiveDate),
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

    /// Refused by ourselves: the bank took nothing.
    pub(super) fn refused(reason: &str) -> Self {
        Next::Refused {
            reason: reason.to_string(),
            fee: 0,
        }
    }
}

/// What comes next, the tries until then, and what is kept of it for people.
pub(super) type Made = (Next, Tries, String);

/// What an answer to the command, or to an inquiry about it, makes of it.
pub(super) fn of_call(
    call: Call,
    answer: Answer,
    taken: &Taken,
    bank: &Bank,
    inquiry: Inquiry,
    now: DateTime<Utc>,
) -> Made {
    let said = said(&answer);
    let sent = Sent {
        sent_at: taken.sent_at,
        sent_before: taken.calls > 1,
        tries: taken.tries,
    };
    let rules = Rules {
        trusts_no_such_transaction: bank.no_such_transaction_is_trustworthy,
        settling_time: delta(bank.settling_time),
        first_inquiry: delta(inquiry.first),
        longest_pause: delta(inquiry.longest),
        ask_by: bank.ask_by(taken.sent_at),
        lapses_at: bank.lapses_at(taken.sent_at),
        awake_at: bank.rest_window.awake_at(now),
    };
    let step = bank_answer::next(call, said, &sent, &rules, now);
    let mut detail = detail(&answer);
    if call == Call::Inquiry {
        detail = format!("inquiry {}: {}: {detail}", taken.inquiries, class(said));
    }
    let tries = match step {
        Step::Send { tries, .. } | Step::Inquire { tries, .. } => tries,
        Step::Done | Step::Refuse | Step::Case(_) => Tries::default(),
    };
    let next = match step {
        Step::Done => done(answer),
        Step::Refuse => refused(answer),
        Step::Send { at, .. } => Next::Pending { due_at: at },
        Step::Inquire { at, .. } => Next::Unknown { due_at: at },
        Step::Case(why) => {
            if why == Why::Lapses {
                let lapses_at = bank.lapses_at(taken.sent_at);
                detail = format!("the right to inquire lapses at {lapses_at}; {detail}");
            }
            Next::Manual
        }
    };
    (next, tries, detail)
}

/// What the bank said, as far as anything hangs on it.
fn said(answer: &Answer) -> Said {
    Said::Coded(Some(match answer {
        Answer::Done { .. } => Class::Done,
        Answer::Refused { reason, .. } => Class::Refused(refusal(*reason)),
        Answer::InProgress => Class::InProgress,
        Answer::NotFound => Class::NotFound,
        Answer::Unknown {
            why: UnknownWhy::CodeNotInTable(_),
        } => return Said::Coded(None),
        Answer::Unknown { .. } => return Said::Silence,
        Answer::NotSent { why } => {
            let passing = why.is_passing();
            return Said::NotSent { passing };
        }
    }))
}

fn refusal(reason: Reason) -> Refusal {
    match reason {
        reason if reason.is_passing() => Refusal::Resting,
        Reason::NumberUsedWithOtherContent | Reason::FormatError => Refusal::InDoubt,
        _ => Refusal::Final,
    }
}

/// For the history, in one word.
fn class(said: Said) -> &'static str {
    match said {
        Said::Coded(Some(Class::Done)) => "done",
        Said::Coded(Some(Class::Refused(_))) => "refused",
        Said::Coded(Some(Class::InProgress)) => "in progress",
        Said::Coded(Some(Class::NotFound)) => "not found",
        Said::Coded(None) | Said::Silence => "unknown",
        Said::NotSent { .. } => "not sent",
    }
}

fn detail(answer: &Answer) -> String {
    match answer {
        Answer::Done { executed_at, .. } => format!("done at {executed_at}"),
        Answer::Refused { reason, code, .. } if reason.is_passing() => {
            format!("the bank rests ({code})")
        }
        Answer::Refused { reason, code, .. } => format!("{reason} ({code})"),
        Answer::InProgress => "the bank has it in progress".to_string(),
        Answer::NotFound => "the bank has no such transaction".to_string(),
        Answer::Unknown { why } => why.to_string(),
        Answer::NotSent { why } => format!("not sent: {why}"),
    }
}

fn done(answer: Answer) -> Next {
    match answer {
        Answer::Done {
            fee,
            bank_reference,
            ..
        } => Next::Done {
            fee,
            bank_reference,
        },
        // Decided as done and not said to be: cannot be, and is for people.
        _ => Next::Manual,
    }
}

fn refused(answer: Answer) -> Next {
    match answer {
        Answer::Refused { reason, fee, .. } => Next::Refused {
            reason: reason.as_str().to_string(),
            fee,
        },
        // Not a byte has left, and never can.
        _ => Next::refused("format_error"),
    }
}

/// What the answer to a holder inquiry makes of the command.
pub(super) fn of_holder(
    answer: HolderAnswer,
    named: &str,
    tries: Tries,
    now: DateTime<Utc>,
) -> Made {
    let detail = match &answer {
        HolderAnswer::Open { holder_name } if same_holder(holder_name, named) => {
            "the holder is the one named".to_string()
        }
        // The bank's name is another person's; it is kept out of the history.
        HolderAnswer::Open { .. } => "the holder is another".to_string(),
        HolderAnswer::Closed { .. } => "the account is closed".to_string(),
        HolderAnswer::NoSuchAccount => "there is no such account".to_string(),
        HolderAnswer::Unavailable { why } => format!("the holder inquiry: {why}"),
    };
    match bank_answer::holder(holder_said(&answer, named), tries, now) {
        HolderStep::Send => (Next::HolderChecked, Tries::default(), detail),
        HolderStep::Refuse(reason) => (Next::refused(reason), Tries::default(), detail),
        HolderStep::Ask { at, tries } => (Next::Pending { due_at: at }, tries, detail),
    }
}

/// What the bank said of the account, as far as anything hangs on it.
fn holder_said(answer: &HolderAnswer, named: &str) -> Holder {
    match answer {
        HolderAnswer::Open { holder_name } => Holder::Open {
            is_named: same_holder(holder_name, named),
        },
        HolderAnswer::Closed { .. } => Holder::Closed,
        HolderAnswer::NoSuchAccount => Holder::NoSuchAccount,
        HolderAnswer::Unavailable { why } => match why {
            CallFailed::NotSent(why) => Holder::NotSent {
                passing: why.is_passing(),
            },
            CallFailed::Unknown(_) => Holder::Silence,
        },
    }
}

fn delta(duration: Duration) -> TimeDelta {
    TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX)
}

#[cfg(test)]
pub(super) mod tests;
