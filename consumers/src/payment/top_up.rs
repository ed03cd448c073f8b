//! Payments that recharge first what they lack.
//!
//! A payment that was topped up does not go on where its recharge's result is
//! read: a slip has a position on the payments' own topic, which settlements cut
//! at. So a continuation goes onto that topic, under the payment's key, and the
//! slip is made at its offset.

use chrono::{DateTime, Utc};
use mypay_decide::top_up::Purpose;
use mypay_decide::{Decision, Reason, payment};
use mypay_idempotency::queue_log::Outcome;
use mypay_idempotency::transaction::Event;
use mypay_schemas::encoders::{Encoders, EncodersError};
use mypay_schemas::payment::{PaymentRequest, id_of_continuation};
use mypay_schemas::recharge::{RechargeResult, id_of_top_up};
use mypay_schemas::{Flow, Request};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Kept, Message, Payment, State};
use crate::bank_result::{self, ResultHead};
use crate::runtime::handler::{Arrived, Verdict};
use crate::top_up::{self, Origin};

impl Origin for PaymentRequest {
    const FLOW: Flow = Flow::Payment;
    const PURPOSE: Purpose = Purpose::Payment;
    const DUE: &'static str = "
        SELECT t.recharge_id, t.payment_id, t.member_id, t.needed, t.amount, t.request,
               t.requested_at, q.processed_status = 'success', q.reason, r.recharge_id IS NOT NULL
          FROM payment.top_up t
          JOIN queue_log q ON q.consumer = 'recharge' AND q.message_id = t.recharge_id
                          AND q.status = 'done'
          LEFT JOIN recharge.recharge r ON r.recharge_id = t.recharge_id
         WHERE t.recharge_id = ANY($1) AND t.state = 'AWAITS_TOP_UP'
         ORDER BY t.recharge_id
           FOR NO KEY UPDATE OF t";
    const BEGIN: &'static str = "
        INSERT INTO payment.top_up
               (payment_id, recharge_id, member_id, needed, amount, request, state,
                requested_at, changed_at)
        SELECT t.id, t.recharge_id, t.member_id, t.needed, t.amount, t.request, 'AWAITS_TOP_UP',
               t.requested_at, $8
          FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::bigint[], $5::bigint[], $6::jsonb[],
                      $7::timestamptz[])
               AS t(id, recharge_id, member_id, needed, amount, request, requested_at)";
    const END: &'static str = "
        UPDATE payment.top_up t
           SET state = CASE WHEN e.done THEN 'TOPPED_UP' ELSE 'REFUSED' END, changed_at = $3
          FROM unnest($1::uuid[], $2::boolean[]) AS e(id, done)
         WHERE t.payment_id = e.id AND t.state = 'AWAITS_TOP_UP'";

    fn kept(&self) -> Self {
        Self {
            causation_id: None,
            cancel_reason: None,
            ..self.clone()
        }
    }
}

/// What is kept in `queue_log` of a recharge's result that lets a payment go on.
#[derive(Serialize, Deserialize)]
struct GoesOn {
    continues: PaymentRequest,
}

/// What is kept in `queue_log` of a message that ended another one's payment.
#[derive(Serialize, Deserialize)]
struct Ended {
    payment: PaymentRequest,
    done: bool,
    #[serde(flatten)]
    kept: Kept,
}

/// The recharge that a continuation says it waited for; `None` where it says
/// nothing that fits its id.
pub(super) fn recharge_of(
    continuation: &Arrived<Message>,
    request: &PaymentRequest,
) -> Option<Uuid> {
    let payment_id = Uuid::try_parse(request.causation_id.as_deref()?).ok()?;
    (id_of_continuation(payment_id) == continuation.id)
        .then(|| id_of_top_up(Flow::Payment, payment_id))
}

impl Payment {
    /// A payment failed for its balance alone: it waits for a top-up, where the
    /// member has an account to draw from.
    pub(super) fn short(
        &self,
        state: &mut State,
        arrived: &Arrived<Message>,
        request: &PaymentRequest,
        at: DateTime<Utc>,
    ) -> Outcome {
        let member_id = Uuid::try_parse(&request.member_id).unwrap_or_default();
        let begun = state.top_ups.begin(
            &state.book,
            (arrived.id, arrived.created_at),
            (member_id, request.amount),
            request,
            &state.limits,
        );
        match begun {
            Ok(amount) => {
                state.waits(arrived.id);
                Outcome::processing(at).with_result(serde_json::json!(Kept {
                    top_up: Some(amount),
                    ..Kept::default()
                }))
            }
            Err(reason) => {
                state.rejected(arrived.id);
                Outcome::rejected(reason.code(), at)
            }
        }
    }

