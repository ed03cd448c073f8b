//! Settlement: `my.settlement.request`, then `my.settlement.result` and the
//! payouts' commands to the banks.

mod found;
mod reversed;
mod write;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use mypay_decide::limits::korean_day;
use mypay_decide::settlement::{self, Found, Net, Totals};
use mypay_decide::{Book, Decision, Limits};
use mypay_idempotency::outbox;
use mypay_idempotency::queue_log::Outcome;
use mypay_idempotency::transaction::Event;
use mypay_ledger::WriteError;
use mypay_ledger::limits::InForce;
use mypay_schemas::decoder::{Decoder, Poison};
use mypay_schemas::encoders::{Encoders, EncodersError};
use mypay_schemas::firmbanking::{
    BankAccount, FirmbankingResult, PURPOSE_SETTLEMENT, id_of_command,
};
use mypay_schemas::identity::derive;
use mypay_schemas::reversal::FirmbankingReversal;
use mypay_schemas::settlement::{SettlementRequest, SettlementResult};
use mypay_schemas::{Flow, Request};
use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::bank_result::{self, Answer, Command, ResultHead};
use crate::bank_reversal::{self, Reversals};
use crate::contracts::Contracts;
use crate::runtime::handler::{Arrived, Handler, Identity, Verdict};

/// What the settlement consumer reads.
pub enum Message {
    /// Staff or the schedule asks.
    Request(SettlementRequest),
    /// A bank has answered.
    Bank(FirmbankingResult),
    /// A bank has undone what it had done.
    Reversal(FirmbankingReversal),
}

/// Whose outbox the commands of payouts lie in.
///
/// One for all processes: the rows are the runs', whoever made them, and runs
/// are made one after the other anyway. One of the processes sends them on.
pub const WRITER: &str = "settlement";

/// The settlement consumer.
pub struct Settlement {
    /// Writes its events.
    pub encoders: Arc<Encoders>,
    /// The limits in force.
    pub limits: Arc<InForce>,
    /// For a look at the payment lanes beside the batch's transaction.
    pub pool: PgPool,
}

/// A franchise in a run.
struct Part {
    found: Found,
    cancels: i64,
    account: Option<Accounts>,
}

#[derive(Clone)]
struct Accounts {
    from: BankAccount,
    to: BankAccount,
    holder_name: String,
}

/// Where a run ends, lane by lane: `(partition, next offset)`.
type Cut = Vec<(i32, i64)>;

/// What a run has before it decides.
#[derive(Default)]
struct Basis {
    cut: Cut,
    parts: Vec<Part>,
    /// From where on it settles, by franchise (nil: all) and lane.
    from: Vec<(Uuid, i32, i64)>,
}

struct Run {
    run_id: Uuid,
    cut_at: DateTime<Utc>,
    franchise_id: Option<Uuid>,
    cut: Cut,
    from: Vec<(Uuid, i32, i64)>,
    payouts: Vec<Payout>,
    totals: Totals,
    correlation_id: String,
    requested_at: i64,
    traceparent: Option<String>,
}

struct Payout {
    payout_id: Uuid,
    found: Found,
    cancels: i64,
    net: Net,
    account: Option<Accounts>,
}

struct Awaiting {
    payout_id: Uuid,
    franchise_id: Uuid,
    amount: i64,
    from_bank: String,
    answer: Answer,
}

/// What a batch loads and changes.
pub struct State {
    limits: Limits,
    book: Book,
    bases: HashMap<Uuid, Basis>,
    awaiting: HashMap<Uuid, Awaiting>,
    reversals: Reversals<reversed::PaidOut>,
    runs: Vec<Run>,
    ended: Vec<(Awaiting, bool)>,
}

/// What the result of a run says: kept in `queue_log`. Its payouts are not: there
/// may be a hundred thousand, and the outbox has their commands.
#[derive(Serialize, Deserialize)]
struct Kept {
    totals: Totals,
}

impl Handler for Settlement {
    type Message = Message;
    type State = State;

