//! What the flows keep, as their tables do.

use chrono::NaiveDate;
use mypay_schemas::firmbanking::FirmbankingRequest;
use uuid::Uuid;

use crate::cancel::Cancel;
use crate::firmbanking::Origin;
use crate::payment::Slip;

/// Where something that needs a bank stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Awaits,
    Completed,
    Refused,
}

#[derive(Debug, Clone)]
pub(super) struct Recharge {
    pub(super) member: Uuid,
    pub(super) amount: i64,
    pub(super) bank: String,
    pub(super) state: State,
}

/// A remittance that was accepted.
#[derive(Debug, Clone)]
pub(super) struct Remittance {
    pub(super) sender: Uuid,
    /// None: to a bank account.
    pub(super) receiver: Option<Uuid>,
    pub(super) amount: i64,
    pub(super) fee: i64,
    pub(super) day: NaiveDate,
    /// The bank that pays, where one does.
    pub(super) bank: String,
    pub(super) state: State,
    pub(super) reversed: bool,
}

#[derive(Debug, Clone)]
pub(super) struct Paid {
    pub(super) slip: Slip,
    /// The rate that was in force.
    pub(super) bps: i32,
    pub(super) position: usize,
    pub(super) settled: bool,
    pub(super) cancels: Vec<Link>,
}

#[derive(Debug, Clone)]
pub(super) struct Link {
    pub(super) cancel: Cancel,
    pub(super) position: usize,
    pub(super) settled: bool,
}

/// A franchise's payout of a run.
#[derive(Debug, Clone)]
pub(super) struct Payout {
    pub(super) franchise: Uuid,
    pub(super) amount: i64,
    pub(super) bank: String,
    pub(super) state: State,
    pub(super) reversed: bool,
}

/// Where a command to a bank stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CommandState {
    /// On the topic.
    Asked,
    /// In the table.
    Taken,
    /// Sent, and not answered.
    Unknown,
    Done,
    Refused,
}

#[derive(Debug, Clone)]
pub(super) struct Command {
    pub(super) request: FirmbankingRequest,
    pub(super) origin: Option<(Uuid, Origin)>,
    pub(super) state: CommandState,
    /// Whether it goes to an account of ours, as it was when it was taken in.
    pub(super) to_ours: bool,
    /// Whether the bank has moved the money, whatever we know of it.
    pub(super) done_by_bank: bool,
    pub(super) fee: i64,
    /// Whether the bank has undone it, whatever we know of it.
    pub(super) undone_by_bank: bool,
    /// Whether we have noted that.
    pub(super) reversed: bool,
}

/// A message on a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Message {
    /// A command.
    Command(Uuid),
    /// What a bank has done with it.
    Result(Uuid),
    /// A bank's notice that it has undone one.
    Notice(Uuid),
    /// What the notice means to whose payout it was.
    Reversal(Uuid),
}
