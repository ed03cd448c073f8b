//! What the flows keep, as their tables do.

use chrono::NaiveDate;
use mypay_schemas::firmbanking::FirmbankingRequest;
use mypay_schemas::payment::PaymentRequest;
use mypay_schemas::remittance::RemittanceRequest;
use uuid::Uuid;

use super::world::World;
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

impl Paid {
    /// A slip that is made now, at the rate in force and the next position.
    pub(super) fn new(slip: Slip, world: &World) -> Self {
        Self {
            bps: world.rates[&slip.franchise_id],
            slip,
            position: world.positions,
            settled: false,
            cancels: Vec::new(),
        }
    }
}

/// A request that recharges first what it lacks, by the recharge's id.
#[derive(Debug, Clone)]
pub(super) struct TopUp {
    pub(super) origin_id: Uuid,
    pub(super) member: Uuid,
    /// What it takes of the balance, whole won.
    pub(super) needed: i64,
    pub(super) amount: i64,
    pub(super) request: Waits,
    pub(super) state: TopUpState,
}

/// What waits for a top-up.
#[derive(Debug, Clone)]
pub(super) enum Waits {
    Remittance(RemittanceRequest),
    Payment(PaymentRequest),
}

/// Where a top-up stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TopUpState {
    Awaits,
    /// It was recharged, and its continuation is on the topic of the payments.
    GoesOn,
    ToppedUp,
    Refused,
}

impl TopUpState {
    pub(super) fn waits(self) -> bool {
        matches!(self, TopUpState::Awaits | TopUpState::GoesOn)
    }
}

/// What a closing pays out.
#[derive(Debug, Clone)]
pub(super) struct Closing {
    pub(super) member: Uuid,
    pub(super) amount: i64,
    pub(super) bank: String,
    /// Whether it is what came back to a member who was closed before.
    pub(super) unclaimed: bool,
    pub(super) state: State,
    pub(super) reversed: bool,
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

/// Where the undo of a payout stands that operators have approved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum UndoState {
    UnderWay,
    Done,
    Refused,
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
    /// A recharge that a request is topped up by.
    Recharge(Uuid),
    /// What became of it, to the request that waits.
    Recharged(Uuid),
    /// A payment that goes on after it.
    Continuation(Uuid),
}
