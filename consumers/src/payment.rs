//! Payment and its cancels: `my.payment.request`, then `my.payment.result`.

mod cancels;
mod top_up;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use mypay_decide::cancel::{self, Named, Paid};
use mypay_decide::limits::korean_day;
use mypay_decide::payment::{self, Franchise, ORDER_REF_MAX, Slip};
use mypay_decide::{Book, Decision, Limits, Reason};
use mypay_idempotency::queue_log::Outcome;
use mypay_idempotency::transaction::Event;
use mypay_ledger::WriteError;
use mypay_ledger::limits::InForce;
use mypay_schemas::decoder::{Decoder, Poison};
use mypay_schemas::encoders::{Encoders, EncodersError};
use mypay_schemas::identity::is_derived;
use mypay_schemas::payment::{PaymentRequest, PaymentResult};
use mypay_schemas::recharge::RechargeResult;
use mypay_schemas::{Flow, Request};
use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use crate::bank_result::{self, ResultHead};
use crate::runtime::handler::{Arrived, Handler, Identity, Verdict};
use crate::top_up::{self as topping_up, TopUps};

/// What the payment consumer reads.
pub enum Message {
    /// A member pays or cancels, or a payment goes on that was topped up.
    Request(PaymentRequest),
    /// A recharge that tops up has an outcome.
    ToppedUp(RechargeResult),
}

/// The payment consumer.
pub struct Payment {
    /// Writes its events.
    pub encoders: Arc<Encoders>,
    /// The limits in force.
    pub limits: Arc<InForce>,
}

/// What a batch loads and changes.
pub struct State {
    limits: Limits,
    book: Book,
    franchises: HashMap<Uuid, Franchise>,
    /// Up to where settlements have gone in the batch's partition.
    settled: Option<i64>,
    slips: Vec<NewSlip>,
    top_ups: TopUps<PaymentRequest>,
    /// The payments that cancels of the batch name, where they are known.
    paid: HashMap<Uuid, Paid>,
    /// All that they name: a payment of this very batch may be one of them.
    named: HashSet<Uuid>,
    /// Those of them that are asked for and not decided yet.
    in_progress: HashSet<Uuid>,
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
#[derive(Default, Serialize, Deserialize)]
struct Kept {
    commission: i64,
    /// Of a cancel: whole won.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refunded: Option<i64>,
    /// What is recharged first, whole won; the rest is told by what comes of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    top_up: Option<i64>,
    /// What was recharged on the way, whole won.
    #[serde(default, skip_serializing_if = "is_zero")]
    topped_up: i64,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde's signature
fn is_zero(won: &i64) -> bool {
    *won == 0
}

impl State {
    fn franchise(&self, request: &PaymentRequest) -> Option<Franchise> {
        let id = Uuid::try_parse(&request.franchise_id).ok()?;
        self.franchises.get(&id).copied()
    }

    /// A new slip or cancel below a position that is settled can only be of a topic that
    /// was created anew: its offsets began again at 0, and what they bring would never be
    /// settled. Nothing is handled until somebody has looked; as with any outage, nothing
    /// is lost by waiting. (What leaves no slip may come again at its old offset.)
    fn refuse_settled_offsets(&self) -> Result<(), sqlx::Error> {
        let slips = self.slips.iter().map(|it| (it.offset, it.partition));
        let cancels = self.cancels.iter().map(|it| (it.offset, it.partition));
        let (Some((offset, partition)), Some(settled)) = (slips.chain(cancels).min(), self.settled)
        else {
            return Ok(());
        };
        if offset >= settled {
            return Ok(());
        }
        let topic = Flow::Payment.request_topic();
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

    /// Notes that a payment waits for a top-up.
    fn waits(&mut self, payment_id: Uuid) {
        if self.named.contains(&payment_id) {
            self.in_progress.insert(payment_id);
        }
    }

    /// Notes that a payment is rejected: it will never be there.
    fn rejected(&mut self, payment_id: Uuid) {
        self.in_progress.remove(&payment_id);
    }

    /// The payment that a cancel names.
    fn named(&mut self, payment_id: &Uuid) -> (&mut Book, Named<'_>) {
        let named = match self.paid.get_mut(payment_id) {
            Some(paid) => Named::Made(paid),
            None if self.in_progress.contains(payment_id) => Named::InProgress,
            None => Named::Unknown,
        };
        (&mut self.book, named)
    }

    /// Notes the slip of a payment, at the position of the message that made it.
    fn paid(
        &mut self,
        payment_id: Uuid,
        request: &PaymentRequest,
        arrived: &Arrived<Message>,
        slip: Slip,
    ) {
        if self.named.contains(&payment_id) {
            self.paid.insert(payment_id, Paid::new(slip));
        }
        self.slips.push(NewSlip {
            payment_id,
            order_ref: request.order_ref.clone(),
            partition: arrived.partition,
            offset: arrived.offset,
            slip,
        });
    }
}

impl Handler for Payment {
    type Message = Message;
    type State = State;

