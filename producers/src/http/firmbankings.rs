//! `POST /firmbankings`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use uuid::Uuid;

use super::App;
use super::caller::Caller;
use super::extract::{Body, Headers};
use super::problem::{Problem, ProblemBody};
use super::submit::{Accepted, submit};
use crate::firmbanking::FirmbankingBody;
use crate::request::Refusal;

/// Move money of ours from one bank account to another.
#[utoipa::path(
    post,
    path = "/firmbankings",
    tag = "requests",
    params(("Idempotency-Key" = String, Header, description = "UUID version 7, the same each time you try")),
    request_body = FirmbankingBody,
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
    Body(body): Body<FirmbankingBody>,
) -> Result<Response, Problem> {
    check_named(&app, &headers, &body).await?;
    submit(&app, &caller, headers, body).await
}

/// Refuses what the consumer would reject: nothing goes to somebody's account before
/// its bank was asked whose it is.
async fn check_named(app: &App, headers: &Headers, body: &FirmbankingBody) -> Result<(), Problem> {
    let Some(to) = body.nameless_receiver() else {
        return Ok(());
    };
    // A key that is none is refused for that.
    let key = headers.key.as_deref().map(Uuid::try_parse);
    let Some(Ok(message_id)) = key else {
        return Ok(());
    };
    let passes = sqlx::query_scalar::<_, bool>(
        "SELECT EXISTS (SELECT FROM banking.contract
                         WHERE bank_code = $1 AND corporate_account = $2)
                -- What was taken before is told, whosever the account is by now.
                OR EXISTS (SELECT FROM queue_log WHERE message_id = $3)",
    )
    .bind(to.bank_code)
    .bind(to.account_number)
    .bind(message_id)
    .fetch_one(&app.pool)
    .await?;
    if passes {
        return Ok(());
    }
    let detail = "whose account `to` is: its bank is asked before money goes there";
    Err(Refusal::of_field("missing_holder_name", "to_holder_name", detail).into())
}
