//! Remittances that recharge first what they lack.

use chrono::{DateTime, Utc};
use mypay_decide::Decision;
use mypay_decide::remittance::{self, Accepted, Payout};
use mypay_decide::top_up::Purpose;
use mypay_idempotency::queue_log::Outcome;
use mypay_idempotency::transaction::Event;
use mypay_schemas::Flow;
use mypay_schemas::encoders::EncodersError;
use mypay_schemas::firmbanking::{PURPOSE_REMITTANCE, id_of_command};
use mypay_schemas::recharge::RechargeResult;
use mypay_schemas::remittance::{RemittanceRequest, RemittanceResult};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Answered, Begun, Kept, KeptPayout, Message, Remittance, State};
use crate::bank_result::{self, Command, ResultHead};
use crate::runtime::handler::{Arrived, Verdict};
use crate::top_up::{self, Due, Origin, TopUps};

impl Origin for RemittanceRequest {
    const FLOW: Flow = Flow::Remittance;
    const PURPOSE: Purpose = Purpose::Remittance;
    const DUE: &'static str = "
        SELECT t.recharge_id, t.remittance_id, t.member_id, t.needed, t.amount, t.request,
               t.requested_at, q.processed_status = 'success', q.reason, r.recharge_id IS NOT NULL
          FROM remittance.top_up t
          JOIN queue_log q ON q.consumer = 'recharge' AND q.message_id = t.recharge_id
                          AND q.status = 'done'
          LEFT JOIN recharge.recharge r ON r.recharge_id = t.recharge_id
         WHERE t.recharge_id = ANY($1) AND t.state = 'AWAITS_TOP_UP'
         ORDER BY t.recharge_id
           FOR NO KEY UPDATE OF t";
    const BEGIN: &'static str = "
        INSERT INTO remittance.top_up
               (remittance_id, recharge_id, member_id, needed, amount, request, state,
                requested_at, changed_at)
        SELECT t.id, t.recharge_id, t.member_id, t.needed, t.amount, t.request, 'AWAITS_TOP_UP',
               t.requested_at, $8
          FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::bigint[], $5::bigint[], $6::jsonb[],
                      $7::timestamptz[])
               AS t(id, recharge_id, member_id, needed, amount, request, requested_at)";
    const END: &'static str = "
        UPDATE remittance.top_up t
           SET state = CASE WHEN e.done THEN 'TOPPED_UP' ELSE 'REFUSED' END, changed_at = $3
          FROM unnest($1::uuid[], $2::boolean[]) AS e(id, done)
         WHERE t.remittance_id = e.id AND t.state = 'AWAITS_TOP_UP'";

    fn kept(&self) -> Self {
        Self {
            causation_id: None,
            ..self.clone()
        }
    }
}

/// What is said of a remittance that went on to its bank: kept in `queue_log`.
#[derive(Serialize, Deserialize)]
struct GoneOn {
    request_id: Uuid,
    correlation_id: String,
    amount: i64,
    requested_at: i64,
    payout: KeptPayout,
}

impl Remittance {
    /// A remittance failed for its balance alone: it waits for a top-up, where the
    /// sender has an account to draw from.
    pub(super) fn short(
        &self,
        state: &mut State,
        arrived: &Arrived<Message>,
        request: &RemittanceRequest,
        at: DateTime<Utc>,
    ) -> Outcome {
        let sender_id = Uuid::try_parse(&request.sender_id).unwrap_or_default();
        let needed = request.amount + remittance::fee(request, &state.limits);
        let begun = state.top_ups.begin(
            &state.book,
            (arrived.id, arrived.created_at),
            (sender_id, needed),
            request,
            &state.limits,
        );
        match begun {
            Ok(amount) => Outcome::processing(at).with_result(serde_json::json!(Kept {
                fee: 0,
                payout: None,
                top_up: Some(amount),
            })),
            Err(reason) => Outcome::rejected(reason.code(), at),
        }
    }

    /// A recharge has an outcome: the remittance that waits for it goes on, or is
    /// rejected with it.
    pub(super) fn topped_up(
        &self,
        state: &mut State,
        arrived: &Arrived<Message>,
        result: &RechargeResult,
        at: DateTime<Utc>,
    ) -> Verdict {
        let due = top_up::recharge_id(result).and_then(|id| state.top_ups.take(&id));
        let Some(due) = due else {
            // It has gone on before, or nothing of ours waits for that recharge.
            return Verdict::Ignored;
        };
        let (fee, ended) = match &due.refused {
            Some(reason) => (0, Outcome::rejected(reason, at)),
            None => match self.again(state, &due, arrived.partition) {
                Decision::AwaitsBank(accepted) | Decision::Completed(accepted) => {
                    if let Some(payout) = accepted.payout.clone() {
                        return gone_on(state, due, accepted, payout, at);
                    }
                    (accepted.fee, Outcome::success(at))
                }
                // The recharge holds: what it brought stays on the balance.
                Decision::Rejected(reason) => (0, Outcome::rejected(reason.code(), at)),
            },
        };
        state.top_ups.finish(due.origin_id, ended.clone());
        let answered = Answered {
            request_id: due.origin_id,
            correlation_id: due.request.correlation_id.clone(),
            sender_id: due.member_id,
            amount: due.request.amount,
            fee,
            done: ended.success == Some(true),
            topped_up: if due.refused.is_none() { due.amount } else { 0 },
        };
        let handled = Outcome {
            success: Some(true),
            ..ended
        };
        Verdict::Handled(handled.with_result(serde_json::json!(answered)))
    }