    const FLOW: Flow = Flow::Payment;
    const OTHER_TOPICS: &'static [&'static str] = &[topping_up::TOPIC];

    fn decode(
        decoder: &Decoder,
        topic: &str,
        payload: &[u8],
    ) -> Option<Result<Option<Message>, Poison>> {
        if topic == topping_up::TOPIC {
            return topping_up::decode(decoder, payload, Message::ToppedUp);
        }
        let request = decoder.decode_cached(payload)?;
        Some(request.map(|request| Some(Message::Request(request))))
    }

    fn identity(message: &Message) -> Identity<'_> {
        match message {
            Message::Request(request) => bank_result::identity_of(request),
            Message::ToppedUp(result) => topping_up::identity(result),
        }
    }

    fn key(message: &Message) -> &str {
        match message {
            Message::Request(request) => request.key(),
            Message::ToppedUp(result) => &result.request_id,
        }
    }

    fn follows(message: &Message) -> bool {
        match message {
            Message::Request(request) => is_derived(&request.message_id),
            Message::ToppedUp(_) => true,
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
        let mut franchises = BTreeSet::new();
        let mut named = HashSet::new();
        let mut recharges = Vec::new();
        for arrived in batch {
            match &arrived.message {
                Message::Request(request) => {
                    members.extend(Uuid::try_parse(&request.member_id));
                    franchises.extend(Uuid::try_parse(&request.franchise_id));
                    let cancelled = request.cancels.as_deref();
                    named.extend(cancelled.and_then(|id| Uuid::try_parse(id).ok()));
                    if is_derived(&request.message_id) {
                        recharges.extend(top_up::recharge_of(arrived, request));
                    }
                }
                Message::ToppedUp(result) => recharges.extend(topping_up::recharge_id(result)),
            }
        }
        // Locked before the members are, as everywhere.
        let mut top_ups = TopUps::<PaymentRequest>::load(connection, &recharges).await?;
        let in_progress = cancels::in_progress(connection, &named).await?;
        let paid = cancels::load(connection, &named).await?;
        let book = mypay_ledger::load(connection, &members, today, lock).await?;
        let needs = batch.iter().map(|arrived| needed(&arrived.message));
        top_ups.load_means(connection, &book, needs, today).await?;
        let partition = batch.first().map(|arrived| arrived.partition);
        let (franchises, settled) = load_franchises(connection, &franchises, partition, at).await?;
        Ok(State {
            limits: self.limits.at(connection, at).await?,
            book,
            franchises,
            settled,
            slips: Vec::new(),
            top_ups,
            paid,
            named,
            in_progress,
            cancels: Vec::new(),
        })
    }

    fn decide(&self, state: &mut State, arrived: &Arrived<Message>, at: DateTime<Utc>) -> Verdict {
        match &arrived.message {
            Message::Request(request) if is_derived(&request.message_id) => {
                self.go_on(state, arrived, request, at)
            }
            Message::Request(request) => Verdict::Handled(self.asked(state, arrived, request, at)),
            Message::ToppedUp(result) => self.recharged(state, result, at),
        }
    }

    async fn write(
        &self,
        connection: &mut PgConnection,
        state: State,
        at: DateTime<Utc>,
    ) -> Result<(), WriteError> {
        state.refuse_settled_offsets()?;
        state.top_ups.write(connection, at).await?;
        insert(connection, &state.slips, at).await?;
        cancels::insert(connection, &state.cancels, at).await?;
        mypay_ledger::write(connection, &state.book, at, &state.limits).await
    }

    fn events(
        &self,
        arrived: &Arrived<Message>,
        outcome: &Outcome,
    ) -> Result<Vec<Event>, EncodersError> {
        match &arrived.message {
            Message::Request(request) if is_derived(&request.message_id) => {
                self.later_events(arrived, &request.message_id, outcome)
            }
            Message::Request(request) => self.request_events(arrived, request, outcome),
            Message::ToppedUp(result) => self.later_events(arrived, &result.message_id, outcome),
        }
    }
}

impl Payment {
    fn asked(
        &self,
        state: &mut State,
        arrived: &Arrived<Message>,
        request: &PaymentRequest,
        at: DateTime<Utc>,
    ) -> Outcome {
        if let Some(payment_id) = &request.cancels {
            return cancel(state, arrived, request, payment_id, at);
        }
        let franchise = state.franchise(request);
        let partition = arrived.partition;
        match payment::decide(&mut state.book, arrived.id, request, franchise, partition) {
            Decision::Completed(slip) | Decision::AwaitsBank(slip) => {
                state.paid(arrived.id, request, arrived, slip);
                let kept = Kept {
                    commission: slip.commission,
                    ..Kept::default()
                };
                Outcome::success(at).with_result(serde_json::json!(kept))
            }
            Decision::Rejected(Reason::InsufficientFunds) => {
                self.short(state, arrived, request, at)
            }
            Decision::Rejected(reason) => {
                state.rejected(arrived.id);
                Outcome::rejected(reason.code(), at)
            }
        }
    }

