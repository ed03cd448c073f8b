//! Payment and its cancels: `my.payment.request`, then `my.payment.result`.

mod cancels;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use mypay_decide::cancel::{self, Paid};
use mypay_decide::limits::korean_day;
use mypay_decide::payment::{self, Franchise, ORDER_REF_MAX, Slip};
use mypay_decide::{Book, Decision, Limits, Reason};
use mypay_idempotency::queue_log::Outcome;
use mypay_idempotency::transaction::Event;
use mypay_ledger::WriteError;
use mypay_schemas::decoder::{Decoder, Poison};
use mypay_schemas::encoders::{Encoders, EncodersError};
use mypay_schemas::payment::{PaymentRequest, PaymentResult};
use mypay_schemas::{Flow, Request};
use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use crate::bank_result::{self, ResultHead};
use crate::runtime::handler::{Arrived, Handler, Identity, Verdict};

/// The payment consumer.
pub struct Payment {
    /// Writes its events.
    pub encoders: Arc<Encoders>,
    /// The limits in force.
    pub limits: Limits,
}

/// What a batch loads and changes.
pub struct State {
    book: Book,
    franchises: HashMap<Uuid, Franchise>,
    slips: Vec<NewSlip>,
    /// The payments that cancels of the batch name, where they are known.
    paid: HashMap<Uuid, Paid>,
    /// All that they name: a payment of this very batch may be one of them.
    named: HashSet<Uuid>,
    cancels: Vec<cancels::NewCancel>,
}

struct NewSlip {
    payment_id: Uuid,
    order_ref: String,
    partition: i32,
    offset: i64,
    slip: Slip,
}

/// What the result says beyond the request: kept in `queue_log`.
#[derive(Serialize, Deserialize)]
struct Kept {
    commission: i64,
    /// Of a cancel: whole won.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refunded: Option<i64>,
}

impl Handler for Payment {
    type Message = PaymentRequest;
    type State = State;

    const FLOW: Flow = Flow::Payment;

    fn decode(
        decoder: &Decoder,
        _topic: &str,
        payload: &[u8],
    ) -> Option<Result<Option<PaymentRequest>, Poison>> {
        Some(decoder.decode_cached(payload)?.map(Some))
    }

