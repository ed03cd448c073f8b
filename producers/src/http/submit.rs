//! What the `POST`s of all flows do.

use axum::Json;
use axum::http::header::LOCATION;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use mypay_idempotency::queue_log::{Known, Status};
use mypay_schemas::Flow;
use serde::Serialize;
use uuid::Uuid;

use super::App;
use super::caller::Caller;
use super::extract::Headers;
use super::problem::Problem;
use crate::accept::{Answer, Envelope};
use crate::request::Body;

/// A request that was taken in, now or before.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Accepted {
    /// The request's id: its `Idempotency-Key`.
    message_id: Uuid,
    /// `recharge`, `remittance`, `payment`, `settlement`, `firmbanking` or `closing`.
    #[schema(value_type = String, example = "recharge")]
    flow: &'static str,
    /// `ACCEPTED` until there is an outcome, then `COMPLETED` or `REJECTED`.
    #[schema(value_type = String, example = "ACCEPTED")]
    status: &'static str,
    /// `waiting`, `processing` or `done`, as in `queue_log`.
    #[schema(value_type = String, example = "waiting")]
    state: &'static str,
    /// Reason code of a rejection.
    reason: Option<String>,
    /// When it was put in the queue.
    created_timestamp: DateTime<Utc>,
    /// When a consumer handled it.
    processed_timestamp: Option<DateTime<Utc>>,
}

/// Makes a request durable and answers it.
pub(crate) async fn submit<B: Body>(
    app: &App,
    caller: &Caller,
    headers: Headers,
    body: B,
) -> Result<Response, Problem> {
    caller.check_owner(body.owner())?;
    let key = headers.key.ok_or_else(|| {
        Problem::malformed(
            "missing_idempotency_key",
            "send the header Idempotency-Key: a UUID version 7 of yours, the same each time you try",
        )
    })?;
    let acceptance = app.acceptance()?;
    let envelope = Envelope {
        message_id: acceptance.check_id(&key)?,
        correlation_id: headers.correlation_id,
        traceparent: headers.traceparent,
        requested_by: Some(caller.requested_by()),
    };
    let message_id = envelope.message_id;
    let submission = acceptance.prepare(envelope, body)?;
    match acceptance.accept(submission).await? {
        Answer::Accepted { at } => Ok(answer(
            StatusCode::ACCEPTED,
            accepted(B::FLOW, message_id, at),
        )),
        Answer::Known(known) => Ok(answer(StatusCode::OK, told(B::FLOW, message_id, known))),
        Answer::Conflict { flow } => Err(Problem::conflict(
            "id_conflict",
            format!(
                "the Idempotency-Key belongs to another request ({flow}): a new request needs a new key"
            ),
        )),
    }
}

fn answer(status: StatusCode, body: Accepted) -> Response {
    let location = format!("/requests/{}", body.message_id);
    let mut response = (status, Json(body)).into_response();
    if let Ok(location) = HeaderValue::try_from(location) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

fn accepted(flow: Flow, message_id: Uuid, at: DateTime<Utc>) -> Accepted {
    Accepted {
        message_id,
        flow: flow.name(),
        status: "ACCEPTED",
        state: state(Status::Waiting),
        reason: None,
        created_timestamp: at,
        processed_timestamp: None,
    }
}

fn told(flow: Flow, message_id: Uuid, known: Known) -> Accepted {
    let done = known.status == Status::Done;
    Accepted {
        message_id,
        flow: flow.name(),
        status: outcome(known.status, known.outcome.success).unwrap_or("ACCEPTED"),
        state: state(known.status),
        reason: known.outcome.reason,
        created_timestamp: known.created_at,
        processed_timestamp: done.then_some(known.outcome.at),
    }
}

/// The status as `queue_log` has it.
pub(crate) fn state(status: Status) -> &'static str {
    match status {
        Status::Waiting => "waiting",
        Status::Processing => "processing",
        Status::Done => "done",
    }
}

/// The status as the result event has it, once there is one.
pub(crate) fn outcome(status: Status, success: Option<bool>) -> Option<&'static str> {
    match (status, success) {
        (Status::Done, Some(true)) => Some("COMPLETED"),
        (Status::Done, Some(false)) => Some("REJECTED"),
        _ => None,
    }
}
