//! What a batch leaves in the tables, and how its decisions are counted.

use mypay_schemas::firmbanking::{BankAccount, FirmbankingRequest};
use mypay_schemas::recharge::RechargeRequest;
use uuid::Uuid;

use super::super::rows::{Link, Message, Paid, Recharge, Remittance, State, TopUp};
use super::lane::Lane;
use super::{World, registered};
use crate::cancel::Cancel;
use crate::limits::korean_day;
use crate::payment::Slip;
use crate::remittance::Accepted;
use crate::{Book, Decision, Reason, recharge, remittance};

/// A row that a decision leaves.
pub(super) enum Row {
    Recharge(Uuid, Recharge, BankAccount, BankAccount),
    Remittance(Uuid, Remittance, Option<remittance::Payout>),
    Slip(Uuid, Slip),
    Cancel(Uuid, Cancel),
    /// By the recharge's id.
    TopUp(Uuid, TopUp),
    Direct(FirmbankingRequest),
}

impl Lane {
    /// Puts down what was decided.
    pub(super) fn keep(self, world: &mut World) {
        for seen in self.seen {
            world.see(seen);
        }
        if self.wrong.is_some() {
            world.wrong = self.wrong;
        }
        for row in self.rows {
            for member in row.served() {
                if !world.members[&member].open {
                    world.wrong = Some(format!("{member} is closed, and was served"));
                }
            }
            match row {
                Row::Recharge(id, row, from, to) => {
                    world.command_of_recharge(id, &row, from, to);
                    world.recharges.insert(id, row);
                }
                Row::Remittance(id, row, payout) => {
                    if let Some(payout) = payout {
                        world.command_of_remittance(id, &row, payout);
                    }
                    world.remittances.insert(id, row);
                }
                Row::Slip(id, slip) => {
                    world.paid.insert(id, Paid::new(slip, world));
                    world.positions += 1;
                }
                Row::Cancel(payment, cancel) => {
                    let position = world.positions;
                    world.positions += 1;
                    if let Some(paid) = world.paid.get_mut(&payment) {
                        paid.cancels.push(Link {
                            cancel,
                            position,
                            settled: false,
                        });
                    }
                }
                Row::TopUp(id, waits) => {
                    world.top_ups.insert(id, waits);
                    world.topics.push(Message::Recharge(id));
                }
                Row::Direct(request) => world.direct(request),
            }
        }
    }
}

impl Row {
    /// Who must be open for it.
    fn served(&self) -> Vec<Uuid> {
        match self {
            Row::Recharge(_, row, ..) => vec![row.member],
            Row::Remittance(_, row, _) => [row.receiver, Some(row.sender)]
                .into_iter()
                .flatten()
                .collect(),
            Row::Slip(_, slip) => vec![slip.member_id, slip.franchise_id],
            // What waits moves nothing; it is decided on when it goes on.
            Row::Cancel(..) | Row::TopUp(..) | Row::Direct(_) => Vec::new(),
        }
    }
}

/// Decides on a recharge: the row that it leaves, and what its bank is asked for.
pub(in crate::sequences) fn recharge(
    world: &World,
    book: &mut Book,
    id: Uuid,
    member: Uuid,
    amount: i64,
) -> Result<(Recharge, recharge::Draw), Reason> {
    let request = RechargeRequest {
        message_id: id.to_string(),
        correlation_id: id.to_string(),
        requested_at: 0,
        member_id: member.to_string(),
        amount,
        causation_id: None,
    };
    let account = registered(member);
    let ours = account.as_ref().and_then(|account| {
        let mut ours = world.corporate_accounts().into_iter();
        ours.find(|ours| ours.bank_code == account.bank_code)
    });
    let (account, ours) = (account.as_ref(), ours.as_ref());
    match recharge::decide(book, &request, account, ours, &world.limits) {
        Decision::AwaitsBank(draw) | Decision::Completed(draw) => {
            let row = Recharge {
                member,
                amount,
                bank: draw.from.bank_code.clone(),
                state: State::Awaits,
            };
            Ok((row, draw))
        }
        Decision::Rejected(reason) => Err(reason),
    }
}

/// What an accepted remittance leaves.
pub(in crate::sequences) fn remittance_row(
    world: &World,
    receiver: Option<Uuid>,
    amount: i64,
    accepted: &Accepted,
    state: State,
) -> Remittance {
    let payout = accepted.payout.as_ref();
    Remittance {
        sender: accepted.sender_id,
        receiver,
        amount,
        fee: accepted.fee,
        day: korean_day(world.now),
        bank: payout
            .map(|payout| payout.from.bank_code.clone())
            .unwrap_or_default(),
        state,
        reversed: false,
    }
}

#[derive(Clone, Copy)]
pub(super) enum Flow {
    Recharge,
    Remittance,
    Payment,
    Cancel,
}

/// `flow reason`, as `seen` counts it.
pub(super) fn rejected(flow: Flow, reason: Reason) -> &'static str {
    use Reason as R;
    match (flow, reason) {
        (Flow::Recharge, R::InvalidAmount) => "recharge invalid_amount",
        (Flow::Recharge, R::BelowRechargeMinimum) => "recharge below_recharge_minimum",
        (Flow::Recharge, R::UnknownMember) => "recharge unknown_member",
        (Flow::Recharge, R::BalanceCapExceeded) => "recharge balance_cap_exceeded",
        (Flow::Recharge, R::NoContract) => "recharge no_contract",
        (Flow::Remittance, R::InvalidAmount) => "remittance invalid_amount",
        (Flow::Remittance, R::UnknownMember) => "remittance unknown_member",
        (Flow::Remittance, R::UnknownReceiver) => "remittance unknown_receiver",
        (Flow::Remittance, R::SameMember) => "remittance same_member",
        (Flow::Remittance, R::InsufficientFunds) => "remittance insufficient_funds",
        (Flow::Remittance, R::BalanceCapExceeded) => "remittance balance_cap_exceeded",
        (Flow::Remittance, R::RemittanceLimitExceeded) => "remittance remittance_limit_exceeded",
        (Flow::Remittance, R::DailyLimitExceeded) => "remittance daily_limit_exceeded",
        (Flow::Remittance, R::NoContract) => "remittance no_contract",
        (Flow::Payment, R::InvalidAmount) => "payment invalid_amount",
        (Flow::Payment, R::BalanceCapExceeded) => "payment balance_cap_exceeded",
        (Flow::Payment, R::InsufficientFunds) => "payment insufficient_funds",
        (Flow::Payment, R::UnknownFranchise) => "payment unknown_franchise",
        (Flow::Cancel, R::ForeignPayment) => "cancel foreign_payment",
        (Flow::Cancel, R::UnknownPayment) => "cancel unknown_payment",
        (Flow::Cancel, R::AlreadyCancelled) => "cancel already_cancelled",
        (Flow::Cancel, R::FranchiseClosed) => "cancel franchise_closed",
        (Flow::Cancel, R::CancelExceedsPayment) => "cancel cancel_exceeds_payment",
        _ => "another rejection",
    }
}
