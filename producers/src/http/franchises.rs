//! `GET /franchises/{id}/slips`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::Row;
use uuid::Uuid;

use super::App;
use super::extract::{Asked, Id};
use super::page::{Page, PageQuery};
use super::problem::{Problem, ProblemBody};

/// The slip of a payment.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Slip {
    payment_id: Uuid,
    member_id: Uuid,
    franchise_id: Uuid,
    order_ref: String,
    /// Whole won.
    gross: i64,
    /// The rate that was in force, in hundredths of a percent.
    commission_bps: i32,
    /// Whole won, VAT included.
    commission: i64,
    paid_at: DateTime<Utc>,
}

/// A franchise's slips, the latest payments first.
#[utoipa::path(
    get,
    path = "/franchises/{id}/slips",
    tag = "franchises",
    params(("id" = Uuid, Path, description = "The franchise"), PageQuery),
    responses(
        (status = 200, description = "A page of slips", body = Page<Slip>),
        (status = 404, description = "There is no such franchise", body = ProblemBody),
    )
)]
pub(crate) async fn slips(
    State(app): State<Arc<App>>,
    Id(franchise_id): Id,
    Asked(page): Asked<PageQuery>,
) -> Result<Json<Page<Slip>>, Problem> {
    let rows = sqlx::query(
        "SELECT payment_id, member_id, franchise_id, order_ref, gross, commission_bps, commission, paid_at
           FROM payment.slip
          WHERE franchise_id = $1
            AND payment_id < coalesce($2, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
          ORDER BY payment_id DESC LIMIT $3",
    )
    .bind(franchise_id)
    .bind(page.after_id()?)
    .bind(page.rows()?)
    .fetch_all(&app.pool)
    .await?;
    if rows.is_empty() {
        check_franchise(&app, franchise_id).await?;
    }
    let slips = rows
        .iter()
        .map(|row| {
            Ok(Slip {
                payment_id: row.try_get(0)?,
                member_id: row.try_get(1)?,
                franchise_id: row.try_get(2)?,
                order_ref: row.try_get(3)?,
                gross: row.try_get(4)?,
                commission_bps: row.try_get(5)?,
                commission: row.try_get(6)?,
                paid_at: row.try_get(7)?,
            })
        })
        .collect::<Result<Vec<_>, sqlx::Error>>()?;
    Ok(Json(page.page(slips, |slip| slip.payment_id.to_string())?))
}

async fn check_franchise(app: &App, franchise_id: Uuid) -> Result<(), Problem> {
    sqlx::query("SELECT 1 FROM membership.member WHERE member_id = $1 AND kind = 'FRANCHISE'")
        .bind(franchise_id)
        .fetch_optional(&app.pool)
        .await?
        .map(|_| ())
        .ok_or_else(|| Problem::not_found("unknown_franchise", "there is no such franchise"))
}
