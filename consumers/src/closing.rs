//! Closing of memberships: `my.closing.request`, where money is left then the bank,
//! then `my.closing.result`.
//!
//! Each message is a commit of its own, with the member's rows locked from its
//! beginning: closings are rare, and a payment, a remittance or a cancel that comes
//! at the same moment waits for the member's account, and then finds it as the
//! closing has left it.

mod load;
mod reversed;
mod write;

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use mypay_decide::closing::{self, Closing as Decided, Membership};
use mypay_decide::{Book, Decision, Limits};
use mypay_idempotency::queue_log::Outcome;
use mypay_idempotency::transaction::Event;
use mypay_ledger::WriteError;
use mypay_ledger::limits::InForce;
use mypay_schemas::closing::{ClosingRequest, ClosingResult};
use mypay_schemas::decoder::{Decoder, Poison};
use mypay_schemas::encoders::{Encoders, EncodersError};
use mypay_schemas::firmbanking::{BankAccount, FirmbankingResult, PURPOSE_CLOSING, id_of_command};
use mypay_schemas::identity::derive;
use mypay_schemas::reversal::FirmbankingReversal;
use mypay_schemas::{Flow, Request};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::bank_result::{self, Answer, Command, ResultHead};
use crate::bank_reversal::{self, Reversals};
use crate::runtime::handler::{Arrived, Handler, Identity, Verdict};

/// What the closing consumer reads.
pub enum Message {
    /// Somebody asks.
    Request(ClosingRequest),
    /// A bank has answered.
    Bank(FirmbankingResult),
    /// A bank has undone what it had done.
    Reversal(FirmbankingReversal),
}

/// The closing consumer.
pub struct Closing {
    /// Writes its events.
    pub encoders: Arc<Encoders>,
    /// The limits in force.
    pub limits: Arc<InForce>,
}

/// A closing whose money waits for the bank.
struct Awaiting {
    closing_id: Uuid,
    payout_id: Uuid,
    member_id: Uuid,
    amount: i64,
    /// Whether the member was closed before.
    was_closed: bool,
    from_bank: String,
    correlation_id: String,
    answer: Answer,
}

struct Begun {
    closing_id: Uuid,
    reason: String,
    correlation_id: String,
    decided: Decided,
    requested_at: DateTime<Utc>,
}

/// What a batch loads and changes.
pub struct State {
    limits: Limits,
    book: Book,
    memberships: HashMap<Uuid, Membership>,
    corporate: Vec<BankAccount>,
    awaiting: HashMap<Uuid, Awaiting>,
    reversals: Reversals<reversed::PaidOut>,
    begun: Vec<Begun>,
    ended: Vec<(Awaiting, Outcome)>,
}

/// What the command to the bank says beyond the request: kept in `queue_log`.
#[derive(Serialize, Deserialize)]
struct Kept {
    amount: i64,
    from: BankAccount,
    to: BankAccount,
    holder_name: String,
}

/// What the result says of a closing whose bank has answered.
#[derive(Serialize, Deserialize)]
struct Answered {
    request_id: Uuid,
    correlation_id: String,
    member_id: Uuid,
    /// Whole won; 0 where the bank refused.
    amount: i64,
    done: bool,
}

impl Handler for Closing {
    type Message = Message;
    type State = State;

