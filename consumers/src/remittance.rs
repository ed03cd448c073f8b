//! Remittance: `my.remittance.request`, for a bank account then the bank, then
//! `my.remittance.result`.

mod reversed;
mod top_up;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use mypay_decide::limits::korean_day;
use mypay_decide::remittance::{self, Accepted, Payout};
use mypay_decide::{Book, Decision, Limits, Reason};
use mypay_idempotency::queue_log::{self, Outcome};
use mypay_idempotency::transaction::Event;
use mypay_ledger::WriteError;
use mypay_ledger::limits::InForce;
use mypay_schemas::decoder::{Decoder, Poison};
use mypay_schemas::encoders::{Encoders, EncodersError};
use mypay_schemas::firmbanking::{
    BankAccount, FirmbankingResult, PURPOSE_REMITTANCE, id_of_command,
};
use mypay_schemas::identity::derive;
use mypay_schemas::recharge::RechargeResult;
use mypay_schemas::remittance::{Receiver, RemittanceRequest, RemittanceResult};
use mypay_schemas::reversal::FirmbankingReversal;
use mypay_schemas::{Flow, Request};
use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use crate::bank_result::{self, Answer, Command, ResultHead};
use crate::bank_reversal::{self, Reversals};
use crate::contracts::Contracts;
use crate::runtime::handler::{Arrived, Handler, Identity, Verdict};
use crate::top_up::{self as topping_up, TopUps};

/// What the remittance consumer reads.
pub enum Message {
    /// A member asks.
    Request(RemittanceRequest),
    /// A bank has answered.
    Bank(FirmbankingResult),
    /// A bank has undone what it had done.
    Reversal(FirmbankingReversal),
    /// A recharge that tops up has an outcome.
    ToppedUp(RechargeResult),
}

/// The remittance consumer.
pub struct Remittance {
    /// Writes its events.
    pub encoders: Arc<Encoders>,
    /// The limits in force.
    pub limits: Arc<InForce>,
}

struct Awaiting {
    remittance_id: Uuid,
    sender_id: Uuid,
    amount: i64,
    fee: i64,
    from_bank: String,
    correlation_id: String,
    answer: Answer,
    topped_up: i64,
}

struct Begun {
    remittance_id: Uuid,
    correlation_id: String,
    amount: i64,
    accepted: Accepted,
    payout: Payout,
    requested_at: DateTime<Utc>,
}

/// What a batch loads and changes.
pub struct State {
    limits: Limits,
    book: Book,
    corporate: Vec<BankAccount>,
    awaiting: HashMap<Uuid, Awaiting>,
    reversals: Reversals<reversed::Remitted>,
    top_ups: TopUps<RemittanceRequest>,
    begun: Vec<Begun>,
    ended: Vec<(Uuid, Outcome)>,
}

/// What the events of a remittance say beyond its request: kept in `queue_log`.
///
/// A remittance between members without a fee, which most are, keeps nothing.
#[derive(Serialize, Deserialize)]
struct Kept {
    fee: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    payout: Option<KeptPayout>,
    /// What is recharged first, whole won.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    top_up: Option<i64>,
}

#[derive(Serialize, Deserialize)]
struct KeptPayout {
    from: BankAccount,
    to: BankAccount,
    holder_name: String,
}

impl KeptPayout {
    fn of(payout: &Payout) -> Self {
        Self {
            from: payout.from.clone(),
            to: payout.to.clone(),
            holder_name: payout.holder_name.clone(),
        }
    }
}

/// What the result says of a remittance that ended later than it was asked for:
/// its bank has answered, or its top-up has an outcome.
#[derive(Serialize, Deserialize)]
struct Answered {
    request_id: Uuid,
    correlation_id: String,
    sender_id: Uuid,
    amount: i64,
    fee: i64,
    done: bool,
    /// Whole won; rows from before there were top-ups have none.
    #[serde(default)]
    topped_up: i64,
}

impl Handler for Remittance {
    type Message = Message;
    type State = State;

