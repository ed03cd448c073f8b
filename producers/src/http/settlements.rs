//! `GET` and `POST /settlements`, `GET /settlements/{id}`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::Row;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::App;
use super::caller::Caller;
use super::extract::{Asked, Body, Headers, Id};
use super::page::{Page, PageQuery};
use super::payouts::{self, Payout};
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
    caller: Caller,
    headers: Headers,
    Body(body): Body<SettlementBody>,
) -> Result<Response, Problem> {
    submit(&app, &caller, headers, body).await
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
    /// Cancels up to the cut, whole won.
    cancelled: i64,
    /// Whole won, VAT included, less what the cancels gave back.
    commission: i64,
    /// How many of the nets were paid out.
    payout_count: i64,
    /// Sum of what was paid out, whole won.
    net: i64,
    made_at: DateTime<Utc>,
}

/// Settlement runs, the latest requests first.
#[utoipa::path(
    get,
    path = "/settlements",
    tag = "franchises",
    params(PageQuery),
    responses((status = 200, description = "A page of runs", body = Page<Run>))
)]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Asked(page): Asked<PageQuery>,
) -> Result<Json<Page<Run>>, Problem> {
    let rows = sqlx::query(
        "SELECT run_id, cut_at, franchise_id, franchises, slips, gross, cancelled, commission,
                payouts, net, made_at
           FROM settlement.run
          WHERE run_id < coalesce($1, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
          ORDER BY run_id DESC LIMIT $2",
    )
    .bind(page.after_id()?)
    .bind(page.rows()?)
    .fetch_all(&app.pool)
    .await?;
    let runs = rows.iter().map(run).collect::<Result<Vec<_>, _>>()?;
    Ok(Json(page.page(runs, |run| run.run_id.to_string())?))
}

/// A settlement run with a page of its payouts, a franchise each.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct RunWithPayouts {
    #[serde(flatten)]
    run: Run,
    /// In the order of the franchises.
    payouts: Vec<Payout>,
    /// The cursor of the next page of payouts; null at the end.
    next: Option<String>,
}

/// A settlement run and its payouts.
#[utoipa::path(
    get,
    path = "/settlements/{id}",
    tag = "franchises",
    params(("id" = Uuid, Path, description = "The run: the id of its request"), PageQuery),
    responses(
        (status = 200, description = "The run", body = RunWithPayouts),
        (status = 404, description = "There is no such run", body = ProblemBody),
    )
)]
pub(crate) async fn find(
    State(app): State<Arc<App>>,
    Id(run_id): Id,
    Asked(page): Asked<PageQuery>,
) -> Result<Json<RunWithPayouts>, Problem> {
    let row = sqlx::query(
        "SELECT run_id, cut_at, franchise_id, franchises, slips, gross, cancelled, commission,
                payouts, net, made_at
           FROM settlement.run WHERE run_id = $1",
    )
    .bind(run_id)
    .fetch_optional(&app.pool)
    .await?
    .ok_or_else(unknown)?;
    let payouts = payouts::of_run(&app.pool, run_id, &page).await?;
    let payouts = page.page(payouts, |payout| payout.franchise_id.to_string())?;
    Ok(Json(RunWithPayouts {
        run: run(&row)?,
        payouts: payouts.items,
        next: payouts.next,
    }))
}

pub(crate) fn unknown() -> Problem {
    Problem::not_found("unknown_run", "there is no such run, or it is not made yet")
}

fn run(row: &PgRow) -> Result<Run, sqlx::Error> {
    Ok(Run {
        run_id: row.try_get(0)?,
        cut_at: row.try_get(1)?,
        franchise_id: row.try_get(2)?,
        franchises: row.try_get(3)?,
        slips: row.try_get(4)?,
        gross: row.try_get(5)?,
        cancelled: row.try_get(6)?,
        commission: row.try_get(7)?,
        payout_count: row.try_get(8)?,
        net: row.try_get(9)?,
        made_at: row.try_get(10)?,
    })
}
