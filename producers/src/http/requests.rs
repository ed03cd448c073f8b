//! `GET /requests/{id}`: how far a request has come.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, NaiveDate, Utc};
use mypay_schemas::Flow;
use mypay_schemas::firmbanking::{PURPOSE_CLOSING, id_of_command};
use serde::Serialize;
use sqlx::{PgPool, Row};
use uuid::Uuid;

use super::App;
use super::caller::Caller;
use super::extract::Id;
use super::problem::{Problem, ProblemBody};

/// How far a request has come, as `queue_log` has it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct RequestState {
    message_id: Uuid,
    /// `recharge`, `remittance`, `payment`, `settlement`, `firmbanking` or `closing`.
    flow: String,
    /// `waiting`, `processing` or `done`.
    status: String,
    /// `success` or `failure`, once it is done.
    processed_status: Option<String>,
    /// `COMPLETED` or `REJECTED`, as the result event says.
    outcome: Option<&'static str>,
    /// Reason code of a rejection.
    reason: Option<String>,
    /// When it was put in the queue.
    created_timestamp: DateTime<Utc>,
    /// When a consumer handled it.
    processed_timestamp: Option<DateTime<Utc>>,
    /// How often a consumer has claimed it.
    attempts: i32,
    /// Null once it is done.
    waits_for: Option<WaitsFor>,
    #[serde(skip)]
    requested_by: Option<String>,
}

/// What a request waits for.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct WaitsFor {
    /// `relay`: it is durable, and Kafka does not take it in at the moment.
    /// `consumer`: it is on its topic. `firmbanking`: its command to the bank is
    /// on its topic. `bank`: a bank has yet to answer. `top_up`: what the balance
    /// lacks is being recharged first; `command` is the recharge's, once it is made.
    #[schema(value_type = String, example = "bank")]
    step: &'static str,
    /// The command that the bank has yet to answer.
    command: Option<Command>,
}

/// A command to a bank.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Command {
    firmbanking_id: Uuid,
    bank_code: String,
    /// `pending`, `sending`, `unknown`, `done`, `refused` or `manual`.
    state: String,
    business_date: Option<NaiveDate>,
    /// Our number of the command: with bank and business date it names it to
    /// the bank.
    transaction_number: Option<i32>,
    calls: i32,
    inquiries: i32,
    /// When the bank is called or asked next.
    due_at: DateTime<Utc>,
    reason: Option<String>,
}

/// How far a request has come, and what it waits for.
///
/// A member or franchise is told of the requests that it has made here: one that
/// came by a topic is our own people's to look at.
#[utoipa::path(
    get,
    path = "/requests/{id}",
    tag = "requests",
    params(("id" = Uuid, Path, description = "The request's id: its `Idempotency-Key`")),
    responses(
        (status = 200, description = "The request", body = RequestState),
        (status = 404, description = "There is no such request", body = ProblemBody),
    )
)]
pub(crate) async fn find(
    State(app): State<Arc<App>>,
    caller: Caller,
    Id(id): Id,
) -> Result<Json<RequestState>, Problem> {
    let mut state = read(&app.pool, id).await?.ok_or_else(unknown)?;
    if !caller.has_requested(state.requested_by.as_deref()) {
        return Err(unknown().denied("another_s_request"));
    }
    state.waits_for = match &*state.status {
        "waiting" => {
            let held =
                !app.reaches_kafka() && in_outbox(&app.pool, state.created_timestamp).await?;
            let step = if held { "relay" } else { "consumer" };
            Some(WaitsFor {
                step,
                command: None,
            })
        }
        "processing" => {
            let top_up = open_top_up(&app.pool, &state.flow, id).await?;
            let command = command(&app.pool, top_up.unwrap_or(id)).await?;
            let step = match &command {
                _ if top_up.is_some() => "top_up",
                Some(_) => "bank",
                None => "firmbanking",
            };
            Some(WaitsFor { step, command })
        }
        _ => None,
    };
    Ok(Json(state))
}

fn unknown() -> Problem {
    let detail = "there is no such request, or it is older than what is kept";
    Problem::not_found("unknown_request", detail)
}