    /// Decides once more, as if the remittance came now. It is not topped up a
    /// second time: who spent the money meanwhile has spent it.
    fn again(
        &self,
        state: &mut State,
        due: &Due<RemittanceRequest>,
        partition: i32,
    ) -> Decision<Accepted> {
        remittance::decide(
            &mut state.book,
            due.origin_id,
            &due.request,
            &state.corporate,
            partition,
            &state.limits,
        )
    }

    /// The events of a recharge's result: the one result of the remittance, or its
    /// command to the bank.
    pub(super) fn top_up_events(
        &self,
        arrived: &Arrived<Message>,
        result: &RechargeResult,
        outcome: &Outcome,
    ) -> Result<Vec<Event>, EncodersError> {
        if let Some(gone_on) = bank_result::kept::<GoneOn>(outcome) {
            let origin_id = gone_on.request_id.to_string();
            let command = Command {
                purpose: PURPOSE_REMITTANCE,
                id: id_of_command(PURPOSE_REMITTANCE, gone_on.request_id),
                origin_id: &origin_id,
                correlation_id: &gone_on.correlation_id,
                from: gone_on.payout.from,
                to: gone_on.payout.to,
                to_holder_name: Some(gone_on.payout.holder_name),
                amount: gone_on.amount,
                requested_at: gone_on.requested_at,
            };
            return Ok(vec![
                command.event(&self.encoders, arrived.traceparent.as_ref())?,
            ]);
        }
        self.answer_events(arrived, &result.message_id, outcome)
    }

    /// The result of a remittance that another message than its request ended.
    pub(super) fn answer_events(
        &self,
        arrived: &Arrived<Message>,
        causation_id: &str,
        outcome: &Outcome,
    ) -> Result<Vec<Event>, EncodersError> {
        let Some(answered) = bank_result::kept::<Answered>(outcome) else {
            return Ok(Vec::new());
        };
        let done = answered.done;
        let request_id = answered.request_id.to_string();
        let head = ResultHead::ended(&request_id, done, outcome);
        let sender_id = answered.sender_id.to_string();
        let record = RemittanceResult {
            message_id: head.message_id,
            request_id,
            correlation_id: answered.correlation_id,
            status: head.status,
            reason: head.reason,
            occurred_at: head.occurred_at,
            sender_id: sender_id.clone(),
            amount: answered.amount,
            // Refused: the fee went back with the amount.
            fee: if done { answered.fee } else { 0 },
            causation_id: Some(causation_id.to_owned()),
            topped_up: answered.topped_up,
        };
        let topic = Flow::Remittance.result_topic();
        Ok(vec![bank_result::event(
            &self.encoders,
            topic,
            &sender_id,
            arrived,
            &record,
        )?])
    }
}

/// Notes why remittances are rejected that had waited for their top-ups: lists find
/// them by it, which have no journal entry and no payout.
pub(super) async fn note_rejected(
    connection: &mut PgConnection,
    top_ups: &TopUps<RemittanceRequest>,
) -> Result<(), sqlx::Error> {
    let (ids, reasons): (Vec<Uuid>, Vec<&str>) = top_ups.rejected().unzip();
    if ids.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "UPDATE remittance.top_up t SET rejected_for = e.reason
           FROM unnest($1::uuid[], $2::text[]) AS e(id, reason)
          WHERE t.remittance_id = e.id",
    )
    .bind(ids)
    .bind(reasons)
    .execute(connection)
    .await?;
    Ok(())
}

/// The money is there, and the remittance goes to its bank.
fn gone_on(
    state: &mut State,
    due: Due<RemittanceRequest>,
    accepted: Accepted,
    payout: Payout,
    at: DateTime<Utc>,
) -> Verdict {
    let gone_on = GoneOn {
        request_id: due.origin_id,
        correlation_id: due.request.correlation_id.clone(),
        amount: due.request.amount,
        requested_at: due.request.requested_at,
        payout: KeptPayout::of(&payout),
    };
    state.begun.push(Begun {
        remittance_id: due.origin_id,
        correlation_id: due.request.correlation_id,
        amount: due.request.amount,
        accepted,
        payout,
        requested_at: due.requested_at,
    });
    let handled = Outcome::success(at).with_result(serde_json::json!(gone_on));
    Verdict::Handled(handled)
}
