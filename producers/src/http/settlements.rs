//! `POST /settlements`, `GET /settlements/{id}`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::{PgPool, Row};
use uuid::Uuid;

use super::App;
use super::extract::{Body, Headers, Id};
use super::problem::{Problem, ProblemBody};
use super::submit::{Accepted, submit};
use crate::settlement::SettlementBody;

/// Settle franchises up to a cut.
#[utoipa::path(
    post,
    path = "/settlements",
    tag = "requests",
    params(("Idempotency-Key" = String, Header, description = "UUID version 7, the same each time you try")),
    request_body = SettlementBody,
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
    headers: Headers,
    Body(body): Body<SettlementBody>,
) -> Result<Response, Problem> {
    submit(&app, headers, body).await
}

/// A settlement run.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Run {
    run_id: Uuid,
    /// Slips made up to this instant belong to it.
    cut_at: DateTime<Utc>,
    /// The one franchise that was settled; null for all.
    franchise_id: Option<Uuid>,
    /// Franchises with a net.
    franchises: i64,
    slips: i64,
    /// Whole won.
    gross: i64,
    /// Whole won, VAT included.
    commission: i64,
    /// How many of the nets were paid out.
    payout_count: i64,
    /// Sum of what was paid out, whole won.
    net: i64,
    made_at: DateTime<Utc>,
    /// A franchise each.
    payouts: Vec<Payout>,
}

/// A franchise's part of a run.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Payout {
    payout_id: Uuid,
    franchise_id: Uuid,
    slips: i64,
    /// Whole won.
    gross: i64,
    /// Whole won, VAT included.
    commission: i64,
    /// Owed from earlier runs and taken in here, whole won.
    owed: i64,
    /// Paid, or carried to the next run, whole won.
    net: i64,
    /// `CARRIED`, `AWAITS_BANK`, `COMPLETED` or `REFUSED`.
    state: String,
    to_bank: Option<String>,
    to_account: Option<String>,
    changed_at: DateTime<Utc>,
}

/// A settlement run and its payouts.
#[utoipa::path(
    get,
    path = "/settlements/{id}",
    tag = "franchises",
    params(("id" = Uuid, Path, description = "The run: the id of its request")),
    responses(
        (status = 200, description = "The run", body = Run),
        (status = 404, description = "There is no such run", body = ProblemBody),
    )
)]
pub(crate) async fn find(
    State(app): State<Arc<App>>,
    Id(run_id): Id,
) -> Result<Json<Run>, Problem> {
    let row = sqlx::query(
        "SELECT cut_at, franchise_id, franchises, slips, gross, commission, payouts, net, made_at
           FROM settlement.run WHERE run_id = $1",
    )
    .bind(run_id)
    .fetch_optional(&app.pool)
    .await?
    .ok_or_else(|| {
        Problem::not_found("unknown_run", "there is no such run, or it is not made yet")
    })?;
    Ok(Json(Run {
        run_id,
        cut_at: row.try_get(0)?,
        franchise_id: row.try_get(1)?,
        franchises: row.try_get(2)?,
        slips: row.try_get(3)?,
        gross: row.try_get(4)?,
        commission: row.try_get(5)?,
        payout_count: row.try_get(6)?,
        net: row.try_get(7)?,
        made_at: row.try_get(8)?,
        payouts: payouts(&app.pool, run_id).await?,
    }))
}

async fn payouts(pool: &PgPool, run_id: Uuid) -> Result<Vec<Payout>, sqlx::Error> {
    sqlx::query(
        "SELECT payout_id, franchise_id, slips, gross, commission, owed, net, state,
                to_bank, to_account, changed_at
           FROM settlement.payout WHERE run_id = $1 ORDER BY franchise_id",
    )
    .bind(run_id)
    .fetch_all(pool)
    .await?
    .iter()
    .map(|row| {
        Ok(Payout {
            payout_id: row.try_get(0)?,
            franchise_id: row.try_get(1)?,
            slips: row.try_get(2)?,
            gross: row.try_get(3)?,
            commission: row.try_get(4)?,
            owed: row.try_get(5)?,
            net: row.try_get(6)?,
            state: row.try_get(7)?,
            to_bank: row.try_get(8)?,
            to_account: row.try_get(9)?,
            changed_at: row.try_get(10)?,
        })
    })
    .collect()
}