    const FLOW: Flow = Flow::Remittance;
    const OTHER_TOPICS: &'static [&'static str] =
        &[bank_result::TOPIC, bank_reversal::TOPIC, topping_up::TOPIC];

    fn decode(
        decoder: &Decoder,
        topic: &str,
        payload: &[u8],
    ) -> Option<Result<Option<Message>, Poison>> {
        if topic == bank_reversal::TOPIC {
            return bank_reversal::decode(decoder, payload, PURPOSE_REMITTANCE, Message::Reversal);
        }
        if topic == topping_up::TOPIC {
            return topping_up::decode(decoder, payload, Message::ToppedUp);
        }
        bank_result::decode(
            decoder,
            topic,
            payload,
            PURPOSE_REMITTANCE,
            Message::Request,
            Message::Bank,
        )
    }

    fn identity(message: &Message) -> Identity<'_> {
        match message {
            Message::Request(request) => bank_result::identity_of(request),
            Message::Bank(result) => bank_result::identity(result),
            Message::Reversal(reversal) => bank_reversal::identity(reversal),
            Message::ToppedUp(result) => topping_up::identity(result),
        }
    }

    fn key(message: &Message) -> &str {
        match message {
            Message::Request(request) => request.key(),
            Message::Bank(result) => &result.request_id,
            Message::Reversal(reversal) => &reversal.request_id,
            Message::ToppedUp(result) => &result.request_id,
        }
    }

    fn follows(message: &Message) -> bool {
        !matches!(message, Message::Request(_))
    }

    async fn load(
        &self,
        connection: &mut PgConnection,
        batch: &[&Arrived<Message>],
        at: DateTime<Utc>,
        lock: bool,
    ) -> Result<State, sqlx::Error> {
        let today = korean_day(at);
        let mut members = BTreeSet::new();
        let mut commands = Vec::new();
        let mut came_back = Vec::new();
        let mut recharges = Vec::new();
        let mut to_banks = false;
        for arrived in batch {
            match &arrived.message {
                Message::Request(request) => to_banks |= parties(request, &mut members),
                Message::Bank(result) => commands.extend(bank_result::command_id(result)),
                Message::Reversal(reversal) => {
                    came_back.extend(bank_reversal::command_id(reversal));
                }
                Message::ToppedUp(result) => recharges.extend(topping_up::recharge_id(result)),
            }
        }
        let mut top_ups = TopUps::<RemittanceRequest>::load(connection, &recharges).await?;
        for due in top_ups.due() {
            to_banks |= parties(&due.request, &mut members);
        }
        let awaiting = awaiting(connection, &commands).await?;
        members.extend(awaiting.values().map(|awaiting| awaiting.sender_id));
        let reversals = Reversals::<reversed::Remitted>::load(connection, &came_back).await?;
        members.extend(reversals.due().map(|payout| payout.sender_id));
        let corporate = if to_banks {
            Contracts::load(connection, today).await?.in_force()
        } else {
            Vec::new()
        };
        let limits = self.limits.at(connection, at).await?;
        let book = mypay_ledger::load(connection, &members, today, lock).await?;
        let needs = batch
            .iter()
            .map(|arrived| needed(&arrived.message, &limits));
        top_ups.load_means(connection, &book, needs, today).await?;
        Ok(State {
            limits,
            corporate,
            book,
            awaiting,
            reversals,
            top_ups,
            begun: Vec::new(),
            ended: Vec::new(),
        })
    }

    fn decide(&self, state: &mut State, arrived: &Arrived<Message>, at: DateTime<Utc>) -> Verdict {
        match &arrived.message {
            Message::Request(request) => Verdict::Handled(self.asked(state, arrived, request, at)),
            Message::Bank(result) => answered(state, arrived, result, at),
            Message::ToppedUp(result) => self.topped_up(state, arrived, result, at),
            Message::Reversal(reversal) => {
                let State {
                    book, reversals, ..
                } = state;
                reversals.decide(reversal, at, |entry_id, from_bank, payout| {
                    // The amount is the sender's again.
                    let (sender_id, amount) = (payout.sender_id, payout.amount);
                    let partition = arrived.partition;
                    remittance::reversed(book, entry_id, sender_id, amount, from_bank, partition);
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
        insert(connection, &state.begun, at).await?;
        end(connection, &state.ended, at).await?;
        state.reversals.note(connection, at).await?;
        state.top_ups.write(connection, at).await?;
        top_up::note_rejected(connection, &state.top_ups).await?;
        mypay_ledger::write(connection, &state.book, at, &state.limits).await
    }

    fn events(
        &self,
        arrived: &Arrived<Message>,
        outcome: &Outcome,
    ) -> Result<Vec<Event>, EncodersError> {
        match &arrived.message {
            Message::Request(request) => self.request_events(arrived, request, outcome),
            Message::Bank(result) => self.answer_events(arrived, &result.message_id, outcome),
            Message::ToppedUp(result) => self.top_up_events(arrived, result, outcome),
            Message::Reversal(reversal) => {
                reversed::events(&self.encoders, arrived, reversal, outcome)
            }
        }
    }
}

impl Remittance {
    fn asked(
        &self,
        state: &mut State,
        arrived: &Arrived<Message>,
        request: &RemittanceRequest,
        at: DateTime<Utc>,
    ) -> Outcome {
        let decision = remittance::decide(
            &mut state.book,
            arrived.id,
            request,
            &state.corporate,
            arrived.partition,
            &state.limits,
        );
        match decision {
            Decision::Completed(Accepted { fee: 0, .. }) => Outcome::success(at),
            Decision::Completed(Accepted { fee, .. }) => {
                Outcome::success(at).with_result(serde_json::json!(Kept {
                    fee,
                    payout: None,
                    top_up: None,
                }))
            }
            Decision::AwaitsBank(accepted) => begin(state, arrived, request, accepted, at),
            Decision::Rejected(Reason::InsufficientFunds) => {
                self.short(state, arrived, request, at)
            }
            Decision::Rejected(reason) => Outcome::rejected(reason.code(), at),
        }
    }

    fn request_events(
        &self,
        arrived: &Arrived<Message>,
        request: &RemittanceRequest,
        outcome: &Outcome,
    ) -> Result<Vec<Event>, EncodersError> {
        let kept = bank_result::kept::<Kept>(outcome);
        let fee = kept.as_ref().map_or(0, |kept| kept.fee);
        // One that waits for a top-up, too: the rest is told by what comes of it.
        if let Some(amount) = kept.as_ref().and_then(|kept| kept.top_up) {
            return Ok(vec![topping_up::event(
                &self.encoders,
                (arrived.id, request),
                (&request.sender_id, amount, request.requested_at),
                arrived.traceparent.as_ref(),
            )?]);
        }
        // A request that went to a bank has one event, whatever came later.
        if let Some(payout) = kept.and_then(|kept| kept.payout) {
            let command = Command {
                purpose: PURPOSE_REMITTANCE,
                id: id_of_command(PURPOSE_REMITTANCE, arrived.id),
                origin_id: &request.message_id,
                correlation_id: &request.correlation_id,
                from: payout.from,
                to: payout.to,
                to_holder_name: Some(payout.holder_name),
                amount: request.amount,
                requested_at: request.requested_at,
            };
            return Ok(vec![
                command.event(&self.encoders, arrived.traceparent.as_ref())?,
            ]);
        }
        let Some(head) = ResultHead::of(&request.message_id, outcome) else {
            return Ok(Vec::new());
        };
        let record = RemittanceResult {
            message_id: head.message_id,
            request_id: request.message_id.clone(),
            correlation_id: request.correlation_id.clone(),
            status: head.status,
            reason: head.reason,
            occurred_at: head.occurred_at,
            sender_id: request.sender_id.clone(),
            amount: request.amount,
            fee,
            causation_id: Some(request.message_id.clone()),
            topped_up: 0,
        };
        let topic = Flow::Remittance.result_topic();
        Ok(vec![bank_result::event(
            &self.encoders,
            topic,
            &request.sender_id,
            arrived,
            &record,
        )?])
    }
}

/// An accepted remittance goes to its bank.
fn begin(
    state: &mut State,
    arrived: &Arrived<Message>,
    request: &RemittanceRequest,
    accepted: Accepted,
    at: DateTime<Utc>,
) -> Outcome {
    let kept = Kept {
        fee: accepted.fee,
        payout: accepted.payout.as_ref().map(KeptPayout::of),
        top_up: None,
    };
    if let Some(payout) = accepted.payout.clone() {
        state.begun.push(Begun {
            remittance_id: arrived.id,
            correlation_id: request.correlation_id.clone(),
            amount: request.amount,
            accepted,
            payout,
            requested_at: arrived.created_at,
        });
    }
    Outcome::processing(at).with_result(serde_json::json!(kept))
}

/// A bank has answered: the request behind it gets its outcome.
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
    let Awaiting {
        remittance_id,
        sender_id,
        amount,
        fee,
        from_bank,
        correlation_id,
        answer,
        topped_up,
    } = awaiting;
    let done = answer.is_none();
    // An entry of its own beside the one that put the money in transit.
    let entry_id = derive(remittance_id, "bank answered");
    let ended = match answer {
        None => {
            remittance::confirmed(
                &mut state.book,
                entry_id,
                amount,
                &from_bank,
                arrived.partition,
            );
            Outcome::success(at)
        }
        Some(reason) => {
            let returned = (amount, fee);
            remittance::refused(
                &mut state.book,
                entry_id,
                sender_id,
                returned,
                arrived.partition,
            );
            Outcome::rejected(reason, at)
        }
    };
    state.ended.push((remittance_id, ended.clone()));
    let answered = Answered {
        request_id: remittance_id,
        correlation_id,
        sender_id,
        amount,
        fee,
        done,
        topped_up,
    };
    let handled = Outcome {
        success: Some(true),
        ..ended
    };
    Verdict::Handled(handled.with_result(serde_json::json!(answered)))
}

/// Adds the members of a remittance; tells whether it goes to a bank.
fn parties(request: &RemittanceRequest, members: &mut BTreeSet<Uuid>) -> bool {
    members.extend(Uuid::try_parse(&request.sender_id));
    match &request.receiver {
        Receiver::MemberReceiver(receiver) => {
            members.extend(Uuid::try_parse(&receiver.member_id));
            false
        }
        Receiver::BankReceiver(_) => true,
    }
}

/// Who pays for a message, and how much; nothing where it is no request.
fn needed(message: &Message, limits: &Limits) -> (Uuid, i64) {
    match message {
        Message::Request(request) => (
            Uuid::try_parse(&request.sender_id).unwrap_or_default(),
            request
                .amount
                .max(0)
                .saturating_add(remittance::fee(request, limits)),
        ),
        _ => (Uuid::nil(), 0),
    }
}

async fn awaiting(
    connection: &mut PgConnection,
    commands: &[Uuid],
) -> Result<HashMap<Uuid, Awaiting>, sqlx::Error> {
    if commands.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = sqlx::query(
        "SELECT p.firmbanking_id, p.remittance_id, p.sender_id, p.amount, p.fee, p.from_bank,
                p.correlation_id, q.processed_status = 'success', q.reason, coalesce(t.amount, 0)
           FROM unnest($1::uuid[]) AS c(id)
           JOIN remittance.payout p ON p.firmbanking_id = c.id
           LEFT JOIN remittance.top_up t ON t.remittance_id = p.remittance_id
           JOIN queue_log q ON q.consumer = 'firmbanking' AND q.message_id = c.id
                           AND q.status = 'done'
          WHERE p.state = 'AWAITS_BANK'",
    )
    .bind(commands)
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            let awaiting = Awaiting {
                remittance_id: row.try_get(1)?,
                sender_id: row.try_get(2)?,
                amount: row.try_get(3)?,
                fee: row.try_get(4)?,
                from_bank: row.try_get(5)?,
                correlation_id: row.try_get(6)?,
                answer: bank_result::answer(row.try_get(7)?, row.try_get(8)?),
                topped_up: row.try_get(9)?,
            };
            Ok((row.try_get(0)?, awaiting))
        })
        .collect()
}