    const FLOW: Flow = Flow::Settlement;
    const OTHER_TOPICS: &'static [&'static str] = &[bank_result::TOPIC, bank_reversal::TOPIC];
    // A run sees what the run before it has settled, so runs are commits of
    // their own; the banks' answers to its payouts share one.
    const BATCH: usize = 500;
    // A run may add up millions of slips.
    const PATIENCE: Duration = Duration::from_secs(900);

    fn decode(
        decoder: &Decoder,
        topic: &str,
        payload: &[u8],
    ) -> Option<Result<Option<Message>, Poison>> {
        if topic == bank_reversal::TOPIC {
            return bank_reversal::decode(decoder, payload, PURPOSE_SETTLEMENT, Message::Reversal);
        }
        bank_result::decode(
            decoder,
            topic,
            payload,
            PURPOSE_SETTLEMENT,
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

    fn alone(message: &Message) -> bool {
        matches!(message, Message::Request(_))
    }

    async fn load(
        &self,
        connection: &mut PgConnection,
        batch: &[&Arrived<Message>],
        at: DateTime<Utc>,
        _lock: bool,
    ) -> Result<State, sqlx::Error> {
        let today = korean_day(at);
        let mut state = State {
            limits: self.limits.at(connection, at).await?,
            book: Book::new(today, []),
            bases: HashMap::new(),
            awaiting: HashMap::new(),
            reversals: Reversals::default(),
            runs: Vec::new(),
            ended: Vec::new(),
        };
        let mut commands = Vec::new();
        let mut came_back = Vec::new();
        for arrived in batch {
            match &arrived.message {
                Message::Request(request) => {
                    if let Ok(asked) = settlement::asked(request, at) {
                        let contracts = Contracts::load(connection, today).await?;
                        let cut = found::cut(&self.pool, asked.cut_at).await?;
                        let from = found::from(connection, asked.franchise_id).await?;
                        let parts =
                            found::parts(connection, &cut, asked.franchise_id, &contracts).await?;
                        state.bases.insert(arrived.id, Basis { cut, parts, from });
                    }
                }
                Message::Bank(result) => commands.extend(bank_result::command_id(result)),
                Message::Reversal(reversal) => {
                    came_back.extend(bank_reversal::command_id(reversal));
                }
            }
        }
        state.awaiting = found::awaiting(connection, &commands).await?;
        state.reversals = Reversals::load(connection, &came_back).await?;
        Ok(state)
    }

    fn decide(&self, state: &mut State, arrived: &Arrived<Message>, at: DateTime<Utc>) -> Verdict {
        match &arrived.message {
            Message::Request(request) => Verdict::Handled(run(state, arrived, request, at)),
            Message::Bank(result) => answered(state, result, at),
            Message::Reversal(reversal) => {
                let State {
                    book, reversals, ..
                } = state;
                reversals.decide(reversal, at, |entry_id, from_bank, payout| {
                    // The franchise is owed it again.
                    let (franchise_id, amount) = (payout.franchise_id, payout.amount);
                    settlement::reversed(book, entry_id, franchise_id, amount, from_bank);
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
        for run in &state.runs {
            write::run(connection, run, at).await?;
            // Not events of the run: those go in one Kafka transaction with its
            // offset, and are kept until then, however many there are. From the
            // outbox they go some thousand at a time.
            let commands = run
                .commands(&self.encoders)
                .map_err(|error| sqlx::Error::Encode(error.into()))?;
            outbox::write(connection, WRITER, &commands, at).await?;
        }
        write::ended(connection, &state.ended, at).await?;
        state.reversals.note(connection, at).await?;
        let back = state.reversals.made();
        write::owe(connection, back.map(|it| (it.franchise_id, it.amount))).await?;
        mypay_ledger::write(connection, &state.book, at, &state.limits).await
    }

    fn events(
        &self,
        arrived: &Arrived<Message>,
        outcome: &Outcome,
    ) -> Result<Vec<Event>, EncodersError> {
        let request = match &arrived.message {
            Message::Request(request) => request,
            // The banks' answers change payouts; the run's result was told before.
            Message::Bank(_) => return Ok(Vec::new()),
            Message::Reversal(reversal) => {
                return reversed::events(&self.encoders, arrived, reversal, outcome);
            }
        };
        let Some(head) = ResultHead::of(&request.message_id, outcome) else {
            return Ok(Vec::new());
        };
        let totals = bank_result::kept::<Kept>(outcome)
            .map(|kept| kept.totals)
            .unwrap_or_default();
        let record = SettlementResult {
            message_id: head.message_id,
            request_id: request.message_id.clone(),
            correlation_id: request.correlation_id.clone(),
            status: head.status,
            reason: head.reason,
            occurred_at: head.occurred_at,
            franchises: totals.franchises,
            slips: totals.slips,
            gross: totals.gross,
            commission: totals.commission,
            payouts: totals.payouts,
            net: totals.net,
            causation_id: Some(request.message_id.clone()),
            cancelled: totals.cancelled,
        };
        let topic = Flow::Settlement.result_topic();
        Ok(vec![bank_result::event(
            &self.encoders,
            topic,
            request.key(),
            arrived,
            &record,
        )?])
    }
}

impl Run {
    /// The commands to the banks, a payout each.
    fn commands(&self, encoders: &Encoders) -> Result<Vec<Event>, EncodersError> {
        let paid = self.payouts.iter().filter_map(|payout| {
            let Net::Pay(amount) = payout.net else {
                return None;
            };
            Some((payout.payout_id, amount, payout.account.clone()?))
        });
        paid.map(|(payout_id, amount, accounts)| {
            let origin_id = payout_id.to_string();
            let command = Command {
                purpose: PURPOSE_SETTLEMENT,
                id: id_of_command(PURPOSE_SETTLEMENT, payout_id),
                origin_id: &origin_id,
                correlation_id: &self.correlation_id,
                from: accounts.from,
                to: accounts.to,
                to_holder_name: Some(accounts.holder_name),
                amount,
                requested_at: self.requested_at,
            };
            command.event(encoders, self.traceparent.as_ref())
        })
        .collect()
    }
}

/// Decides on a run, and keeps what is to be written of it.
fn run(
    state: &mut State,
    arrived: &Arrived<Message>,
    request: &SettlementRequest,
    at: DateTime<Utc>,
) -> Outcome {
    let run_id = arrived.id;
    let Basis { cut, parts, from } = state.bases.remove(&run_id).unwrap_or_default();
    let found = parts.iter().map(|part| &part.found);
    let decided = match settlement::decide(&mut state.book, run_id, request, found, at) {
        Decision::Completed(decided) | Decision::AwaitsBank(decided) => decided,
        Decision::Rejected(reason) => return Outcome::rejected(reason.code(), at),
    };
    let payouts = parts
        .into_iter()
        .zip(decided.nets)
        .map(|(part, (payout_id, net))| Payout {
            payout_id,
            found: part.found,
            cancels: part.cancels,
            net,
            account: part.account,
        })
        .collect();
    let totals = decided.totals;
    state.runs.push(Run {
        run_id,
        cut_at: decided.asked.cut_at,
        franchise_id: decided.asked.franchise_id,
        cut,
        from,
        payouts,
        totals,
        correlation_id: request.correlation_id.clone(),
        requested_at: request.requested_at,
        traceparent: arrived.traceparent.clone(),
    });
    Outcome::success(at).with_result(serde_json::json!(Kept { totals }))
}

/// A bank has answered: the payout is paid, or the franchise is owed it again.
fn answered(state: &mut State, result: &FirmbankingResult, at: DateTime<Utc>) -> Verdict {
    let Some(awaiting) = bank_result::command_id(result).and_then(|id| state.awaiting.remove(&id))
    else {
        // Answered before, or forged: no command of ours has this outcome.
        return Verdict::Ignored;
    };
    let entry_id = derive(awaiting.payout_id, "bank answered");
    let done = awaiting.answer.is_none();
    if done {
        settlement::confirmed(
            &mut state.book,
            entry_id,
            awaiting.amount,
            &awaiting.from_bank,
        );
    } else {
        settlement::refused(
            &mut state.book,
            entry_id,
            awaiting.franchise_id,
            awaiting.amount,
        );
    }
    state.ended.push((awaiting, done));
    Verdict::Handled(Outcome::success(at))
}