async fn read(pool: &PgPool, id: Uuid) -> Result<Option<RequestState>, sqlx::Error> {
    // A consumer also claims the banks' answers under its name; those are no
    // requests. Where a client gave one id to two flows, by writing to the
    // topics itself, the first counts.
    let row = sqlx::query(
        "SELECT q.consumer, q.status::text, q.processed_status::text, q.reason,
                q.created_timestamp, q.processed_timestamp, q.attempts, q.requested_by
           FROM queue_log q
           JOIN unnest($2::text[], $3::text[]) AS f(flow, topic)
             ON f.flow = q.consumer AND coalesce(q.topic, f.topic) = f.topic
          WHERE q.consumer = ANY($2) AND q.message_id = $1
          ORDER BY q.created_timestamp LIMIT 1",
    )
    .bind(id)
    .bind(Flow::ALL.map(Flow::name).to_vec())
    .bind(Flow::ALL.map(Flow::request_topic).to_vec())
    .fetch_optional(pool)
    .await?;
    row.map(|row| {
        let processed_status: Option<String> = row.try_get(2)?;
        Ok(RequestState {
            message_id: id,
            flow: row.try_get(0)?,
            status: row.try_get(1)?,
            outcome: processed_status.as_deref().map(|status| match status {
                "success" => "COMPLETED",
                _ => "REJECTED",
            }),
            processed_status,
            reason: row.try_get(3)?,
            created_timestamp: row.try_get(4)?,
            processed_timestamp: row.try_get(5)?,
            attempts: row.try_get(6)?,
            waits_for: None,
            requested_by: row.try_get(7)?,
        })
    })
    .transpose()
}

/// Whether a request of that instant may still be in an outbox.
///
/// Each writer's outbox is in the order of its commits: so whether its oldest
/// message is younger than the request tells it, with one look a writer.
async fn in_outbox(pool: &PgPool, created: DateTime<Utc>) -> Result<bool, sqlx::Error> {
    sqlx::query(
        "SELECT EXISTS (
            SELECT 1 FROM outbox_writer w
             CROSS JOIN LATERAL (
                   SELECT created_at FROM outbox o
                    WHERE o.writer = w.writer ORDER BY seq LIMIT 1) oldest
             WHERE oldest.created_at <= $1)",
    )
    .bind(created)
    .fetch_one(pool)
    .await?
    .try_get(0)
}

/// The recharge that a request waits for before it goes on.
async fn open_top_up(pool: &PgPool, flow: &str, id: Uuid) -> Result<Option<Uuid>, sqlx::Error> {
    let row = sqlx::query(
        "SELECT recharge_id FROM remittance.top_up
          WHERE remittance_id = $1 AND state = 'AWAITS_TOP_UP' AND $2 = 'remittance'
          UNION ALL
         SELECT recharge_id FROM payment.top_up
          WHERE payment_id = $1 AND state = 'AWAITS_TOP_UP' AND $2 = 'payment'",
    )
    .bind(id)
    .bind(flow)
    .fetch_optional(pool)
    .await?;
    row.map(|row| row.try_get(0)).transpose()
}

/// The command to a bank that a request has brought about, or is.
async fn command(pool: &PgPool, id: Uuid) -> Result<Option<Command>, sqlx::Error> {
    let row = sqlx::query(
        "SELECT firmbanking_id, from_bank, state, business_date, transaction_number,
                calls, inquiries, due_at, reason
           FROM banking.firmbanking
          WHERE firmbanking_id IN ($1, $2) OR origin_id = $1
          ORDER BY created_at DESC LIMIT 1",
    )
    .bind(id)
    // A closing's command names what it pays out, not the request.
    .bind(id_of_command(PURPOSE_CLOSING, id))
    .fetch_optional(pool)
    .await?;
    row.map(|row| {
        Ok(Command {
            firmbanking_id: row.try_get(0)?,
            bank_code: row.try_get(1)?,
            state: row.try_get(2)?,
            business_date: row.try_get(3)?,
            transaction_number: row.try_get(4)?,
            calls: row.try_get(5)?,
            inquiries: row.try_get(6)?,
            due_at: row.try_get(7)?,
            reason: row.try_get(8)?,
        })
    })
    .transpose()
}