async fn insert(
    connection: &mut PgConnection,
    begun: &[Begun],
    at: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    if begun.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO remittance.payout
                (remittance_id, sender_id, amount, fee, from_bank, to_bank, to_account, holder_name,
                 firmbanking_id, correlation_id, state, requested_at, changed_at)
         SELECT r.id, r.sender_id, r.amount, r.fee, r.from_bank, r.to_bank, r.to_account, r.holder,
                r.command, r.correlation, 'AWAITS_BANK', r.requested_at, $12
           FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::bigint[], $5::text[], $6::text[],
                       $7::text[], $8::text[], $9::uuid[], $10::text[], $11::timestamptz[])
                AS r(id, sender_id, amount, fee, from_bank, to_bank, to_account, holder, command,
                     correlation, requested_at)",
    )
    .bind(
        begun
            .iter()
            .map(|begun| begun.remittance_id)
            .collect::<Vec<_>>(),
    )
    .bind(
        begun
            .iter()
            .map(|begun| begun.accepted.sender_id)
            .collect::<Vec<_>>(),
    )
    .bind(begun.iter().map(|begun| begun.amount).collect::<Vec<_>>())
    .bind(
        begun
            .iter()
            .map(|begun| begun.accepted.fee)
            .collect::<Vec<_>>(),
    )
    .bind(
        begun
            .iter()
            .map(|begun| &*begun.payout.from.bank_code)
            .collect::<Vec<_>>(),
    )
    .bind(
        begun
            .iter()
            .map(|begun| &*begun.payout.to.bank_code)
            .collect::<Vec<_>>(),
    )
    .bind(
        begun
            .iter()
            .map(|begun| &*begun.payout.to.account_number)
            .collect::<Vec<_>>(),
    )
    .bind(
        begun
            .iter()
            .map(|begun| &*begun.payout.holder_name)
            .collect::<Vec<_>>(),
    )
    .bind(
        begun
            .iter()
            .map(|begun| id_of_command(PURPOSE_REMITTANCE, begun.remittance_id))
            .collect::<Vec<_>>(),
    )
    .bind(
        begun
            .iter()
            .map(|begun| &*begun.correlation_id)
            .collect::<Vec<_>>(),
    )
    .bind(
        begun
            .iter()
            .map(|begun| begun.requested_at)
            .collect::<Vec<_>>(),
    )
    .bind(at)
    .execute(connection)
    .await?;
    Ok(())
}

/// Ends remittances, and the requests in `queue_log` with them.
async fn end(
    connection: &mut PgConnection,
    ended: &[(Uuid, Outcome)],
    at: DateTime<Utc>,
) -> Result<(), WriteError> {
    if ended.is_empty() {
        return Ok(());
    }
    let written = sqlx::query(
        "UPDATE remittance.payout p
            SET state = CASE WHEN e.success THEN 'COMPLETED' ELSE 'REJECTED' END, changed_at = $3
           FROM unnest($1::uuid[], $2::boolean[]) AS e(id, success)
          WHERE p.remittance_id = e.id AND p.state = 'AWAITS_BANK'",
    )
    .bind(ended.iter().map(|(id, _)| *id).collect::<Vec<_>>())
    .bind(
        ended
            .iter()
            .map(|(_, outcome)| outcome.success == Some(true))
            .collect::<Vec<_>>(),
    )
    .bind(at)
    .execute(&mut *connection)
    .await?
    .rows_affected();
    if written < ended.len() as u64 {
        return Err(WriteError::Shortfall);
    }
    queue_log::finish(connection, Flow::Remittance.name(), ended).await?;
    Ok(())
}
