//! Recharge: `my.recharge.request`, then the bank, then `my.recharge.result`.

mod top_up;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use mypay_decide::limits::korean_day;
use mypay_decide::{Book, Decision, Limits, Reason, SystemAccount, recharge};
use mypay_idempotency::queue_log::{self, Outcome};
use mypay_idempotency::transaction::Event;
use mypay_ledger::WriteError;
use mypay_ledger::limits::InForce;
use mypay_schemas::decoder::{Decoder, Poison};
use mypay_schemas::encoders::{Encoders, EncodersError};
use mypay_schemas::firmbanking::{BankAccount, FirmbankingResult, PURPOSE_RECHARGE, id_of_command};
use mypay_schemas::identity::is_derived;
use mypay_schemas::recharge::{RechargeRequest, RechargeResult};
use mypay_schemas::{Flow, Request};
use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use crate::bank_result::{self, Answer, Command, ResultHead};
use crate::contracts::Contracts;
use crate::runtime::handler::{Arrived, Handler, Identity, Verdict};

/// What the recharge consumer reads.
pub enum Message {
    /// A member asks.
    Request(RechargeRequest),
    /// A bank has answered.
    Bank(FirmbankingResult),
}

/// The recharge consumer.
pub struct Recharge {
    /// Writes its events.
    pub encoders: Arc<Encoders>,
    /// The limits in force.
    pub limits: Arc<InForce>,
}

/// A recharge that waits for its bank.
struct Awaiting {
    recharge_id: Uuid,
    member_id: Uuid,
    amount: i64,
    from_bank: String,
    correlation_id: String,
    answer: Answer,
}

/// What a batch loads and changes.
pub struct State {
    limits: Limits,
    book: Book,
    contracts: Contracts,
    registered: HashMap<Uuid, BankAccount>,
    awaiting: HashMap<Uuid, Awaiting>,
    origins: top_up::Origins,
    begun: Vec<Begun>,
    ended: Vec<(Uuid, Outcome)>,
}

struct Begun {
    recharge_id: Uuid,
    member_id: Uuid,
    amount: i64,
    from: BankAccount,
    correlation_id: String,
    requested_at: DateTime<Utc>,
}

/// What the events of a recharge say beyond its request: kept in `queue_log`.
#[derive(Serialize, Deserialize)]
struct Asked {
    from: BankAccount,
    to: BankAccount,
}

/// What the result says of a recharge whose bank has answered.
#[derive(Serialize, Deserialize)]
struct Answered {
    request_id: Uuid,
    correlation_id: String,
    member_id: Uuid,
    amount: i64,
    done: bool,
}

impl Handler for Recharge {
    type Message = Message;
    type State = State;

    const FLOW: Flow = Flow::Recharge;
    const OTHER_TOPICS: &'static [&'static str] = &[bank_result::TOPIC];

    fn decode(
        decoder: &Decoder,
        topic: &str,
        payload: &[u8],
    ) -> Option<Result<Option<Message>, Poison>> {
        bank_result::decode(
            decoder,
            topic,
            payload,
            PURPOSE_RECHARGE,
            Message::Request,
            Message::Bank,
        )
    }

    fn identity(message: &Message) -> Identity<'_> {
        match message {
            Message::Request(request) => bank_result::identity_of(request),
            Message::Bank(result) => bank_result::identity(result),
        }
    }

    fn key(message: &Message) -> &str {
        match message {
            Message::Request(request) => request.key(),
            Message::Bank(result) => &result.request_id,
        }
    }

    fn follows(message: &Message) -> bool {
        match message {
            Message::Request(request) => is_derived(&request.message_id),
            Message::Bank(_) => true,
        }
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
        let mut top_ups = Vec::new();
        for arrived in batch {
            match &arrived.message {
                Message::Request(request) => {
                    members.extend(Uuid::try_parse(&request.member_id));
                    top_ups.extend(is_derived(&request.message_id).then_some(arrived.id));
                }
                Message::Bank(result) => commands.extend(bank_result::command_id(result)),
            }
        }
        let asking: Vec<Uuid> = members.iter().copied().collect();
        let awaiting = awaiting(connection, &commands).await?;
        members.extend(awaiting.values().map(|awaiting| awaiting.member_id));
        Ok(State {
            limits: self.limits.at(connection, at).await?,
            contracts: Contracts::load(connection, today).await?,
            registered: registered(connection, &asking).await?,
            book: mypay_ledger::load(connection, &members, today, lock).await?,
            awaiting,
            origins: top_up::Origins::load(connection, &top_ups).await?,
            begun: Vec::new(),
            ended: Vec::new(),
        })
    }

    fn decide(&self, state: &mut State, arrived: &Arrived<Message>, at: DateTime<Utc>) -> Verdict {
        match &arrived.message {
            Message::Request(request) if !state.origins.allow(arrived.id, request) => {
                Verdict::Dead(Reason::UnknownOrigin.code())
            }
            Message::Request(request) => Verdict::Handled(self.asked(state, arrived, request, at)),
            Message::Bank(result) => answered(state, result, at),
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
        mypay_ledger::write(connection, &state.book, at, &state.limits).await
    }

    fn events(
        &self,
        arrived: &Arrived<Message>,
        outcome: &Outcome,
    ) -> Result<Vec<Event>, EncodersError> {
        match &arrived.message {
            Message::Request(request) => self.request_events(arrived, request, outcome),
            Message::Bank(_) => self.bank_events(arrived, outcome),
        }
    }
}

