//! What a bank's answer makes of a command.
//!
//! Whether money is given back, credited or sent a second time hangs on this
//! function and on nothing else. What it gives carries no transaction number: a
//! command has one number for ever, so whatever goes out again goes out under it.
//!
//! - An answer that does not tell (time-out, broken connection, a code that is
//!   missing from the bank's table, in progress) leaves the money where it is, and
//!   is inquired about.
//! - A command goes out again where not a byte of it left, where the bank itself
//!   put it off for the hour, or where a bank that is to be believed has no such
//!   transaction once it has settled. Never else.
//! - The right to inquire lapses. Before that the bank is asked once more, and then
//!   people decide.

use chrono::{DateTime, TimeDelta, Utc};

use crate::Reason;

/// How soon something that passes is tried again.
pub const SOON: TimeDelta = TimeDelta::seconds(1);
/// The longest pause between two tries to reach a bank with a command.
const LONGEST_SEND_PAUSE: TimeDelta = TimeDelta::seconds(30);
/// The longest pause between two tries to learn who holds an account.
const LONGEST_HOLDER_PAUSE: TimeDelta = TimeDelta::seconds(60);

/// What the bank was called for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// To do it.
    Command,
    /// To say what became of it.
    Inquiry,
}

/// What came of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// An answer about this command that can be read, with the class that the bank's
    /// table has for its code; `None`: the code is not in the table.
    Coded(Option<Class>),
    /// Nothing that tells: too late, cut off, 5xx, unreadable, of something else.
    Silence,
    /// Not a byte of this call has left.
    NotSent {
        /// Whether the same call may get through later; else it can never be made.
        passing: bool,
    },
}

/// The class of an answer code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// The money has moved.
    Done,
    /// The bank refuses it.
    Refused(Refusal),
    /// The bank has it, and has not decided.
    InProgress,
    /// The bank knows no such transaction.
    NotFound,
}

/// What a refusal is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The command itself: nothing has moved or will under its number.
    Final,
    /// The hour: the bank rests, and keeps nothing of it.
    Resting,
    /// The number, which the bank knows with other content, or a form that it cannot
    /// read: what stands under the number may have moved money.
    InDoubt,
}

/// How often in a row something brought nothing: what the pauses grow by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tries {
    /// Inquiries since the command went out last.
    pub inquiries: u32,
    /// Calls of which not a byte left.
    pub sends: u32,
    /// Questions about the holder that were not answered.
    pub holders: u32,
}

/// A command, as far as its answer's meaning hangs on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    /// When the first byte of the last call to do it may have left.
    pub sent_at: DateTime<Utc>,
    /// Whether there was such a call before the last one.
    pub sent_before: bool,
    /// What was tried in vain, this call not counted in.
    pub tries: Tries,
}

/// A bank's rules, as they are for one command now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Whether "no such transaction" is ever believed.
    pub trusts_no_such_transaction: bool,
    /// How long after a command it may still become "done".
    pub settling_time: TimeDelta,
    /// The pause before the first inquiry.
    pub first_inquiry: TimeDelta,
    /// The longest pause between two.
    pub longest_pause: TimeDelta,
    /// The last instant for an inquiry, well before the right to it lapses.
    pub ask_by: DateTime<Utc>,
    /// When that right lapses: what the bank says of the command from then on, but that
    /// it was done or refused, says nothing.
    pub lapses_at: DateTime<Utc>,
    /// From when on the bank takes commands; now, where it is awake.
    pub awake_at: DateTime<Utc>,
}

/// What becomes of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// It is done: credited, or paid out.
    Done,
    /// It is refused: what was reserved goes back.
    Refuse,
    /// It goes out again, under its number.
    Send {
        /// Not before.
        at: DateTime<Utc>,
        /// As they are from now on.
        tries: Tries,
    },
    /// It may have been done or not; the bank is asked.
    Inquire {
        /// When; never later than [`Rules::ask_by`], but where that has passed.
        at: DateTime<Utc>,
        /// As they are from now on.
        tries: Tries,
    },
    /// People decide.
    Case(Why),
}

/// Why people must decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The right to inquire is about to lapse.
    Lapses,
    /// What the bank has under the number may be something else.
    InDoubt,
    /// It can no longer be sent, and may have been before.
    CannotBeSent,
}

