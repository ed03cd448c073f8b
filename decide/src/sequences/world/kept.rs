//! What a batch leaves in the tables, and how its decisions are counted.

use mypay_schemas::firmbanking::{BankAccount, FirmbankingRequest};
use uuid::Uuid;

use super::super::rows::{Link, Paid, Recharge, Remittance};
use super::World;
use super::lane::Lane;
use crate::cancel::Cancel;
use crate::payment::Slip;
use crate::{Reason, remittance};

/// A row that a decision leaves.
pub(super) enum Row {
    Recharge(Uuid, Recharge, BankAccount, BankAccount),
    Remittance(Uuid, Remittance, Option<remittance::Payout>),
    Slip(Uuid, Slip),
    Cancel(Uuid, Cancel),
    Direct(FirmbankingRequest),
}

impl Lane {
    /// Puts down what was decided.
    pub(super) fn keep(self, world: &mut World) {
        for seen in self.seen {
            world.see(seen);
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
                    let paid = Paid {
                        bps: world.rates[&slip.franchise_id],
                        slip,
                        position: world.positions,
                        settled: false,
                        cancels: Vec::new(),
                    };
                    world.positions += 1;
                    world.paid.insert(id, paid);
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
            Row::Slip(_, slip) => vec![slip.member_id],
            Row::Cancel(..) | Row::Direct(_) => Vec::new(),
        }
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
        (Flow::Payment, R::InsufficientFunds) => "payment insufficient_funds",
        (Flow::Payment, R::UnknownFranchise) => "payment unknown_franchise",
        (Flow::Cancel, R::ForeignPayment) => "cancel foreign_payment",
        (Flow::Cancel, R::UnknownPayment) => "cancel unknown_payment",
        (Flow::Cancel, R::AlreadyCancelled) => "cancel already_cancelled",
        (Flow::Cancel, R::CancelExceedsPayment) => "cancel cancel_exceeds_payment",
        _ => "another rejection",
    }
}
