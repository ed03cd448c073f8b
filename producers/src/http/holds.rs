//! Holds on a franchise's payouts: `GET` and `POST /franchises/{id}/holds`,
//! `POST /franchises/{id}/holds/release`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::Row;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::App;
use super::caller::Caller;
use super::extract::{Asked, Body, Id};
use super::franchises::check_franchise;
use super::page::{Page, PageQuery, at_instant};
use super::problem::{Problem, ProblemBody};
use crate::request::text;

const REASON_MAX: usize = 200;

/// Why a hold is placed or released; by whom, the token says.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct HoldBody {
    #[schema(example = "disputed deliveries", min_length = 1, max_length = 200)]
    reason: String,
}

impl HoldBody {
    pub(in crate::http) fn check(&self) -> Result<String, Problem> {
        Ok(text("reason", &self.reason, REASON_MAX)?)
    }
}

/// A time in which a franchise's payouts are held back.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Hold {
    hold_id: Uuid,
    franchise_id: Uuid,
    placed_at: DateTime<Utc>,
    placed_by: String,
    reason: String,
    /// Null while it is in force.
    released_at: Option<DateTime<Utc>>,
    released_by: Option<String>,
    release_reason: Option<String>,
}

/// Holds a franchise's payouts back: runs settle its slips, and keep the net owed.
///
/// A payout that is at the bank already is not called back.
#[utoipa::path(
    post,
    path = "/franchises/{id}/holds",
    tag = "franchises",
    params(("id" = Uuid, Path, description = "The franchise")),
    request_body = HoldBody,
    responses(
        (status = 201, description = "On hold", body = Hold),
        (status = 200, description = "On hold before: that hold", body = Hold),
        (status = 404, description = "There is no such franchise", body = ProblemBody),
        (status = 409, description = "`hold_released`: one was in force, and was released at this very moment", body = ProblemBody),
        (status = 422, description = "The content", body = ProblemBody),
    )
)]
pub(crate) async fn place(
    State(app): State<Arc<App>>,
    caller: Caller,
    Id(franchise_id): Id,
    Body(body): Body<HoldBody>,
) -> Result<(StatusCode, Json<Hold>), Problem> {
    let reason = body.check()?;
    check_franchise(&app.pool, franchise_id).await?;
    let placed = sqlx::query(
        "INSERT INTO settlement.hold (hold_id, franchise_id, placed_at, placed_by, reason)
         VALUES ($1, $2, now(), $3, $4)
         ON CONFLICT (franchise_id) WHERE released_at IS NULL DO NOTHING",
    )
    .bind(Uuid::now_v7())
    .bind(franchise_id)
    .bind(caller.name())
    .bind(reason)
    .execute(&app.pool)
    .await?
    .rows_affected();
    let hold = in_force(&app, franchise_id).await?;
    let hold = hold.ok_or_else(|| {
        Problem::conflict("hold_released", "the hold was released at this very moment")
    })?;
    let status = if placed == 1 {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    Ok((status, Json(hold)))
}

/// Releases the hold on a franchise's payouts: the next run, or a retry, pays
/// what is owed.
#[utoipa::path(
    post,
    path = "/franchises/{id}/holds/release",
    tag = "franchises",
    params(("id" = Uuid, Path, description = "The franchise")),
    request_body = HoldBody,
    responses(
        (status = 200, description = "Released", body = Hold),
        (status = 404, description = "There is no such franchise, or no hold in force", body = ProblemBody),
        (status = 422, description = "The content", body = ProblemBody),
    )
)]
pub(crate) async fn release(
    State(app): State<Arc<App>>,
    caller: Caller,
    Id(franchise_id): Id,
    Body(body): Body<HoldBody>,
) -> Result<Json<Hold>, Problem> {
    let reason = body.check()?;
    let row = sqlx::query(
        "UPDATE settlement.hold SET released_at = now(), released_by = $2, release_reason = $3
          WHERE franchise_id = $1 AND released_at IS NULL
         RETURNING hold_id, franchise_id, placed_at, placed_by, reason, released_at, released_by,
                   release_reason",
    )
    .bind(franchise_id)
    .bind(caller.name())
    .bind(reason)
    .fetch_optional(&app.pool)
    .await?
    .ok_or_else(|| Problem::not_found("no_hold", "the franchise is not on hold"))?;
    Ok(Json(hold(&row)?))
}

/// A franchise's holds, the latest first.
#[utoipa::path(
    get,
    path = "/franchises/{id}/holds",
    tag = "franchises",
    params(("id" = Uuid, Path, description = "The franchise"), PageQuery),
    responses(
        (status = 200, description = "A page of holds", body = Page<Hold>),
        (status = 404, description = "There is no such franchise", body = ProblemBody),
    )
)]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Id(franchise_id): Id,
    Asked(page): Asked<PageQuery>,
) -> Result<Json<Page<Hold>>, Problem> {
    let (after, id) = page.after_instant()?.unzip();
    let rows = sqlx::query(
        "SELECT hold_id, franchise_id, placed_at, placed_by, reason, released_at, released_by,
                release_reason
           FROM settlement.hold
          WHERE franchise_id = $1
            AND ($2::timestamptz IS NULL OR (placed_at, hold_id) < ($2, $3::uuid))
          ORDER BY placed_at DESC, hold_id DESC LIMIT $4",
    )
    .bind(franchise_id)
    .bind(after)
    .bind(id)
    .bind(page.rows()?)
    .fetch_all(&app.pool)
    .await?;
    if rows.is_empty() {
        check_franchise(&app.pool, franchise_id).await?;
    }
    let holds = rows.iter().map(hold).collect::<Result<Vec<_>, _>>()?;
    Ok(Json(page.page(holds, |hold| {
        at_instant(hold.placed_at, hold.hold_id)
    })?))
}

async fn in_force(app: &App, franchise_id: Uuid) -> Result<Option<Hold>, sqlx::Error> {
    sqlx::query(
        "SELECT hold_id, franchise_id, placed_at, placed_by, reason, released_at, released_by,
                release_reason
           FROM settlement.hold WHERE franchise_id = $1 AND released_at IS NULL",
    )
    .bind(franchise_id)
    .fetch_optional(&app.pool)
    .await?
    .map(|row| hold(&row))
    .transpose()
}

fn hold(row: &PgRow) -> Result<Hold, sqlx::Error> {
    Ok(Hold {
        hold_id: row.try_get(0)?,
        franchise_id: row.try_get(1)?,
        placed_at: row.try_get(2)?,
        placed_by: row.try_get(3)?,
        reason: row.try_get(4)?,
        released_at: row.try_get(5)?,
        released_by: row.try_get(6)?,
        release_reason: row.try_get(7)?,
    })
}
