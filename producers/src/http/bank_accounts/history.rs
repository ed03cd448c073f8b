//! `GET /members/{id}/bank-accounts`.

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
use super::registrant;

/// A bank account that is or was a member's registered one.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct AccountVersion {
    /// Counts the member's registered accounts, from 1.
    seq: i32,
    bank_code: String,
    account_number: String,
    holder_name: String,
    registered_at: DateTime<Utc>,
    /// Null for the one that holds.
    replaced_at: Option<DateTime<Utc>>,
}

/// A member's registered bank accounts, the latest first: the one that holds, and
/// those that it replaced.
#[utoipa::path(
    get,
    path = "/members/{id}/bank-accounts",
    tag = "members",
    params(("id" = Uuid, Path, description = "The member"), PageQuery),
    responses(
        (status = 200, description = "A page of accounts", body = Page<AccountVersion>),
        (status = 404, description = "There is no such member", body = ProblemBody),
    )
)]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Id(member_id): Id,
    Asked(page): Asked<PageQuery>,
) -> Result<Json<Page<AccountVersion>>, Problem> {
    let rows = sqlx::query(
        "WITH replaced AS (
             SELECT seq, bank_code, account_number, holder_name, registered_at, replaced_at
               FROM banking.replaced_account WHERE member_id = $1
         ), accounts AS (
             SELECT (SELECT coalesce(max(seq), 0) + 1 FROM replaced) AS seq, bank_code,
                    account_number, holder_name, registered_at, NULL::timestamptz AS replaced_at
               FROM banking.registered_account WHERE member_id = $1
              UNION ALL
             SELECT * FROM replaced
         )
         SELECT * FROM accounts WHERE $2::bigint IS NULL OR seq < $2
          ORDER BY seq DESC LIMIT $3",
    )
    .bind(member_id)
    .bind(page.before_number()?)
    .bind(page.rows()?)
    .fetch_all(&app.pool)
    .await?;
    if rows.is_empty() {
        registrant(&app.pool, member_id, "").await?;
    }
    let accounts = rows.iter().map(account).collect::<Result<Vec<_>, _>>()?;
    Ok(Json(page.page(accounts, |it| it.seq.to_string())?))
}

fn account(row: &PgRow) -> Result<AccountVersion, sqlx::Error> {
    Ok(AccountVersion {
        seq: row.try_get(0)?,
        bank_code: row.try_get(1)?,
        account_number: row.try_get(2)?,
        holder_name: row.try_get(3)?,
        registered_at: row.try_get(4)?,
        replaced_at: row.try_get(5)?,
    })
}