    fn identity(request: &PaymentRequest) -> Identity<'_> {
        bank_result::identity_of(request)
    }

    fn key(request: &PaymentRequest) -> &str {
        request.key()
    }

    fn follows(_request: &PaymentRequest) -> bool {
        false
    }

    async fn load(
        &self,
        connection: &mut PgConnection,
        batch: &[&Arrived<PaymentRequest>],
        at: DateTime<Utc>,
        lock: bool,
    ) -> Result<State, sqlx::Error> {
        let members: BTreeSet<Uuid> = batch
            .iter()
            .filter_map(|arrived| Uuid::try_parse(&arrived.message.member_id).ok())
            .collect();
        let franchises: BTreeSet<Uuid> = batch
            .iter()
            .filter_map(|arrived| Uuid::try_parse(&arrived.message.franchise_id).ok())
            .collect();
        // Locked before the members are, as everywhere.
        let named: HashSet<Uuid> = batch
            .iter()
            .filter_map(|arrived| Uuid::try_parse(arrived.message.cancels.as_deref()?).ok())
            .collect();
        let paid = cancels::load(connection, &named).await?;
        Ok(State {
            book: mypay_ledger::load(connection, &members, korean_day(at), lock).await?,
            franchises: load_franchises(connection, &franchises, batch, at).await?,
            slips: Vec::new(),
            paid,
            named,
            cancels: Vec::new(),
        })
    }

    fn decide(
        &self,
        state: &mut State,
        arrived: &Arrived<PaymentRequest>,
        at: DateTime<Utc>,
    ) -> Verdict {
        let request = &arrived.message;
        if let Some(payment_id) = &request.cancels {
            return Verdict::Handled(cancel(state, arrived, payment_id, at));
        }
        let franchise = Uuid::try_parse(&request.franchise_id)
            .ok()
            .and_then(|id| state.franchises.get(&id))
            .copied();
        match payment::decide(
            &mut state.book,
            arrived.id,
            request,
            franchise,
            arrived.partition,
        ) {
            Decision::Completed(slip) | Decision::AwaitsBank(slip) => {
                if state.named.contains(&arrived.id) {
                    state.paid.insert(arrived.id, Paid::new(slip));
                }
                state.slips.push(NewSlip {
                    payment_id: arrived.id,
                    order_ref: request.order_ref.clone(),
                    partition: arrived.partition,
                    offset: arrived.offset,
                    slip,
                });
                let kept = Kept {
                    commission: slip.commission,
                    refunded: None,
                };
                Verdict::Handled(Outcome::success(at).with_result(serde_json::json!(kept)))
            }
            Decision::Rejected(reason) => Verdict::Handled(Outcome::rejected(reason.code(), at)),
        }
    }

    async fn write(
        &self,
        connection: &mut PgConnection,
        state: State,
        at: DateTime<Utc>,
    ) -> Result<(), WriteError> {
        insert(connection, &state.slips, at).await?;
        cancels::insert(connection, &state.cancels, at).await?;
        mypay_ledger::write(connection, &state.book, at, &self.limits).await
    }

    fn events(
        &self,
        arrived: &Arrived<PaymentRequest>,
        outcome: &Outcome,
    ) -> Result<Vec<Event>, EncodersError> {
        let request = &arrived.message;
        let Some(head) = ResultHead::of(&request.message_id, outcome) else {
            return Ok(Vec::new());
        };
        let kept = bank_result::kept::<Kept>(outcome);
        let refunded = kept.as_ref().and_then(|kept| kept.refunded);
        let record = PaymentResult {
            message_id: head.message_id,
            request_id: request.message_id.clone(),
            correlation_id: request.correlation_id.clone(),
            status: head.status,
            reason: head.reason,
            occurred_at: head.occurred_at,
            member_id: request.member_id.clone(),
            franchise_id: request.franchise_id.clone(),
            // One that is too long was refused for it; its beginning tells which.
            order_ref: request.order_ref.chars().take(ORDER_REF_MAX).collect(),
            amount: refunded.unwrap_or(request.amount),
            commission: kept.map_or(0, |kept| kept.commission),
            causation_id: Some(request.message_id.clone()),
            cancels: request
                .cancels
                .as_ref()
                .map(|id| id.chars().take(36).collect()),
        };
        let topic = Flow::Payment.result_topic();
        Ok(vec![bank_result::event(
            &self.encoders,
            topic,
            &request.member_id,
            arrived,
            &record,
        )?])
    }
}

/// Decides on a cancel.
fn cancel(
    state: &mut State,
    arrived: &Arrived<PaymentRequest>,
    payment_id: &str,
    at: DateTime<Utc>,
) -> Outcome {
    let payment_id = Uuid::try_parse(payment_id).unwrap_or_default();
    let franchise = Uuid::try_parse(&arrived.message.franchise_id).ok();
    let franchise = franchise.and_then(|id| state.franchises.get(&id));
    let franchise_open = franchise.is_some_and(|franchise| franchise.open);
    let paid = state.paid.get_mut(&payment_id);
    let decided = cancel::decide(
        &mut state.book,
        arrived.id,
        &arrived.message,
        paid,
        franchise_open,
        arrived.partition,
    );
    match decided {
        Decision::Completed(link) | Decision::AwaitsBank(link) => {
            let Some(paid) = state.paid.get(&payment_id) else {
                return Outcome::rejected(Reason::UnknownPayment.code(), at);
            };
            state.cancels.push(cancels::NewCancel {
                payment_id,
                cancel_id: arrived.id,
                reason: arrived.message.cancel_reason.clone().unwrap_or_default(),
                partition: arrived.partition,
                offset: arrived.offset,
                slip: paid.slip,
                link,
            });
            let kept = Kept {
                commission: link.commission_back,
                refunded: Some(link.amount),
            };
            Outcome::success(at).with_result(serde_json::json!(kept))
        }
        Decision::Rejected(reason) => Outcome::rejected(reason.code(), at),
    }
}

