//! `GET /payments/{id}`, `POST` and `GET /payments/{id}/cancellations`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use sqlx::{PgPool, Row};
use uuid::Uuid;

use super::App;
use super::caller::Caller;
use super::extract::{Asked, Body, Headers, Id};
use super::page::{Page, PageQuery};
use super::problem::{Problem, ProblemBody};
use super::slips::{self, Cancel, Slip};
use super::submit::{Accepted, submit};
use crate::payment::{Cancellation, CancellationBody};

/// A payment's slip and its first cancels.
#[utoipa::path(
    get,
    path = "/payments/{id}",
    tag = "franchises",
    params(("id" = Uuid, Path, description = "The payment: the id of its request")),
    responses(
        (status = 200, description = "The slip", body = Slip),
        (status = 404, description = "There is no such payment", body = ProblemBody),
    )
)]
pub(crate) async fn payment(
    State(app): State<Arc<App>>,
    caller: Caller,
    Id(payment_id): Id,
) -> Result<Json<Slip>, Problem> {
    let slip = slips::find(&app.pool, payment_id)
        .await?
        .ok_or_else(unknown)?;
    if !caller.is_party(slip.member_id, slip.franchise_id) {
        return Err(unknown().denied("another_s_payment"));
    }
    Ok(Json(slip.seen_by(&caller)))
}

/// The cancels of a payment, in their order.
#[utoipa::path(
    get,
    path = "/payments/{id}/cancellations",
    tag = "franchises",
    params(
        ("id" = Uuid, Path, description = "The payment: the id of its request"),
        PageQuery,
    ),
    responses(
        (status = 200, description = "A page of cancels", body = Page<Cancel>),
        (status = 404, description = "There is no such payment", body = ProblemBody),
    )
)]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    Id(payment_id): Id,
    Asked(page): Asked<PageQuery>,
) -> Result<Json<Page<Cancel>>, Problem> {
    let payment = paid(&app.pool, &caller, payment_id)
        .await?
        .ok_or_else(unknown)?;
    let mut cancels = slips::page_of_payment(&app.pool, payment_id, &page).await?;
    if !caller.sees_commission_of(payment.franchise_id) {
        cancels.items.iter_mut().for_each(Cancel::hide_commission);
    }
    Ok(Json(cancels))
}

/// Cancels a payment, in whole or in part, whether it is settled or not.
///
/// What is refunded goes back to the member's money; how much of the payment may
/// be refunded is decided when the request is handled.
#[utoipa::path(
    post,
    path = "/payments/{id}/cancellations",
    tag = "requests",
    params(
        ("id" = Uuid, Path, description = "The payment: the id of its request"),
        ("Idempotency-Key" = String, Header, description = "UUID version 7, the same each time you try"),
    ),
    request_body = CancellationBody,
    responses(
        (status = 202, description = "Durably taken", body = Accepted),
        (status = 200, description = "Taken before: what is known of it", body = Accepted),
        (status = 400, description = "The id, or the form of the request", body = ProblemBody),
        (status = 404, description = "There is no such payment", body = ProblemBody),
        (status = 409, description = "The id belongs to another request, or the payment is still in progress", body = ProblemBody),
        (status = 422, description = "The content", body = ProblemBody),
        (status = 503, description = "Try again with the same key", body = ProblemBody),
    )
)]
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    caller: Caller,
    Id(payment_id): Id,
    headers: Headers,
    Body(asked): Body<CancellationBody>,
) -> Result<Response, Problem> {
    let payment = match paid(&app.pool, &caller, payment_id).await? {
        Some(payment) => payment,
        None => return Err(unmade(&app.pool, &caller, payment_id).await?),
    };
    let cancellation = Cancellation {
        payment_id: payment_id.to_string(),
        member_id: payment.member_id.to_string(),
        franchise_id: payment.franchise_id.to_string(),
        order_ref: payment.order_ref,
        asked,
    };
    submit(&app, &caller, headers, cancellation).await
}

/// What a slip says that never changes.
struct Paid {
    member_id: Uuid,
    franchise_id: Uuid,
    order_ref: String,
}

/// A payment that is made, and the caller's business.
async fn paid(pool: &PgPool, caller: &Caller, payment_id: Uuid) -> Result<Option<Paid>, Problem> {
    let row = sqlx::query(
        "SELECT member_id, franchise_id, order_ref FROM payment.slip WHERE payment_id = $1",
    )
    .bind(payment_id)
    .fetch_optional(pool)
    .await?;
    let Some(row) = row else {
        return Ok(None);
    };
    let paid = Paid {
        member_id: row.try_get(0)?,
        franchise_id: row.try_get(1)?,
        order_ref: row.try_get(2)?,
    };
    if !caller.is_party(paid.member_id, paid.franchise_id) {
        return Err(unknown().denied("another_s_payment"));
    }
    Ok(Some(paid))
}

/// What is said of a payment that is not made: in progress, as far as the caller may
/// know of it, else unknown.
///
/// Whose it is stands in its top-up, which is what payments wait for. One that no
/// consumer has seen yet is nobody's but our own people's.
async fn unmade(pool: &PgPool, caller: &Caller, payment_id: Uuid) -> Result<Problem, sqlx::Error> {
    let row = sqlx::query(
        "SELECT t.member_id, (t.request ->> 'franchise_id')::uuid
           FROM queue_log q
           LEFT JOIN payment.top_up t ON t.payment_id = q.message_id
          WHERE q.consumer = 'payment' AND q.message_id = $1 AND q.status <> 'done'",
    )
    .bind(payment_id)
    .fetch_optional(pool)
    .await?;
    let Some(row) = row else {
        return Ok(unknown());
    };
    // Nobody is a party to a payment of nobody, but our own people are to all.
    let (member_id, franchise_id): (Option<Uuid>, Option<Uuid>) =
        (row.try_get(0)?, row.try_get(1)?);
    if !caller.is_party(
        member_id.unwrap_or_default(),
        franchise_id.unwrap_or_default(),
    ) {
        return Ok(unknown().denied("another_s_payment"));
    }
    let detail = "the payment is not decided yet: cancel it once its result is there";
    Ok(Problem::conflict("payment_in_progress", detail))
}

fn unknown() -> Problem {
    let detail = "there is no such payment, or it was rejected, or nobody has seen it yet";
    Problem::not_found("unknown_payment", detail)
}
