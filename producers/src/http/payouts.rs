//! `GET /franchises/{id}/payouts`, and the operator's retry.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::postgres::PgRow;
use sqlx::{PgPool, Row};
use uuid::Uuid;

use super::App;
use super::caller::Caller;
use super::extract::{Asked, Headers, Id};
use super::franchises::check_franchise;
use super::page::{Page, PageQuery};
use super::problem::{Problem, ProblemBody};
use super::submit::{Accepted, submit};
use crate::settlement::Retry;

/// A franchise's part of a run.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Payout {
    payout_id: Uuid,
    run_id: Uuid,
    pub(crate) franchise_id: Uuid,
    slips: i64,
    /// Whole won.
    gross: i64,
    cancels: i64,
    /// What they refunded, whole won: taken off the gross.
    cancelled: i64,
    /// Whole won, VAT included, less what the cancels gave back; below zero where
    /// they gave back more.
    commission: i64,
    /// Owed from earlier runs and taken in here, whole won.
    owed: i64,
    /// Paid, or carried to the next run, whole won.
    net: i64,
    /// `CARRIED`, `AWAITS_BANK`, `COMPLETED` or `REFUSED`.
    state: String,
    /// Why it is carried: `not_positive`, `on_hold` or `no_account`.
    carried_for: Option<String>,
    to_bank: Option<String>,
    to_account: Option<String>,
    /// The command to the bank; null where it is carried.
    firmbanking_id: Option<Uuid>,
    /// Why the bank did not pay it: of one that is `REFUSED`, and null where it is older
    /// than what `queue_log` keeps.
    reason: Option<String>,
    changed_at: DateTime<Utc>,
    /// Since when the bank has undone it, by the bank's clock, or we have, by ours: it is
    /// owed again.
    reversed_at: Option<DateTime<Utc>>,
}

/// What is read of a payout. A bank's refusal stands in the command's own row of
/// `queue_log`, and of those that a bank has seen in the command's, which is kept.
const SELECT: &str = "
    SELECT p.payout_id, p.run_id, p.franchise_id, p.slips, p.gross, p.cancels, p.cancelled,
           p.commission, p.owed, p.net, p.state, p.carried_for, p.to_bank, p.to_account,
           p.firmbanking_id,
           CASE WHEN p.state = 'REFUSED' THEN coalesce(
               (SELECT q.reason FROM queue_log q
                 WHERE q.consumer = 'firmbanking' AND q.message_id = p.firmbanking_id),
               (SELECT f.reason FROM banking.firmbanking f
                 WHERE f.firmbanking_id = p.firmbanking_id)) END,
           p.changed_at, p.reversed_at
      FROM settlement.payout p";

/// A franchise's parts of settlement runs, the latest first.
#[utoipa::path(
    get,
    path = "/franchises/{id}/payouts",
    tag = "franchises",
    params(("id" = Uuid, Path, description = "The franchise"), PageQuery),
    responses(
        (status = 200, description = "A page of payouts", body = Page<Payout>),
        (status = 404, description = "There is no such franchise", body = ProblemBody),
    )
)]
pub(crate) async fn of_franchise(
    State(app): State<Arc<App>>,
    Id(franchise_id): Id,
    Asked(page): Asked<PageQuery>,
) -> Result<Json<Page<Payout>>, Problem> {
    let select = format!(
        "{SELECT}
          WHERE p.franchise_id = $1
            AND p.payout_id < coalesce($2, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
          ORDER BY p.payout_id DESC LIMIT $3"
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(select))
        .bind(franchise_id)
        .bind(page.after_id()?)
        .bind(page.rows()?)
        .fetch_all(&app.pool)
        .await?;
    if rows.is_empty() {
        check_franchise(&app.pool, franchise_id).await?;
    }
    let payouts = rows.iter().map(payout).collect::<Result<Vec<_>, _>>()?;
    Ok(Json(
        page.page(payouts, |payout| payout.payout_id.to_string())?,
    ))
}

/// Pays a franchise what it is owed, without waiting for the next run.
///
/// For a payout that the bank refused, once its reason is gone: a settlement of
/// this franchise alone, up to the instant of the `Idempotency-Key`. A hold, or a
/// missing account, keeps it back as it does in any run.
#[utoipa::path(
    post,
    path = "/franchises/{id}/payouts/retry",
    tag = "requests",
    params(
        ("id" = Uuid, Path, description = "The franchise"),
        ("Idempotency-Key" = String, Header, description = "UUID version 7, the same each time you try"),
    ),
    responses(
        (status = 202, description = "Durably taken", body = Accepted),
        (status = 200, description = "Taken before: what is known of it", body = Accepted),
        (status = 404, description = "There is no such franchise", body = ProblemBody),
        (status = 409, description = "`id_conflict`: the id belongs to another request", body = ProblemBody),
        (status = 422, description = "`cut_in_the_future`: the time of the `Idempotency-Key`, up to which is settled, has not come yet by our clock", body = ProblemBody),
        (status = 503, description = "Try again with the same key", body = ProblemBody),
    )
)]
pub(crate) async fn retry(
    State(app): State<Arc<App>>,
    Id(franchise_id): Id,
    caller: Caller,
    headers: Headers,
) -> Result<Response, Problem> {
    check_franchise(&app.pool, franchise_id).await?;
    submit(&app, &caller, headers, Retry { franchise_id }).await
}

/// A page of a run's payouts, in the order of the franchises.
pub(crate) async fn of_run(
    pool: &PgPool,
    run_id: Uuid,
    page: &PageQuery,
) -> Result<Vec<Payout>, Problem> {
    let select = format!(
        "{SELECT}
          WHERE p.run_id = $1 AND ($2::uuid IS NULL OR p.franchise_id > $2)
          ORDER BY p.franchise_id LIMIT $3"
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(select))
        .bind(run_id)
        .bind(page.after_id()?)
        .bind(page.rows()?)
        .fetch_all(pool)
        .await?;
    Ok(rows.iter().map(payout).collect::<Result<_, _>>()?)
}

fn payout(row: &PgRow) -> Result<Payout, sqlx::Error> {
    Ok(Payout {
        payout_id: row.try_get(0)?,
        run_id: row.try_get(1)?,
        franchise_id: row.try_get(2)?,
        slips: row.try_get(3)?,
        gross: row.try_get(4)?,
        cancels: row.try_get(5)?,
        cancelled: row.try_get(6)?,
        commission: row.try_get(7)?,
        owed: row.try_get(8)?,
        net: row.try_get(9)?,
        state: row.try_get(10)?,
        carried_for: row.try_get(11)?,
        to_bank: row.try_get(12)?,
        to_account: row.try_get(13)?,
        firmbanking_id: row.try_get(14)?,
        reason: row.try_get(15)?,
        changed_at: row.try_get(16)?,
        reversed_at: row.try_get(17)?,
    })
}
