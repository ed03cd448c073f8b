//! `GET /franchises/{id}/slips`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use sqlx::PgPool;
use uuid::Uuid;

use super::App;
use super::extract::{Asked, Id};
use super::page::{Page, PageQuery, no_cursor};
use super::problem::{Problem, ProblemBody};
use super::slips::{self, Ends, Slip};

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
    let ends = Ends::parse(page.place()?.as_deref()).ok_or_else(no_cursor)?;
    let slips = slips::page_of_franchise(&app.pool, franchise_id, ends, page.rows()?).await?;
    if slips.items.is_empty() {
        check_franchise(&app.pool, franchise_id).await?;
    }
    Ok(Json(slips))
}

/// An error where there is no such franchise.
pub(crate) async fn check_franchise(pool: &PgPool, franchise_id: Uuid) -> Result<(), Problem> {
    sqlx::query("SELECT 1 FROM membership.member WHERE member_id = $1 AND kind = 'FRANCHISE'")
        .bind(franchise_id)
        .fetch_optional(pool)
        .await?
        .map(|_| ())
        .ok_or_else(|| Problem::not_found("unknown_franchise", "there is no such franchise"))
}