    const FLOW: Flow = Flow::Closing;
    const OTHER_TOPICS: &'static [&'static str] = &[bank_result::TOPIC, bank_reversal::TOPIC];

    fn decode(
        decoder: &Decoder,
        topic: &str,
        payload: &[u8],
    ) -> Option<Result<Option<Message>, Poison>> {
        if topic == bank_reversal::TOPIC {
            return bank_reversal::decode(decoder, payload, PURPOSE_CLOSING, Message::Reversal);
        }
        bank_result::decode(
            decoder,
            topic,
            payload,
            PURPOSE_CLOSING,
            Message::Request,
            Message::Bank,
        )
    }

    fn identity(message: &Message) -> Identity<'_> {
        match message {
            Message::Request(request) => bank_result::identity_of(request),
            Message::Bank(result) => bank_result::identity(result),
            Message::Reversal(reversal) => bank_reversal::identity(reversal),
        }
    }

    fn key(message: &Message) -> &str {
        match message {
            Message::Request(request) => request.key(),
            Message::Bank(result) => &result.request_id,
            Message::Reversal(reversal) => &reversal.request_id,
        }
    }

    fn follows(message: &Message) -> bool {
        !matches!(message, Message::Request(_))
    }

    fn alone(_message: &Message) -> bool {
        true
    }

    async fn load(
        &self,
        connection: &mut PgConnection,
        batch: &[&Arrived<Message>],
        at: DateTime<Utc>,
        _lock: bool,
    ) -> Result<State, sqlx::Error> {
        let limits = self.limits.at(connection, at).await?;
        load::state(connection, batch, at, limits).await
    }

    fn decide(&self, state: &mut State, arrived: &Arrived<Message>, at: DateTime<Utc>) -> Verdict {
        match &arrived.message {
            Message::Request(request) => Verdict::Handled(asked(state, arrived, request, at)),
            Message::Bank(result) => answered(state, arrived, result, at),
            Message::Reversal(reversal) => {
                let State {
                    book, reversals, ..
                } = state;
                reversals.decide(reversal, at, |entry_id, from_bank, payout| {
                    let (member_id, amount) = (payout.member_id, payout.amount);
                    closing::reversed(book, entry_id, member_id, amount, from_bank);
                })
            }
        }
    }

    async fn write(
        &self,
        connection: &mut PgConnection,
        state: State,
        at: DateTime<Utc>,
    ) -> Result<(), WriteError> {
        for begun in &state.begun {
            write::begun(connection, begun, at).await?;
        }
        for (awaiting, outcome) in &state.ended {
            write::ended(connection, awaiting, outcome, at).await?;
        }
        state.reversals.note(connection, at).await?;
        mypay_ledger::write(connection, &state.book, at, &state.limits).await
    }

    fn events(
        &self,
        arrived: &Arrived<Message>,
        outcome: &Outcome,
    ) -> Result<Vec<Event>, EncodersError> {
        match &arrived.message {
            Message::Request(request) => self.request_events(arrived, request, outcome),
            Message::Bank(result) => self.bank_events(arrived, result, outcome),
            Message::Reversal(reversal) => {
                reversed::events(&self.encoders, arrived, reversal, outcome)
            }
        }
    }
}

impl Closing {
    fn request_events(
        &self,
        arrived: &Arrived<Message>,
        request: &ClosingRequest,
        outcome: &Outcome,
    ) -> Result<Vec<Event>, EncodersError> {
        // A request that went to a bank has one event, whatever came later.
        if let Some(kept) = bank_result::kept::<Kept>(outcome) {
            let origin_id = payout_id(arrived.id).to_string();
            let command = Command {
                purpose: PURPOSE_CLOSING,
                id: id_of_command(PURPOSE_CLOSING, arrived.id),
                origin_id: &origin_id,
                correlation_id: &request.correlation_id,
                from: kept.from,
                to: kept.to,
                to_holder_name: Some(kept.holder_name),
                amount: kept.amount,
                requested_at: request.requested_at,
            };
            return Ok(vec![
                command.event(&self.encoders, arrived.traceparent.as_ref())?,
            ]);
        }
        let Some(head) = ResultHead::of(&request.message_id, outcome) else {
            return Ok(Vec::new());
        };
        let record = ClosingResult {
            message_id: head.message_id,
            request_id: request.message_id.clone(),
            correlation_id: request.correlation_id.clone(),
            status: head.status,
            reason: head.reason,
            occurred_at: head.occurred_at,
            member_id: request.member_id.clone(),
            amount: 0,
            causation_id: Some(request.message_id.clone()),
        };
        self.result(arrived, &request.member_id, &record)
    }

