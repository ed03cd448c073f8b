//! Firmbanking: `my.firmbanking.request` into the table of commands.
//!
//! The consumer only takes commands in, by the same batch rules as all others.
//! The calls are made from the table by the workers (see [`crate::worker`]), so
//! that a slow bank holds up no partition; they also send the result on.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use mypay_database::copy::Rows;
use mypay_decide::Reason;
use mypay_decide::firmbanking::{self, Command, Origin};
use mypay_decide::limits::korean_day;
use mypay_idempotency::queue_log::Outcome;
use mypay_idempotency::transaction::Event;
use mypay_ledger::WriteError;
use mypay_schemas::decoder::{Decoder, Poison};
use mypay_schemas::encoders::{Encoders, EncodersError};
use mypay_schemas::firmbanking::{
    BankAccount, FirmbankingRequest, FirmbankingResult, PURPOSE_CLOSING, PURPOSE_RECHARGE,
    PURPOSE_REMITTANCE, PURPOSE_SETTLEMENT, PURPOSE_UNDO,
};
use mypay_schemas::{Flow, Request};
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use crate::bank_result::{self, ResultHead};
use crate::contracts::Contracts;
use crate::runtime::handler::{Arrived, Handler, Identity, Verdict};
use crate::undo;

/// The longest purpose that a rejection repeats, in characters.
const PURPOSE_SHOWN: usize = 40;

/// The firmbanking consumer.
pub struct Firmbanking {
    /// Writes its events.
    pub encoders: Arc<Encoders>,
}

/// What a batch loads and changes.
pub struct State {
    contracts: Contracts,
    origins: HashMap<Uuid, (Uuid, Origin)>,
    taken: Vec<Taken>,
    /// Undos that never come to their bank, and why.
    refused_undos: Vec<(Uuid, &'static str)>,
}

struct Taken {
    firmbanking_id: Uuid,
    origin_id: Option<Uuid>,
    correlation_id: String,
    purpose: String,
    command: Command,
    to_holder_name: Option<String>,
    amount: i64,
    traceparent: Option<String>,
}

impl Handler for Firmbanking {
    type Message = FirmbankingRequest;
    type State = State;

    const FLOW: Flow = Flow::Firmbanking;

    fn decode(
        decoder: &Decoder,
        _topic: &str,
        payload: &[u8],
    ) -> Option<Result<Option<FirmbankingRequest>, Poison>> {
        Some(decoder.decode_cached(payload)?.map(Some))
    }

    fn identity(request: &FirmbankingRequest) -> Identity<'_> {
        bank_result::identity_of(request)
    }

    fn key(request: &FirmbankingRequest) -> &str {
        request.key()
    }

    fn follows(request: &FirmbankingRequest) -> bool {
        firmbanking::is_reserved(&request.purpose)
    }

    async fn load(
        &self,
        connection: &mut PgConnection,
        batch: &[&Arrived<FirmbankingRequest>],
        at: DateTime<Utc>,
        _lock: bool,
    ) -> Result<State, sqlx::Error> {
        let reserved: Vec<Uuid> = batch
            .iter()
            .filter(|arrived| firmbanking::is_reserved(&arrived.message.purpose))
            .map(|arrived| arrived.id)
            .collect();
        Ok(State {
            contracts: Contracts::load(connection, korean_day(at)).await?,
            origins: origins(connection, &reserved).await?,
            taken: Vec::new(),
            refused_undos: Vec::new(),
        })
    }

    fn decide(
        &self,
        state: &mut State,
        arrived: &Arrived<FirmbankingRequest>,
        at: DateTime<Utc>,
    ) -> Verdict {
        let request = &arrived.message;
        let origin = state.origins.get(&arrived.id);
        let contracts = &state.contracts;
        let decided = firmbanking::decide(request, origin.map(|(_, origin)| origin), |bank_code| {
            contracts.of(bank_code)
        });
        match decided {
            Ok(command) => {
                state.taken.push(Taken {
                    firmbanking_id: arrived.id,
                    origin_id: origin.map(|(id, _)| *id),
                    correlation_id: request.correlation_id.clone(),
                    purpose: request.purpose.clone(),
                    command,
                    to_holder_name: request.to_holder_name.clone(),
                    amount: request.amount,
                    traceparent: arrived.traceparent.clone(),
                });
                // Kept, so that after a crash it is known that the answer is the
                // worker's to give, whatever it was.
                let taken = serde_json::json!({ "taken": true });
                Verdict::Handled(Outcome::processing(at).with_result(taken))
            }
            Err(Reason::UnknownOrigin) => Verdict::Dead(Reason::UnknownOrigin.code()),
            Err(reason) => {
                if request.purpose == PURPOSE_UNDO {
                    state.refused_undos.push((arrived.id, reason.code()));
                }
                Verdict::Handled(Outcome::rejected(reason.code(), at))
            }
        }
    }

    async fn write(
        &self,
        connection: &mut PgConnection,
        state: State,
        at: DateTime<Utc>,
    ) -> Result<(), WriteError> {
        insert(connection, &state.taken, at).await?;
        for (undo_id, reason) in &state.refused_undos {
            undo::refuse(connection, *undo_id, reason, at).await?;
        }
        Ok(())
    }