    fn request_events(
        &self,
        arrived: &Arrived<Message>,
        request: &PaymentRequest,
        outcome: &Outcome,
    ) -> Result<Vec<Event>, EncodersError> {
        let kept = bank_result::kept::<Kept>(outcome).unwrap_or_default();
        // A payment that waits for a top-up has one event, whatever came later.
        if let Some(amount) = kept.top_up {
            return Ok(vec![topping_up::event(
                &self.encoders,
                (arrived.id, request),
                (&request.member_id, amount, request.requested_at),
                arrived.traceparent.as_ref(),
            )?]);
        }
        let Some(head) = ResultHead::of(&request.message_id, outcome) else {
            return Ok(Vec::new());
        };
        self.result(arrived, request, &request.message_id, kept, head)
    }

    /// The result of a payment or cancel, which the message `causation_id` ended.
    fn result(
        &self,
        arrived: &Arrived<Message>,
        request: &PaymentRequest,
        causation_id: &str,
        kept: Kept,
        head: ResultHead,
    ) -> Result<Vec<Event>, EncodersError> {
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
            amount: kept.refunded.unwrap_or(request.amount),
            commission: kept.commission,
            causation_id: Some(causation_id.to_owned()),
            cancels: request
                .cancels
                .as_ref()
                .map(|id| id.chars().take(36).collect()),
            topped_up: kept.topped_up,
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

/// Who pays for a message, and how much; nothing where nobody does. (What is
/// topped up already is counted by its row.)
fn needed(message: &Message) -> (Uuid, i64) {
    match message {
        Message::Request(request)
            if request.cancels.is_none() && !is_derived(&request.message_id) =>
        {
            let member_id = Uuid::try_parse(&request.member_id).unwrap_or_default();
            (member_id, request.amount.max(0))
        }
        _ => (Uuid::nil(), 0),
    }
}

/// Decides on a cancel.
fn cancel(
    state: &mut State,
    arrived: &Arrived<Message>,
    request: &PaymentRequest,
    payment_id: &str,
    at: DateTime<Utc>,
) -> Outcome {
    let payment_id = Uuid::try_parse(payment_id).unwrap_or_default();
    let franchise_open = state
        .franchise(request)
        .is_some_and(|franchise| franchise.open);
    let (book, named) = state.named(&payment_id);
    let decided = cancel::decide(
        book,
        arrived.id,
        request,
        named,
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
                reason: request.cancel_reason.clone().unwrap_or_default(),
                partition: arrived.partition,
                offset: arrived.offset,
                slip: paid.slip,
                link,
            });
            let kept = Kept {
                commission: link.commission_back,
                refunded: Some(link.amount),
                ..Kept::default()
            };
            Outcome::success(at).with_result(serde_json::json!(kept))
        }
        Decision::Rejected(reason) => Outcome::rejected(reason.code(), at),
    }
}

/// The franchises, and up to where settlements have gone in a partition.
async fn load_franchises(
    connection: &mut PgConnection,
    franchises: &BTreeSet<Uuid>,
    partition: Option<i32>,
    at: DateTime<Utc>,
) -> Result<(HashMap<Uuid, Franchise>, Option<i64>), sqlx::Error> {
    if franchises.is_empty() {
        return Ok((HashMap::new(), None));
    }
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
    .bind(partition)
    .fetch_all(connection)
    .await?;
    let settled: Option<i64> = rows
        .first()
        .map(|row| row.try_get(3))
        .transpose()?
        .flatten();
    let franchises = rows
        .iter()
        .map(|row| {
            let franchise = Franchise {
                open: row.try_get(1)?,
                commission_bps: row.try_get(2)?,
            };
            Ok((row.try_get(0)?, franchise))
        })
        .collect::<Result<_, sqlx::Error>>()?;
    Ok((franchises, settled))
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