    fn bank_events(
        &self,
        arrived: &Arrived<Message>,
        result: &FirmbankingResult,
        outcome: &Outcome,
    ) -> Result<Vec<Event>, EncodersError> {
        let Some(answered) = bank_result::kept::<Answered>(outcome) else {
            return Ok(Vec::new());
        };
        let request_id = answered.request_id.to_string();
        let head = ResultHead::ended(&request_id, answered.done, outcome);
        let member_id = answered.member_id.to_string();
        let record = ClosingResult {
            message_id: head.message_id,
            request_id,
            correlation_id: answered.correlation_id,
            status: head.status,
            reason: head.reason,
            occurred_at: head.occurred_at,
            member_id: member_id.clone(),
            amount: answered.amount,
            causation_id: Some(result.message_id.clone()),
        };
        self.result(arrived, &member_id, &record)
    }

    fn result(
        &self,
        arrived: &Arrived<Message>,
        key: &str,
        record: &ClosingResult,
    ) -> Result<Vec<Event>, EncodersError> {
        let topic = Flow::Closing.result_topic();
        let event = bank_result::event(&self.encoders, topic, key, arrived, record)?;
        Ok(vec![event])
    }
}

/// The id of what a closing pays out.
pub(crate) fn payout_id(closing_id: Uuid) -> Uuid {
    derive(closing_id, "closing payout")
}

fn asked(
    state: &mut State,
    arrived: &Arrived<Message>,
    request: &ClosingRequest,
    at: DateTime<Utc>,
) -> Outcome {
    let member_id = Uuid::try_parse(&request.member_id).unwrap_or_default();
    let decision = closing::decide(
        &mut state.book,
        arrived.id,
        request,
        state.memberships.get(&member_id),
        &state.corporate,
        arrived.partition,
    );
    let (decided, outcome) = match decision {
        Decision::Rejected(reason) => return Outcome::rejected(reason.code(), at),
        Decision::Completed(decided) => (decided, Outcome::success(at)),
        Decision::AwaitsBank(decided) => {
            let kept = decided.payout.clone().map(|payout| Kept {
                amount: decided.amount,
                from: payout.from,
                to: payout.to,
                holder_name: payout.holder_name,
            });
            let outcome = Outcome::processing(at).with_result(serde_json::json!(kept));
            (decided, outcome)
        }
    };
    state.begun.push(Begun {
        closing_id: arrived.id,
        reason: request.reason.clone(),
        correlation_id: request.correlation_id.clone(),
        decided,
        requested_at: arrived.created_at,
    });
    outcome
}

/// A bank has answered: the member is closed, or has its money again.
fn answered(
    state: &mut State,
    arrived: &Arrived<Message>,
    result: &FirmbankingResult,
    at: DateTime<Utc>,
) -> Verdict {
    let Some(awaiting) = bank_result::command_id(result).and_then(|id| state.awaiting.remove(&id))
    else {
        // Answered before, or forged: no command of ours has this outcome.
        return Verdict::Ignored;
    };
    let entry_id = derive(awaiting.payout_id, "bank answered");
    let (member_id, amount) = (awaiting.member_id, awaiting.amount);
    let (book, partition) = (&mut state.book, arrived.partition);
    let ended = match &awaiting.answer {
        None => {
            closing::confirmed(book, entry_id, amount, &awaiting.from_bank, partition);
            Outcome::success(at)
        }
        Some(reason) => {
            if awaiting.was_closed {
                closing::kept_again(book, entry_id, member_id, amount, partition);
            } else {
                let unclaimed = state.memberships.get(&member_id);
                let unclaimed = unclaimed.map_or(0, |membership| membership.unclaimed);
                closing::reopened(book, entry_id, member_id, (amount, unclaimed), partition);
            }
            Outcome::rejected(reason.clone(), at)
        }
    };
    let done = awaiting.answer.is_none();
    let answered = Answered {
        request_id: awaiting.closing_id,
        correlation_id: awaiting.correlation_id.clone(),
        member_id,
        amount: if done { amount } else { 0 },
        done,
    };
    state.ended.push((awaiting, ended.clone()));
    let handled = Outcome {
        success: Some(true),
        ..ended
    };
    Verdict::Handled(handled.with_result(serde_json::json!(answered)))
}