impl Recharge {
    fn asked(
        &self,
        state: &mut State,
        arrived: &Arrived<Message>,
        request: &RechargeRequest,
        at: DateTime<Utc>,
    ) -> Outcome {
        let member_id = Uuid::try_parse(&request.member_id).unwrap_or_default();
        let registered = state.registered.get(&member_id);
        let corporate = registered
            .and_then(|account| Some((account, state.contracts.of(&account.bank_code)?)))
            .filter(|(_, contract)| contract.in_force)
            .map(|(account, contract)| BankAccount {
                bank_code: account.bank_code.clone(),
                account_number: contract.corporate_account.clone(),
            });
        match recharge::decide(
            &mut state.book,
            request,
            registered,
            corporate.as_ref(),
            &state.limits,
        ) {
            Decision::Completed(draw) | Decision::AwaitsBank(draw) => {
                let asked = Asked {
                    from: draw.from.clone(),
                    to: draw.to,
                };
                state.begun.push(Begun {
                    recharge_id: arrived.id,
                    member_id,
                    amount: request.amount,
                    from: draw.from,
                    correlation_id: request.correlation_id.clone(),
                    requested_at: arrived.created_at,
                });
                Outcome::processing(at).with_result(serde_json::json!(asked))
            }
            Decision::Rejected(reason) => Outcome::rejected(reason.code(), at),
        }
    }

    fn request_events(
        &self,
        arrived: &Arrived<Message>,
        request: &RechargeRequest,
        outcome: &Outcome,
    ) -> Result<Vec<Event>, EncodersError> {
        // A request that went to its bank has one event, whatever came later.
        if let Some(asked) = bank_result::kept::<Asked>(outcome) {
            let command = Command {
                purpose: PURPOSE_RECHARGE,
                id: id_of_command(PURPOSE_RECHARGE, arrived.id),
                origin_id: &request.message_id,
                correlation_id: &request.correlation_id,
                from: asked.from,
                to: asked.to,
                to_holder_name: None,
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
        let answered = Answered {
            request_id: arrived.id,
            correlation_id: request.correlation_id.clone(),
            member_id: Uuid::nil(),
            amount: request.amount,
            done: false,
        };
        self.result(
            arrived,
            &request.message_id,
            &request.member_id,
            &answered,
            head,
        )
    }

    fn bank_events(
        &self,
        arrived: &Arrived<Message>,
        outcome: &Outcome,
    ) -> Result<Vec<Event>, EncodersError> {
        let Some(answered) = bank_result::kept::<Answered>(outcome) else {
            return Ok(Vec::new());
        };
        // The outcome of the bank's message is the outcome of the request.
        let request_id = answered.request_id.to_string();
        let member_id = answered.member_id.to_string();
        let head = ResultHead::ended(&request_id, answered.done, outcome);
        self.result(arrived, &request_id, &member_id, &answered, head)
    }

    fn result(
        &self,
        arrived: &Arrived<Message>,
        request_id: &str,
        member_id: &str,
        answered: &Answered,
        head: ResultHead,
    ) -> Result<Vec<Event>, EncodersError> {
        let record = RechargeResult {
            message_id: head.message_id,
            request_id: request_id.to_string(),
            correlation_id: answered.correlation_id.clone(),
            status: head.status,
            reason: head.reason,
            occurred_at: head.occurred_at,
            member_id: member_id.to_string(),
            amount: answered.amount,
            causation_id: Some(match &arrived.message {
                Message::Request(request) => request.message_id.clone(),
                Message::Bank(result) => result.message_id.clone(),
            }),
        };
        let topic = Flow::Recharge.result_topic();
        Ok(vec![bank_result::event(
            &self.encoders,
            topic,
            member_id,
            arrived,
            &record,
        )?])
    }
}

/// A bank has answered: the request behind it gets its outcome.
fn answered(state: &mut State, result: &FirmbankingResult, at: DateTime<Utc>) -> Verdict {
    let Some(awaiting) = bank_result::command_id(result).and_then(|id| state.awaiting.remove(&id))
    else {
        // Answered before, or forged: no command of ours has this outcome.
        return Verdict::Ignored;
    };
    let Awaiting {
        recharge_id,
        member_id,
        amount,
        from_bank,
        correlation_id,
        answer,
    } = awaiting;
    let done = answer.is_none();
    let ended = match answer {
        None => {
            let cash = SystemAccount::corporate_cash(&from_bank, 0);
            recharge::confirmed(&mut state.book, recharge_id, member_id, amount, cash);
            Outcome::success(at)
        }
        Some(reason) => {
            recharge::refused(&mut state.book, member_id, amount);
            Outcome::rejected(reason, at)
        }
    };
    state.ended.push((recharge_id, ended.clone()));
    let answered = Answered {
        request_id: recharge_id,
        correlation_id,
        member_id,
        amount,
        done,
    };
    // The bank's message itself was handled, whichever way it went.
    let handled = Outcome {
        success: Some(true),
        ..ended
    };
    Verdict::Handled(handled.with_result(serde_json::json!(answered)))
}

async fn awaiting(
    connection: &mut PgConnection,
    commands: &[Uuid],
) -> Result<HashMap<Uuid, Awaiting>, sqlx::Error> {
    if commands.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = sqlx::query(
        "SELECT r.firmbanking_id, r.recharge_id, r.member_id, r.amount, r.from_bank,
                r.correlation_id, q.processed_status = 'success', q.reason
           FROM unnest($1::uuid[]) AS c(id)
           JOIN recharge.recharge r ON r.firmbanking_id = c.id
           JOIN queue_log q ON q.consumer = 'firmbanking' AND q.message_id = c.id
                           AND q.status = 'done'
          WHERE r.state = 'AWAITS_BANK'",
    )
    .bind(commands)
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            let awaiting = Awaiting {
                recharge_id: row.try_get(1)?,
                member_id: row.try_get(2)?,
                amount: row.try_get(3)?,
                from_bank: row.try_get(4)?,
                correlation_id: row.try_get(5)?,
                answer: bank_result::answer(row.try_get(6)?, row.try_get(7)?),
            };
            Ok((row.try_get(0)?, awaiting))
        })
        .collect()
}

