//! A batch of requests, as a lane decides and keeps it.

use std::collections::{BTreeMap, BTreeSet};

use mypay_schemas::firmbanking::{BankAccount, FirmbankingRequest};
use mypay_schemas::payment::PaymentRequest;
use mypay_schemas::remittance::{BankReceiver, MemberReceiver, Receiver, RemittanceRequest};
use uuid::Uuid;

use super::super::rows::{Paid, State, Waits};
use super::kept::{Flow, Row, recharge, rejected, remittance_row};
use super::{World, customer, franchise};
use crate::cancel;
use crate::payment;
use crate::remittance::{self, Accepted};
use crate::sequences::step::Request;
use crate::top_up::Means;
use crate::{Book, Decision, Reason};

/// What a batch has decided.
pub(super) struct Lane {
    pub(super) book: Book,
    partition: i32,
    /// The payments that its cancels name, where they are known.
    chains: BTreeMap<Uuid, cancel::Paid>,
    pub(super) named: BTreeSet<Uuid>,
    pub(super) refunded: BTreeSet<Uuid>,
    /// What members can be topped up from, counting in what this batch has begun.
    pub(super) means: BTreeMap<Uuid, Means>,
    pub(super) rows: Vec<Row>,
    pub(super) wrong: Option<String>,
    pub(super) seen: Vec<&'static str>,
}

/// Somebody who never became a member.
pub(in crate::sequences) const STRANGER: Uuid = Uuid::from_u128(99);

/// A customer, and one time in sixteen nobody that we know.
fn anybody(which: usize) -> Uuid {
    match which % 16 {
        15 => STRANGER,
        _ => customer(which),
    }
}

impl Lane {
    pub(super) fn decided(world: &World, number: usize, requests: &[(Uuid, &Request)]) -> Self {
        let mut named = BTreeSet::new();
        for (_, request) in requests {
            if let Request::Cancel { payment, .. } = request {
                named.extend(named_payment(world, requests, *payment));
            }
        }
        let chains = named
            .iter()
            .filter_map(|payment| Some((*payment, chain(world.paid.get(payment)?))))
            .collect();
        let mut lane = Self {
            book: world.book((0..super::CUSTOMERS).map(customer)),
            // Two slots of our own accounts.
            partition: number as i32 * 9,
            chains,
            named,
            refunded: BTreeSet::new(),
            means: (0..super::CUSTOMERS)
                .map(|number| (customer(number), world.means(customer(number))))
                .collect(),
            rows: Vec::new(),
            wrong: None,
            seen: Vec::new(),
        };
        for (id, request) in requests {
            let seen = lane.decide(world, requests, *id, request);
            lane.seen.push(seen);
        }
        lane
    }

