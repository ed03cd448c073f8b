//! `GET /members/{id}/versions`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::super::App;
use super::super::extract::{Asked, Id};
use super::super::page::{Page, PageQuery};
use super::super::problem::{Problem, ProblemBody};
use super::unknown;

/// A member as it was for a time.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct MemberVersion {
    version: i64,
    name: String,
    email: Option<String>,
    area: String,
    address: String,
    /// `OPEN`, `CLOSING` or `CLOSED`.
    status: String,
    valid_from: DateTime<Utc>,
    /// Null for the version that holds.
    valid_to: Option<DateTime<Utc>>,
}

/// What a member was, the latest version first.
#[utoipa::path(
    get,
    path = "/members/{id}/versions",
    tag = "members",
    params(("id" = Uuid, Path, description = "The member"), PageQuery),
    responses(
        (status = 200, description = "A page of versions", body = Page<MemberVersion>),
        (status = 404, description = "There is no such member", body = ProblemBody),
    )
)]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Id(member_id): Id,
    Asked(page): Asked<PageQuery>,
) -> Result<Json<Page<MemberVersion>>, Problem> {
    let before = page.before_number()?;
    let rows = sqlx::query(
        "SELECT version, name, email, area, address, status, valid_from, valid_to
           FROM (SELECT version, name, email, area, address, status,
                        coalesce(changed_at, created_at) AS valid_from,
                        NULL::timestamptz AS valid_to
                   FROM membership.member WHERE member_id = $1
                  UNION ALL
                 SELECT version, name, email, area, address, status, valid_from, valid_to
                   FROM membership.member_version WHERE member_id = $1) v
          WHERE $2::bigint IS NULL OR version < $2
          ORDER BY version DESC LIMIT $3",
    )
    .bind(member_id)
    .bind(before)
    .bind(page.rows()?)
    .fetch_all(&app.pool)
    .await?;
    if rows.is_empty() && before.is_none() {
        return Err(unknown());
    }
    let versions = rows.iter().map(version).collect::<Result<Vec<_>, _>>()?;
    Ok(Json(
        page.page(versions, |version| version.version.to_string())?,
    ))
}

fn version(row: &PgRow) -> Result<MemberVersion, sqlx::Error> {
    Ok(MemberVersion {
        version: row.try_get(0)?,
        name: row.try_get(1)?,
        email: row.try_get(2)?,
        area: row.try_get(3)?,
        address: row.try_get(4)?,
        status: row.try_get(5)?,
        valid_from: row.try_get(6)?,
        valid_to: row.try_get(7)?,
    })
}