async fn registered(
    connection: &mut PgConnection,
    members: &[Uuid],
) -> Result<HashMap<Uuid, BankAccount>, sqlx::Error> {
    if members.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = sqlx::query(
        "SELECT a.member_id, a.bank_code, a.account_number
           FROM unnest($1::uuid[]) AS m(id)
           JOIN banking.registered_account a ON a.member_id = m.id",
    )
    .bind(members)
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            let account = BankAccount {
                bank_code: row.try_get(1)?,
                account_number: row.try_get(2)?,
            };
            Ok((row.try_get(0)?, account))
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
        "INSERT INTO recharge.recharge
                (recharge_id, member_id, amount, from_bank, from_account, firmbanking_id,
                 correlation_id, state, requested_at, changed_at)
         SELECT r.id, r.member_id, r.amount, r.bank, r.account, r.command, r.correlation,
                'AWAITS_BANK', r.requested_at, $8
           FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::text[], $5::text[], $6::uuid[],
                       $7::timestamptz[], $9::text[])
                AS r(id, member_id, amount, bank, account, command, requested_at, correlation)",
    )
    .bind(
        begun
            .iter()
            .map(|begun| begun.recharge_id)
            .collect::<Vec<_>>(),
    )
    .bind(
        begun
            .iter()
            .map(|begun| begun.member_id)
            .collect::<Vec<_>>(),
    )
    .bind(begun.iter().map(|begun| begun.amount).collect::<Vec<_>>())
    .bind(
        begun
            .iter()
            .map(|begun| &*begun.from.bank_code)
            .collect::<Vec<_>>(),
    )
    .bind(
        begun
            .iter()
            .map(|begun| &*begun.from.account_number)
            .collect::<Vec<_>>(),
    )
    .bind(
        begun
            .iter()
            .map(|begun| id_of_command(PURPOSE_RECHARGE, begun.recharge_id))
            .collect::<Vec<_>>(),
    )
    .bind(
        begun
            .iter()
            .map(|begun| begun.requested_at)
            .collect::<Vec<_>>(),
    )
    .bind(at)
    .bind(
        begun
            .iter()
            .map(|begun| &*begun.correlation_id)
            .collect::<Vec<_>>(),
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Ends recharges, and the requests in `queue_log` with them.
async fn end(
    connection: &mut PgConnection,
    ended: &[(Uuid, Outcome)],
    at: DateTime<Utc>,
) -> Result<(), WriteError> {
    if ended.is_empty() {
        return Ok(());
    }
    let written = sqlx::query(
        "UPDATE recharge.recharge r
            SET state = CASE WHEN e.success THEN 'COMPLETED' ELSE 'REJECTED' END, changed_at = $3
           FROM unnest($1::uuid[], $2::boolean[]) AS e(id, success)
          WHERE r.recharge_id = e.id AND r.state = 'AWAITS_BANK'",
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
        // Another lane has ended one meanwhile: load again, and see.
        return Err(WriteError::Shortfall);
    }
    queue_log::finish(connection, Flow::Recharge.name(), ended).await?;
    Ok(())
}
