//! What the flows own besides `queue_log` and the ledger.

mod load;

use std::collections::HashSet;

use mypay_schemas::Flow;
use mypay_schemas::recharge::id_of_top_up;
use uuid::Uuid;

use crate::interned::Code;
use crate::sorted::{find, has_id};

pub(crate) use load::{load, numbers};

/// What became of something that waits for a bank.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The bank has yet to answer.
    Awaits,
    /// The bank did it.
    Completed,
    /// The bank refused it.
    Refused,
    /// Nothing was asked of a bank: the net goes into the next run.
    Carried,
}

impl Stage {
    fn of(state: Option<&str>) -> Self {
        match state {
            Some("COMPLETED" | "TOPPED_UP" | "done") => Stage::Completed,
            Some("REJECTED" | "REFUSED" | "refused") => Stage::Refused,
            Some("CARRIED") => Stage::Carried,
            _ => Stage::Awaits,
        }
    }
}

/// A recharge, or a remittance to a bank account.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Awaited {
    /// The request.
    pub id: u128,
    /// Whose money it is.
    pub member: u128,
    /// Whole won.
    pub amount: i64,
    /// Whole won, of a remittance.
    pub fee: i64,
    /// Our bank.
    pub bank: Code,
    /// The command to the bank.
    pub command: u128,
    /// How far it has come.
    pub stage: Stage,
}

/// A remittance or payment that waits for a top-up, or did.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TopUp {
    /// The recharge.
    pub recharge: u128,
    /// The flow that waits.
    pub flow: Flow,
    /// The request that waits.
    pub origin: u128,
    /// Whose money it takes.
    pub member: u128,
    /// What it takes of the balance, whole won.
    pub needed: i64,
    /// What is recharged, whole won.
    pub amount: i64,
    /// Whether the recharge was made, as the waiting flow has it.
    pub stage: Stage,
}

/// A slip.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slip {
    /// The payment.
    pub id: u128,
    /// Who paid.
    pub member: u128,
    /// Who was paid.
    pub franchise: u128,
    /// Whole won.
    pub gross: i64,
    /// Whole won.
    pub commission: i64,
}

/// A cancel of a payment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cancel {
    /// Its request.
    pub id: u128,
    /// Who gets the money back.
    pub member: u128,
    /// Who was paid.
    pub franchise: u128,
    /// Whole won.
    pub amount: i64,
    /// What of the commission it gave back, whole won.
    pub commission_back: i64,
}

/// A franchise's part of a settlement run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Payout {
    /// Its id.
    pub id: u128,
    /// The run, which is the request.
    pub run: u128,
    /// The franchise.
    pub franchise: u128,
    /// Whole won.
    pub gross: i64,
    /// Cancels, whole won.
    pub cancelled: i64,
    /// Whole won.
    pub commission: i64,
    /// Whole won, from earlier runs.
    pub owed: i64,
    /// Whole won.
    pub net: i64,
    /// Our bank; 0 where it is carried.
    pub bank: Code,
    /// The command to the bank; nil where it is carried.
    pub command: u128,
    /// How far it has come.
    pub stage: Stage,
    /// When the run was made, milliseconds since the epoch.
    pub made_at: i64,
}

/// A time in which a franchise's payouts are held back.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hold {
    /// Its id.
    pub hold: u128,
    /// Whose payouts.
    pub franchise: u128,
    /// When staff placed it, milliseconds since the epoch.
    pub placed_at: i64,
    /// When staff released it; 0 while it is in force.
    pub released_at: i64,
}

/// A closing that was taken up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Closing {
    /// The request.
    pub id: u128,
    /// What it pays out; nil where nothing was left.
    pub payout: u128,
    /// The member.
    pub member: u128,
    /// Whole won.
    pub amount: i64,
    /// Whether it is what came back to a member who was closed before.
    pub unclaimed: bool,
    /// Our bank; 0 where nothing was left.
    pub bank: Code,
    /// The command to the bank; nil where nothing was left.
    pub command: u128,
    /// How far it has come.
    pub stage: Stage,
}