async fn load_franchises(
    connection: &mut PgConnection,
    franchises: &BTreeSet<Uuid>,
    batch: &[&Arrived<PaymentRequest>],
    at: DateTime<Utc>,
) -> Result<HashMap<Uuid, Franchise>, sqlx::Error> {
    let ids: Vec<Uuid> = franchises.iter().copied().collect();
    let rows = sqlx::query(
        "SELECT m.member_id, m.status = 'OPEN', coalesce(r.bps, 0),
                (SELECT next_offset FROM settlement.position
                  WHERE franchise_id = '00000000-0000-0000-0000-000000000000' AND partition = $3)
           FROM unnest($1::uuid[]) AS f(id)
           JOIN membership.member m ON m.member_id = f.id AND m.kind = 'FRANCHISE'
           LEFT JOIN LATERAL (
                SELECT bps FROM payment.commission_rate
                 WHERE franchise_id = f.id AND in_force_from <= $2
                 ORDER BY in_force_from DESC LIMIT 1) r ON true",
    )
    .bind(ids)
    .bind(at)
    .bind(batch.first().map(|arrived| arrived.partition))
    .fetch_all(connection)
    .await?;
    let settled: Option<i64> = rows
        .first()
        .map(|row| row.try_get(3))
        .transpose()?
        .flatten();
    refuse_settled_offsets(batch, settled)?;
    rows.iter()
        .map(|row| {
            let franchise = Franchise {
                open: row.try_get(1)?,
                commission_bps: row.try_get(2)?,
            };
            Ok((row.try_get(0)?, franchise))
        })
        .collect()
}

/// A new message below a position that is settled can only be of a topic that
/// was created anew: its offsets began again at 0, and what they bring would
/// never be settled. Nothing is handled until somebody has looked; as with any
/// outage, nothing is lost by waiting.
fn refuse_settled_offsets(
    batch: &[&Arrived<PaymentRequest>],
    settled: Option<i64>,
) -> Result<(), sqlx::Error> {
    let first = batch.iter().min_by_key(|arrived| arrived.offset);
    match (first, settled) {
        (Some(first), Some(settled)) if first.offset < settled => {
            let (topic, partition) = (Flow::Payment.request_topic(), first.partition);
            let offset = first.offset;
            tracing::error!(
                topic,
                partition,
                offset,
                settled,
                "a new payment below the offset up to which settlements have gone: the topic was created anew. Restore the topic with its offsets; see 'Positions of a settlement' in ARCHITECTURE.md"
            );
            Err(sqlx::Error::Io(std::io::Error::other(
                "payments below a settled offset",
            )))
        }
        _ => Ok(()),
    }
}

async fn insert(
    connection: &mut PgConnection,
    slips: &[NewSlip],
    at: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    if slips.is_empty() {
        return Ok(());
    }
    sqlx::query(
        r#"INSERT INTO payment.slip
                  (payment_id, member_id, franchise_id, order_ref, gross, commission_bps, commission,
                   partition, "offset", paid_at)
           SELECT s.*, $10
             FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::bigint[], $6::int[],
                         $7::bigint[], $8::int[], $9::bigint[]) AS s"#,
    )
    .bind(slips.iter().map(|slip| slip.payment_id).collect::<Vec<_>>())
    .bind(slips.iter().map(|slip| slip.slip.member_id).collect::<Vec<_>>())
    .bind(slips.iter().map(|slip| slip.slip.franchise_id).collect::<Vec<_>>())
    .bind(slips.iter().map(|slip| &*slip.order_ref).collect::<Vec<_>>())
    .bind(slips.iter().map(|slip| slip.slip.gross).collect::<Vec<_>>())
    .bind(slips.iter().map(|slip| slip.slip.commission_bps).collect::<Vec<_>>())
    .bind(slips.iter().map(|slip| slip.slip.commission).collect::<Vec<_>>())
    .bind(slips.iter().map(|slip| slip.partition).collect::<Vec<_>>())
    .bind(slips.iter().map(|slip| slip.offset).collect::<Vec<_>>())
    .bind(at)
    .execute(connection)
    .await?;
    Ok(())
}
