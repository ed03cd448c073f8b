//! `GET` and `POST /remittances`, `GET /members/{id}/remittances`.

pub(crate) mod list;

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;

use super::App;
use super::caller::Caller;
use super::extract::{Body, Headers};
use super::problem::{Problem, ProblemBody};
use super::submit::{Accepted, submit};
use crate::remittance::RemittanceBody;

/// Remit my money to a member or to an account at a bank.
#[utoipa::path(
    post,
    path = "/remittances",
    tag = "requests",
    params(("Idempotency-Key" = String, Header, description = "UUID version 7, the same each time you try")),
    request_body = RemittanceBody,
    responses(
        (status = 202, description = "Durably taken", body = Accepted),
        (status = 200, description = "Taken before: what is known of it", body = Accepted),
        (status = 400, description = "The id, or the form of the request", body = ProblemBody),
        (status = 409, description = "The id belongs to another request", body = ProblemBody),
        (status = 422, description = "The content", body = ProblemBody),
        (status = 503, description = "Try again with the same key", body = ProblemBody),
    )
)]
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: Headers,
    Body(body): Body<RemittanceBody>,
) -> Result<Response, Problem> {
    submit(&app, &caller, headers, body).await
}