    /// A recharge has an outcome: the payment that waits for it is rejected with
    /// it, or is told to go on.
    pub(super) fn recharged(
        &self,
        state: &mut State,
        result: &RechargeResult,
        at: DateTime<Utc>,
    ) -> Verdict {
        let recharge_id = top_up::recharge_id(result).unwrap_or_default();
        let Some(due) = state.top_ups.get(&recharge_id) else {
            // It has gone on before, or nothing of ours waits for that recharge.
            return Verdict::Ignored;
        };
        let Some(reason) = due.refused.clone() else {
            let goes_on = GoesOn {
                continues: due.request.clone(),
            };
            return Verdict::Handled(Outcome::success(at).with_result(serde_json::json!(goes_on)));
        };
        let Some(due) = state.top_ups.take(&recharge_id) else {
            return Verdict::Ignored;
        };
        let rejected = Outcome::rejected(reason, at);
        state.rejected(due.origin_id);
        state.top_ups.finish(due.origin_id, rejected.clone());
        ended(due.request, Kept::default(), rejected)
    }

    /// The continuation of a payment: accepted only with the row behind it that
    /// says of the same payment that it waits, and has been topped up.
    pub(super) fn go_on(
        &self,
        state: &mut State,
        arrived: &Arrived<Message>,
        request: &PaymentRequest,
        at: DateTime<Utc>,
    ) -> Verdict {
        let due = recharge_of(arrived, request)
            .filter(|recharge_id| {
                state.top_ups.get(recharge_id).is_some_and(|due| {
                    due.refused.is_none() && due.request.content_hash() == arrived.content_hash
                })
            })
            .and_then(|recharge_id| state.top_ups.take(&recharge_id));
        let Some(due) = due else {
            return Verdict::Dead(Reason::UnknownOrigin.code());
        };
        let franchise = state.franchise(&due.request);
        // As if the payment came now. It is not topped up a second time: who spent
        // the money meanwhile has spent it.
        let decided = payment::decide(
            &mut state.book,
            due.origin_id,
            &due.request,
            franchise,
            arrived.partition,
        );
        let (commission, outcome) = match decided {
            Decision::Completed(slip) | Decision::AwaitsBank(slip) => {
                state.paid(due.origin_id, &due.request, arrived, slip);
                (slip.commission, Outcome::success(at))
            }
            // The recharge holds: what it brought stays on the balance.
            Decision::Rejected(reason) => {
                state.rejected(due.origin_id);
                (0, Outcome::rejected(reason.code(), at))
            }
        };
        state.top_ups.finish(due.origin_id, outcome.clone());
        let kept = Kept {
            commission,
            topped_up: due.amount,
            ..Kept::default()
        };
        ended(due.request, kept, outcome)
    }

    /// The events of a message that ended another one's payment, or lets it go on.
    pub(super) fn later_events(
        &self,
        arrived: &Arrived<Message>,
        causation_id: &str,
        outcome: &Outcome,
    ) -> Result<Vec<Event>, EncodersError> {
        if let Some(goes_on) = bank_result::kept::<GoesOn>(outcome) {
            let event = continuation(
                &self.encoders,
                goes_on.continues,
                arrived.traceparent.as_ref(),
            )?;
            return Ok(event.into_iter().collect());
        }
        let Some(ended) = bank_result::kept::<Ended>(outcome) else {
            return Ok(Vec::new());
        };
        let head = ResultHead::ended(&ended.payment.message_id, ended.done, outcome);
        self.result(arrived, &ended.payment, causation_id, ended.kept, head)
    }
}

/// The message itself was handled, whichever way the payment went.
fn ended(payment: PaymentRequest, kept: Kept, outcome: Outcome) -> Verdict {
    let ended = Ended {
        payment,
        done: outcome.success == Some(true),
        kept,
    };
    let handled = Outcome {
        success: Some(true),
        ..outcome
    };
    Verdict::Handled(handled.with_result(serde_json::json!(ended)))
}

/// The continuation of a payment, as an event.
fn continuation(
    encoders: &Encoders,
    payment: PaymentRequest,
    traceparent: Option<&String>,
) -> Result<Option<Event>, EncodersError> {
    let topic = Flow::Payment.request_topic();
    let Ok(payment_id) = Uuid::try_parse(&payment.message_id) else {
        return Ok(None);
    };
    let record = PaymentRequest {
        message_id: id_of_continuation(payment_id).to_string(),
        causation_id: Some(payment.message_id),
        ..payment
    };
    Ok(Some(Event {
        topic,
        key: record.member_id.clone().into_bytes(),
        payload: encoders.encode(topic, &record)?,
        traceparent: traceparent.cloned(),
        headers: Vec::new(),
    }))
}