/// What an answer makes of a command.
pub fn next(call: Call, answer: Answer, sent: &Sent, rules: &Rules, now: DateTime<Utc>) -> Step {
    match (call, answer) {
        (_, Answer::Coded(Some(Class::Done))) => Step::Done,
        (_, Answer::Coded(Some(Class::Refused(Refusal::Final)))) => Step::Refuse,
        (_, Answer::Coded(Some(Class::Refused(Refusal::InDoubt)))) => Step::Case(Why::InDoubt),
        (Call::Command, Answer::Coded(Some(Class::Refused(Refusal::Resting)))) => {
            again(rules.awake_at.max(later(now, SOON)))
        }
        (Call::Command, Answer::NotSent { passing: true }) => {
            let pause = backoff(SOON, LONGEST_SEND_PAUSE, sent.tries.sends);
            let tries = Tries {
                sends: sent.tries.sends.saturating_add(1),
                ..Tries::default()
            };
            let at = later(now, pause);
            Step::Send { at, tries }
        }
        (Call::Command, Answer::NotSent { passing: false }) if sent.sent_before => {
            Step::Case(Why::CannotBeSent)
        }
        // Not a byte has left, and never can.
        (Call::Command, Answer::NotSent { passing: false }) => Step::Refuse,
        (Call::Inquiry, Answer::Coded(Some(Class::NotFound)))
            if rules.trusts_no_such_transaction
                && now - sent.sent_at >= rules.settling_time
                && now < rules.lapses_at =>
        {
            again(now)
        }
        _ => unknown(call, sent, rules, now),
    }
}

fn again(at: DateTime<Utc>) -> Step {
    let tries = Tries::default();
    Step::Send { at, tries }
}

/// Neither failed nor done: inquired about, until the right to inquire lapses.
fn unknown(call: Call, sent: &Sent, rules: &Rules, now: DateTime<Utc>) -> Step {
    let inquiries = match call {
        Call::Command => 0,
        Call::Inquiry if now >= rules.ask_by => return Step::Case(Why::Lapses),
        Call::Inquiry => sent.tries.inquiries.saturating_add(1),
    };
    let pause = backoff(rules.first_inquiry, rules.longest_pause, inquiries);
    let at = later(now, pause).min(rules.ask_by).max(now);
    let tries = Tries {
        inquiries,
        ..Tries::default()
    };
    Step::Inquire { at, tries }
}

/// What a bank said of an account that money is to go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    /// Money can go there.
    Open {
        /// Whether it is the account of the one who is named.
        is_named: bool,
    },
    /// It takes no money any more.
    Closed,
    /// There is no such account.
    NoSuchAccount,
    /// Nothing that tells.
    Silence,
    /// Not a byte of the question has left.
    NotSent {
        /// Whether the same question may get through later; else it can never be asked.
        passing: bool,
    },
}

/// What becomes of a command whose receiver was asked about. Nothing of it has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HolderStep {
    /// The command may go out.
    Send,
    /// It never does, with this reason code.
    Refuse(&'static str),
    /// The bank is asked again.
    Ask {
        /// When.
        at: DateTime<Utc>,
        /// As they are from now on.
        tries: Tries,
    },
}

/// What the answer to a question about the holder makes of its command: only a bank
/// that says that the account is open and of the one named lets money go there.
pub fn holder(answer: Holder, tries: Tries, now: DateTime<Utc>) -> HolderStep {
    match answer {
        Holder::Open { is_named: true } => HolderStep::Send,
        Holder::Open { is_named: false } => HolderStep::Refuse(Reason::HolderMismatch.code()),
        Holder::Closed => HolderStep::Refuse("account_closed"),
        Holder::NoSuchAccount => HolderStep::Refuse("no_such_account"),
        // A bank that nobody knows.
        Holder::NotSent { passing: false } => HolderStep::Refuse(Reason::NoContract.code()),
        Holder::Silence | Holder::NotSent { passing: true } => {
            let at = later(now, backoff(SOON, LONGEST_HOLDER_PAUSE, tries.holders));
            let holders = tries.holders.saturating_add(1);
            let tries = Tries { holders, ..tries };
            HolderStep::Ask { at, tries }
        }
    }
}

/// The pause after so many tries in vain: twice as long each time.
fn backoff(first: TimeDelta, longest: TimeDelta, tries: u32) -> TimeDelta {
    let longest = longest.max(first);
    let doubled = first.checked_mul(2_i32.pow(tries.min(16)));
    doubled.map_or(longest, |pause| pause.min(longest))
}

fn later(now: DateTime<Utc>, pause: TimeDelta) -> DateTime<Utc> {
    now.checked_add_signed(pause)
        .unwrap_or(DateTime::<Utc>::MAX_UTC)
}

#[cfg(test)]
mod tests;