    fn decide(
        &mut self,
        world: &World,
        batch: &[(Uuid, &Request)],
        id: Uuid,
        request: &Request,
    ) -> &'static str {
        match *request {
            Request::Recharge { member, amount } => {
                self.recharge(world, id, anybody(member), amount)
            }
            Request::Remit { from, to, amount } => {
                let member_id = anybody(to).to_string();
                let receiver = Receiver::MemberReceiver(MemberReceiver { member_id });
                self.remit(world, id, anybody(from), receiver, amount)
            }
            Request::PayOut { from, bank, amount } => {
                let receiver = Receiver::BankReceiver(BankReceiver {
                    bank_code: super::BANKS[bank % 2].into(),
                    account_number: "123-456".into(),
                    holder_name: "Kim".into(),
                });
                self.remit(world, id, anybody(from), receiver, amount)
            }
            Request::Pay {
                member,
                franchise: whom,
                amount,
            } => {
                // One time in sixteen, whom we do not know.
                let whom = if whom % 16 == 15 {
                    STRANGER
                } else {
                    franchise(whom)
                };
                self.pay(world, id, paid_by(anybody(member), whom, amount))
            }
            Request::Cancel {
                payment,
                amount,
                foreign,
            } => {
                let named = named_payment(world, batch, payment);
                self.cancel(world, id, named, amount, foreign)
            }
            Request::Direct {
                from,
                to_ours,
                amount,
            } => {
                let (from, other) = (world.corporate(from % 2), world.corporate((from + 1) % 2));
                let outside = BankAccount {
                    account_number: "555555".into(),
                    ..other.clone()
                };
                let to = if to_ours { other } else { outside };
                self.rows.push(Row::Direct(FirmbankingRequest {
                    message_id: id.to_string(),
                    correlation_id: id.to_string(),
                    requested_at: 0,
                    purpose: "staff".into(),
                    from,
                    to,
                    amount,
                    to_holder_name: (!to_ours).then(|| "김민지".into()),
                    causation_id: None,
                }));
                "direct asked"
            }
        }
    }

    fn recharge(&mut self, world: &World, id: Uuid, member: Uuid, amount: i64) -> &'static str {
        match recharge(world, &mut self.book, id, member, amount) {
            Ok((row, draw)) => {
                self.rows.push(Row::Recharge(id, row, draw.from, draw.to));
                "recharge awaits its bank"
            }
            Err(reason) => rejected(Flow::Recharge, reason),
        }
    }

    fn remit(
        &mut self,
        world: &World,
        id: Uuid,
        sender: Uuid,
        receiver: Receiver,
        amount: i64,
    ) -> &'static str {
        let to = match &receiver {
            Receiver::MemberReceiver(receiver) => Uuid::try_parse(&receiver.member_id).ok(),
            Receiver::BankReceiver(_) => None,
        };
        let request = RemittanceRequest {
            message_id: id.to_string(),
            correlation_id: id.to_string(),
            requested_at: 0,
            sender_id: sender.to_string(),
            receiver,
            amount,
            causation_id: None,
        };
        let ours = world.corporate_accounts();
        let decided = remittance::decide(
            &mut self.book,
            id,
            &request,
            &ours,
            self.partition,
            &world.limits,
        );
        let row = |accepted: &Accepted, state| remittance_row(world, to, amount, accepted, state);
        match decided {
            Decision::Completed(accepted) => {
                let row = row(&accepted, State::Completed);
                self.rows.push(Row::Remittance(id, row, None));
                "remittance completed"
            }
            Decision::AwaitsBank(accepted) => {
                let row = row(&accepted, State::Awaits);
                self.rows.push(Row::Remittance(id, row, accepted.payout));
                "remittance awaits its bank"
            }
            Decision::Rejected(Reason::InsufficientFunds) => {
                let needed = amount + remittance::fee(&request, &world.limits);
                match self.short(world, id, sender, needed, Waits::Remittance(request)) {
                    Ok(()) => "remittance awaits its top-up",
                    Err(reason) => rejected(Flow::Remittance, reason),
                }
            }
            Decision::Rejected(reason) => rejected(Flow::Remittance, reason),
        }
    }

    fn pay(&mut self, world: &World, id: Uuid, request: PaymentRequest) -> &'static str {
        let request = PaymentRequest {
            message_id: id.to_string(),
            ..request
        };
        let franchise = world.franchise_of(&request);
        match payment::decide(&mut self.book, id, &request, franchise, self.partition) {
            Decision::Completed(slip) | Decision::AwaitsBank(slip) => {
                if self.named.contains(&id) {
                    self.chains.insert(id, cancel::Paid::new(slip));
                }
                self.rows.push(Row::Slip(id, slip));
                "payment completed"
            }
            Decision::Rejected(Reason::InsufficientFunds) => {
                let member = Uuid::try_parse(&request.member_id).unwrap_or_default();
                let needed = request.amount;
                match self.short(world, id, member, needed, Waits::Payment(request)) {
                    Ok(()) => "payment awaits its top-up",
                    Err(reason) => rejected(Flow::Payment, reason),
                }
            }
            Decision::Rejected(reason) => rejected(Flow::Payment, reason),
        }
    }

    fn cancel(
        &mut self,
        world: &World,
        id: Uuid,
        named: Option<Uuid>,
        amount: Option<i64>,
        foreign: bool,
    ) -> &'static str {
        let chain = named.and_then(|payment| self.chains.get_mut(&payment));
        let slip = chain.as_ref().map(|chain| chain.slip);
        let (member, whom) = match slip {
            Some(slip) if !foreign => (slip.member_id, slip.franchise_id),
            _ => (customer(0), STRANGER),
        };
        let request = PaymentRequest {
            cancels: Some(named.unwrap_or(STRANGER).to_string()),
            cancel_reason: Some("broken".into()),
            cancels_rest: amount.is_none(),
            ..paid_by(member, whom, amount.unwrap_or(0))
        };
        let chain = chain.map_or(cancel::Named::Unknown, cancel::Named::Made);
        let open = world.members.get(&whom).is_some_and(|money| money.open);
        match cancel::decide(&mut self.book, id, &request, chain, open, self.partition) {
            Decision::Completed(link) | Decision::AwaitsBank(link) => {
                if !open {
                    self.wrong = Some(format!("{whom} is closed, and cancels a payment"));
                }
                self.refunded.extend(slip.map(|slip| slip.member_id));
                self.rows.push(Row::Cancel(named.unwrap_or_default(), link));
                "cancel completed"
            }
            Decision::Rejected(reason) => rejected(Flow::Cancel, reason),
        }
    }
}

/// The payment that a cancel names: one that is kept, or one of its own batch.
fn named_payment(world: &World, batch: &[(Uuid, &Request)], which: usize) -> Option<Uuid> {
    let of_batch = batch.iter().filter_map(|(id, request)| match request {
        Request::Pay { .. } => Some(*id),
        _ => None,
    });
    let payments: Vec<Uuid> = world.paid.keys().copied().chain(of_batch).collect();
    // The newest first: they are what is cancelled.
    let newest = payments
        .len()
        .checked_sub(1 + which % payments.len().max(1))?;
    payments.get(newest).copied()
}

fn chain(paid: &Paid) -> cancel::Paid {
    cancel::Paid {
        slip: paid.slip,
        cancels: paid.cancels.len() as i32,
        refunded: paid.cancels.last().map_or(0, |link| link.cancel.refunded),
    }
}

fn paid_by(member: Uuid, franchise: Uuid, amount: i64) -> PaymentRequest {
    PaymentRequest {
        message_id: String::new(),
        correlation_id: String::new(),
        requested_at: 0,
        member_id: member.to_string(),
        franchise_id: franchise.to_string(),
        order_ref: "order".into(),
        amount,
        causation_id: None,
        cancels: None,
        cancel_reason: None,
        cancels_rest: false,
    }
}