/// How far a command to a bank has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// It may have left or not; the bank has yet to answer.
    Live,
    /// Only an operator can find out.
    Manual,
    /// The bank did it.
    Done,
    /// The bank refused it.
    Refused,
}

/// A command to a bank.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Command {
    /// Its id.
    pub id: u128,
    /// What asked for it; nil where a client did.
    pub origin: u128,
    /// `recharge`, `remittance`, `settlement`, `closing`, `undo`, or a client's own word.
    pub purpose: Code,
    /// The bank that executes.
    pub from_bank: Code,
    /// Whether the debited account is ours, or was.
    pub from_ours: bool,
    /// The bank of the credited account.
    pub to_bank: Code,
    /// Whether the credited account was ours when the command was taken in.
    pub to_ours: bool,
    /// Whole won.
    pub amount: i64,
    /// Whole won.
    pub fee: i64,
    /// Business date (days since 2000) and number, once given.
    pub number: Option<(i32, i32)>,
    /// How far it has come.
    pub state: State,
}

/// A payout that operators have approved to undo.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Undo {
    /// The payout's command.
    pub id: u128,
    /// The command that undoes it.
    pub undo: u128,
    /// How far it has come.
    pub stage: Stage,
}

/// A command that a bank has undone, or that we have.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reversal {
    /// The command.
    pub id: u128,
    /// The bank that the money is at again.
    pub bank: Code,
    /// Whole won.
    pub amount: i64,
    /// The command that undid it; nil where the bank has.
    pub undo: u128,
    /// When we heard of it, milliseconds since the epoch.
    pub recorded_at: i64,
}

/// A corporate account of ours, of a contract as it is or was.
#[derive(Debug, Clone)]
pub(crate) struct Contract {
    /// The bank.
    pub bank: Code,
    /// The bank's code.
    pub bank_code: String,
    /// Our account's number.
    pub account: String,
}

has_id!(Awaited => id, TopUp => recharge, Slip => id, Cancel => id, Payout => id, Hold => franchise, Closing => id, Command => id, Reversal => id, Undo => id);

/// The tables.
#[derive(Default)]
pub(crate) struct Tables {
    /// Recharges that went to a bank.
    pub recharges: Vec<Awaited>,
    /// Remittances that went to a bank.
    pub remittances: Vec<Awaited>,
    /// Remittances and payments that were topped up, by recharge.
    pub top_ups: Vec<TopUp>,
    /// Slips.
    pub slips: Vec<Slip>,
    /// Cancels of payments.
    pub cancels: Vec<Cancel>,
    /// Settlement's payouts.
    pub payouts: Vec<Payout>,
    /// Holds on franchises' payouts, those that were released too, by franchise.
    pub holds: Vec<Hold>,
    /// Closings of memberships.
    pub closings: Vec<Closing>,
    /// Commands to banks.
    pub commands: Vec<Command>,
    /// Those that banks have undone, or we have.
    pub reversals: Vec<Reversal>,
    /// Those that operators have approved to undo.
    pub undos: Vec<Undo>,
    /// Remittances, payouts and payouts of closings whose money is back, by their own word.
    pub came_back: HashSet<u128>,
    /// Contracts.
    pub contracts: Vec<Contract>,
}

impl Tables {
    /// The top-up of a request, if it waits for one or did.
    pub(crate) fn top_up_of(&self, flow: Flow, request: u128) -> Option<&TopUp> {
        if self.top_ups.is_empty() {
            return None;
        }
        let recharge = id_of_top_up(flow, Uuid::from_u128(request));
        find(&self.top_ups, recharge.as_u128()).first()
    }

    /// The closing that a payout belongs to.
    pub(crate) fn closing_of(&self, payout: u128) -> Option<&Closing> {
        // They are few: a member leaves once.
        self.closings.iter().find(|it| it.payout == payout)
    }
}