    fn events(
        &self,
        arrived: &Arrived<FirmbankingRequest>,
        outcome: &Outcome,
    ) -> Result<Vec<Event>, EncodersError> {
        let request = &arrived.message;
        // A command that was taken in has its result from the worker, through
        // the outbox; only one that was not is answered here.
        if outcome.success != Some(false) || outcome.result.is_some() {
            return Ok(Vec::new());
        }
        let Some(head) = ResultHead::of(&request.message_id, outcome) else {
            return Ok(Vec::new());
        };
        let record = FirmbankingResult {
            message_id: head.message_id,
            request_id: request.message_id.clone(),
            correlation_id: request.correlation_id.clone(),
            status: head.status,
            reason: head.reason,
            occurred_at: head.occurred_at,
            purpose: request.purpose.chars().take(PURPOSE_SHOWN).collect(),
            origin_id: request
                .causation_id
                .as_ref()
                .map(|id| id.chars().take(36).collect()),
            amount: request.amount,
            bank_code: request.from.bank_code.chars().take(3).collect(),
            business_date: None,
            transaction_number: None,
            fee: 0,
            causation_id: Some(request.message_id.clone()),
        };
        let topic = Flow::Firmbanking.result_topic();
        Ok(vec![bank_result::event(
            &self.encoders,
            topic,
            &request.message_id,
            arrived,
            &record,
        )?])
    }
}

/// What stands behind commands, by the command's id: requests of other flows, and
/// payouts that operators have approved to undo.
async fn origins(
    connection: &mut PgConnection,
    commands: &[Uuid],
) -> Result<HashMap<Uuid, (Uuid, Origin)>, sqlx::Error> {
    if commands.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = sqlx::query(
        "SELECT r.firmbanking_id, r.recharge_id, 1, r.amount, r.from_bank, r.from_account,
                r.from_bank, NULL::text
           FROM unnest($1::uuid[]) AS c(id)
           JOIN recharge.recharge r ON r.firmbanking_id = c.id
          UNION ALL
         SELECT p.firmbanking_id, p.remittance_id, 2, p.amount, p.to_bank, p.to_account,
                p.from_bank, p.holder_name
           FROM unnest($1::uuid[]) AS c(id)
           JOIN remittance.payout p ON p.firmbanking_id = c.id
          UNION ALL
         SELECT s.firmbanking_id, s.payout_id, 3, s.net, s.to_bank, s.to_account,
                s.from_bank, s.holder_name
           FROM unnest($1::uuid[]) AS c(id)
           JOIN settlement.payout s ON s.firmbanking_id = c.id
          UNION ALL
         SELECT m.firmbanking_id, m.payout_id, 4, m.amount, m.to_bank, m.to_account,
                m.from_bank, m.holder_name
           FROM unnest($1::uuid[]) AS c(id)
           JOIN membership.closing m ON m.firmbanking_id = c.id
          UNION ALL
         SELECT u.undo_id, u.firmbanking_id, 5, f.amount, f.to_bank, f.to_account,
                f.to_bank, NULL::text
           FROM unnest($1::uuid[]) AS c(id)
           JOIN banking.undo u ON u.undo_id = c.id AND u.state IN ('approved', 'asked')
           JOIN banking.firmbanking f ON f.firmbanking_id = u.firmbanking_id",
    )
    .bind(commands)
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            let origin = Origin {
                purpose: match row.try_get::<i32, _>(2)? {
                    1 => PURPOSE_RECHARGE,
                    2 => PURPOSE_REMITTANCE,
                    3 => PURPOSE_SETTLEMENT,
                    4 => PURPOSE_CLOSING,
                    _ => PURPOSE_UNDO,
                },
                amount: row.try_get(3)?,
                account: BankAccount {
                    bank_code: row.try_get(4)?,
                    account_number: row.try_get(5)?,
                },
                from_bank: row.try_get(6)?,
                holder_name: row.try_get(7)?,
            };
            Ok((row.try_get(0)?, (row.try_get(1)?, origin)))
        })
        .collect()
}

async fn insert(
    connection: &mut PgConnection,
    taken: &[Taken],
    at: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    const COPY: &str = "
        COPY banking.firmbanking
             (firmbanking_id, origin_id, correlation_id, purpose, from_bank, from_account, to_bank,
              to_account, to_holder_name, amount, traceparent, to_ours, holder_checked, due_at,
              created_at, changed_at)
        FROM STDIN (FORMAT binary)";
    let mut rows = Rows::with_capacity(taken.len(), 300);
    for taken in taken {
        let Command { from, to, to_ours } = &taken.command;
        let holder = taken.to_holder_name.as_deref();
        rows.push([
            &taken.firmbanking_id,
            &taken.origin_id,
            &taken.correlation_id.as_str(),
            &taken.purpose.as_str(),
            &from.bank_code.as_str(),
            &from.account_number.as_str(),
            &to.bank_code.as_str(),
            &to.account_number.as_str(),
            &holder,
            &taken.amount,
            &taken.traceparent.as_deref(),
            to_ours,
            // Nobody is asked about an account of ours, but where a holder is named.
            &(*to_ours && holder.is_none()),
            &at,
            &at,
            &at,
        ]);
    }
    rows.copy(connection, COPY).await?;
    Ok(())
}
