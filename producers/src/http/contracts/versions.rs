//! `GET /contracts/{bank_code}/versions`: what was agreed with a bank, and when.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, NaiveDate, Utc};
use serde::Serialize;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, PgPool, Row};

use super::super::App;
use super::super::extract::{Asked, Named};
use super::super::page::{Page, PageQuery};
use super::super::problem::{Problem, ProblemBody};

/// A contract as it was for a time.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct ContractVersion {
    /// From 1 on.
    version: i32,
    bank_name: String,
    corporate_account: String,
    /// `ACTIVE` or `SUSPENDED`.
    status: String,
    expires_on: NaiveDate,
    /// Whole won a command.
    fee: i64,
    valid_from: DateTime<Utc>,
    /// Null for the version that holds.
    valid_to: Option<DateTime<Utc>>,
}

/// What was agreed with a bank, the latest first.
#[utoipa::path(
    get,
    path = "/contracts/{bank_code}/versions",
    tag = "contracts",
    params(("bank_code" = String, Path, description = "Three digits", example = "004"), PageQuery),
    responses(
        (status = 200, description = "A page of versions", body = Page<ContractVersion>),
        (status = 404, description = "There is no contract with that bank", body = ProblemBody),
    )
)]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Named(bank_code): Named,
    Asked(page): Asked<PageQuery>,
) -> Result<Json<Page<ContractVersion>>, Problem> {
    let rows = sqlx::query(
        "SELECT * FROM (
             SELECT version, bank_name, corporate_account, status, expires_on, fee, valid_from,
                    lead(valid_from) OVER (ORDER BY version)
               FROM banking.contract_version WHERE bank_code = $1) v
          WHERE $2::bigint IS NULL OR version < $2
          ORDER BY version DESC LIMIT $3",
    )
    .bind(&bank_code)
    .bind(page.before_number()?)
    .bind(page.rows()?)
    .fetch_all(&app.pool)
    .await?;
    if rows.is_empty() {
        check_contract(&app.pool, &bank_code).await?;
    }
    let versions = rows.iter().map(version).collect::<Result<Vec<_>, _>>()?;
    Ok(Json(page.page(versions, |it| it.version.to_string())?))
}

/// An error where there is no contract with a bank.
pub(super) async fn check_contract(pool: &PgPool, bank_code: &str) -> Result<(), Problem> {
    sqlx::query("SELECT 1 FROM banking.contract WHERE bank_code = $1")
        .bind(bank_code)
        .fetch_optional(pool)
        .await?
        .map(|_| ())
        .ok_or_else(|| {
            Problem::not_found("unknown_contract", "there is no contract with that bank")
        })
}

/// Keeps the contract as it is now, unless it is as it was.
///
/// The contract's row is locked by whoever has just written it, so versions are
/// given one after the other, and their instants rise with them.
pub(super) async fn append(
    connection: &mut PgConnection,
    bank_code: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO banking.contract_version
                (bank_code, version, bank_name, corporate_account, status, expires_on, fee, valid_from)
         SELECT c.bank_code, coalesce(v.version, 0) + 1, c.bank_name, c.corporate_account, c.status,
                c.expires_on, c.fee,
                greatest(clock_timestamp(), v.valid_from + interval '1 microsecond')
           FROM banking.contract c
           LEFT JOIN LATERAL (
                SELECT * FROM banking.contract_version
                 WHERE bank_code = c.bank_code ORDER BY version DESC LIMIT 1) v ON true
          WHERE c.bank_code = $1
            AND (c.bank_name, c.corporate_account, c.status, c.expires_on, c.fee)
                IS DISTINCT FROM
                (v.bank_name, v.corporate_account, v.status, v.expires_on, v.fee)",
    )
    .bind(bank_code)
    .execute(connection)
    .await?;
    Ok(())
}

fn version(row: &PgRow) -> Result<ContractVersion, sqlx::Error> {
    Ok(ContractVersion {
        version: row.try_get(0)?,
        bank_name: row.try_get(1)?,
        corporate_account: row.try_get(2)?,
        status: row.try_get(3)?,
        expires_on: row.try_get(4)?,
        fee: row.try_get(5)?,
        valid_from: row.try_get(6)?,
        valid_to: row.try_get(7)?,
    })
}
