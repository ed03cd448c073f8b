//! `POST /members`, `GET` and `PATCH /members/{id}`, `GET /members?area=..`,
//! `GET /members/{id}/versions`, `POST` and `GET /members/{id}/closing`.

pub(crate) mod closing;
pub(crate) mod create;
mod etag;
pub(crate) mod modify;
pub(crate) mod versions;

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::App;
use super::extract::{Asked, Id};
use super::page::{Page, PageQuery};
use super::problem::{Problem, ProblemBody};
use crate::written::composed;

/// A member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub(crate) struct Member {
    member_id: Uuid,
    /// `CUSTOMER` or `FRANCHISE`.
    kind: String,
    name: String,
    email: Option<String>,
    area: String,
    address: String,
    /// `OPEN`, `CLOSING` (what is left is on its way to the bank account) or `CLOSED`.
    status: String,
    created_at: DateTime<Utc>,
    /// Raised with every change; also the `ETag`.
    version: i64,
    /// When this version began to hold.
    changed_at: DateTime<Utc>,
}

const COLUMNS: &str = "member_id, kind, name, email, area, address, status, created_at, version,
                       coalesce(changed_at, created_at)";

/// Finds a member. The `ETag` is the version, for a change with `If-Match`.
#[utoipa::path(
    get,
    path = "/members/{id}",
    tag = "members",
    params(("id" = Uuid, Path, description = "The member")),
    responses(
        (status = 200, description = "The member", body = Member),
        (status = 404, description = "There is no such member", body = ProblemBody),
    )
)]
pub(crate) async fn find(State(app): State<Arc<App>>, Id(id): Id) -> Result<Response, Problem> {
    let mut connection = app.pool.acquire().await?;
    let member = one(&mut connection, id).await?;
    Ok(etag::tagged(member.version, Json(member)))
}

/// Which members.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct AreaQuery {
    /// Only those of this area.
    area: Option<String>,
}

/// The members, of an area or all.
#[utoipa::path(
    get,
    path = "/members",
    tag = "members",
    params(AreaQuery, PageQuery),
    responses((status = 200, description = "A page of members", body = Page<Member>))
)]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Asked(AreaQuery { area }): Asked<AreaQuery>,
    Asked(page): Asked<PageQuery>,
) -> Result<Json<Page<Member>>, Problem> {
    // Two statements, because one plan cannot be right for both.
    let query = match area {
        Some(area) => sqlx::query(sqlx::AssertSqlSafe(format!(
            "SELECT {COLUMNS} FROM membership.member
              WHERE area = $3 AND member_id > coalesce($1, '00000000-0000-0000-0000-000000000000')
              ORDER BY member_id LIMIT $2"
        )))
        .bind(page.after_id()?)
        .bind(page.rows()?)
        .bind(composed(&area)),
        None => sqlx::query(sqlx::AssertSqlSafe(format!(
            "SELECT {COLUMNS} FROM membership.member
              WHERE member_id > coalesce($1, '00000000-0000-0000-0000-000000000000')
              ORDER BY member_id LIMIT $2"
        )))
        .bind(page.after_id()?)
        .bind(page.rows()?),
    };
    let rows = query.fetch_all(&app.pool).await?;
    let members = rows.iter().map(member).collect::<Result<Vec<_>, _>>()?;
    Ok(Json(
        page.page(members, |member| member.member_id.to_string())?,
    ))
}

async fn one(connection: &mut PgConnection, id: Uuid) -> Result<Member, Problem> {
    read(connection, id, "").await
}

/// Finds a member, and keeps others from changing it until the commit.
async fn locked(connection: &mut PgConnection, id: Uuid) -> Result<Member, Problem> {
    read(connection, id, "FOR NO KEY UPDATE").await
}

async fn read(connection: &mut PgConnection, id: Uuid, lock: &str) -> Result<Member, Problem> {
    let select = format!("SELECT {COLUMNS} FROM membership.member WHERE member_id = $1 {lock}");
    let row = sqlx::query(sqlx::AssertSqlSafe(select))
        .bind(id)
        .fetch_optional(connection)
        .await?
        .ok_or_else(unknown)?;
    Ok(member(&row)?)
}

/// The answer where a member is closed, or being closed.
pub(crate) fn closed() -> Problem {
    Problem::invalid(
        "member_closed",
        "the member is closed, or being closed: GET /members/{id} says which",
    )
}

/// The answer where there is no such member.
pub(crate) fn unknown() -> Problem {
    Problem::not_found("unknown_member", "there is no such member")
}

fn member(row: &PgRow) -> Result<Member, sqlx::Error> {
    Ok(Member {
        member_id: row.try_get(0)?,
        kind: row.try_get(1)?,
        name: row.try_get(2)?,
        email: row.try_get(3)?,
        area: row.try_get(4)?,
        address: row.try_get(5)?,
        status: row.try_get(6)?,
        created_at: row.try_get(7)?,
        version: row.try_get(8)?,
        changed_at: row.try_get(9)?,
    })
}
