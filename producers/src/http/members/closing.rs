//! `POST` and `GET /members/{id}/closing`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::Row;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::super::App;
use super::super::caller::Caller;
use super::super::extract::{Body, Headers, Id};
use super::super::problem::{Problem, ProblemBody};
use super::super::submit::{Accepted, submit};
use super::one;
use crate::closing::{ClosingBody, yes};

/// How a membership is to be closed.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct HowBody {
    /// Why it is closed.
    #[schema(example = "moves abroad", min_length = 1, max_length = 200)]
    reason: String,
    /// Whether what is left goes to the registered bank account; else a member who
    /// has money is not closed. True where absent.
    #[serde(default = "yes")]
    pays_out: bool,
}

impl HowBody {
    pub(in crate::http) fn of(self, member_id: Uuid) -> ClosingBody {
        ClosingBody {
            member_id: member_id.to_string(),
            pays_out: self.pays_out,
            reason: self.reason,
        }
    }
}

/// A closing that was taken up.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Closing {
    closing_id: Uuid,
    member_id: Uuid,
    reason: String,
    /// `AWAITS_BANK` while the member is `CLOSING`; `COMPLETED`; `REJECTED` where the
    /// bank refused, and the member has its money again.
    #[schema(example = "COMPLETED")]
    state: String,
    /// What is paid out, whole won; 0 where nothing was left.
    amount: i64,
    /// Whether it is what came back to a member who was closed before.
    unclaimed: bool,
    /// The command to the bank, where something was left.
    firmbanking_id: Option<Uuid>,
    to_bank: Option<String>,
    to_account: Option<String>,
    requested_at: DateTime<Utc>,
    changed_at: DateTime<Utc>,
    /// Since when the bank has, or we have, undone the payout: it is kept for the member.
    reversed_at: Option<DateTime<Utc>>,
}

/// Closes a membership.
///
/// With nothing left it is `CLOSED` at once. Else the member is `CLOSING` while what
/// is left goes to the registered bank account, without a fee; where the bank refuses
/// it, the member is `OPEN` again and has its money. Rejected: `recharge_pending`,
/// `payout_pending` (wait for the bank), `balance_not_empty`, `no_bank_account`,
/// `no_contract`, `closing_under_way`, `member_closed`; a franchise also with
/// `franchise_not_settled` (settle it first) and `franchise_on_hold`. What comes back
/// to a closed member (a cancelled payment, a payout that its bank undoes) is kept
/// for it, and paid out by closing it once more, under a new key.
#[utoipa::path(
    post,
    path = "/members/{id}/closing",
    tag = "members",
    params(
        ("id" = Uuid, Path, description = "The member or franchise"),
        ("Idempotency-Key" = String, Header, description = "UUID version 7, the same each time you try"),
    ),
    request_body = HowBody,
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
    Id(member_id): Id,
    headers: Headers,
    Body(how): Body<HowBody>,
) -> Result<Response, Problem> {
    submit(&app, &caller, headers, how.of(member_id)).await
}

/// A member's last closing that was taken up.
#[utoipa::path(
    get,
    path = "/members/{id}/closing",
    tag = "members",
    params(("id" = Uuid, Path, description = "The member or franchise")),
    responses(
        (status = 200, description = "The closing", body = Closing),
        (status = 404, description = "`unknown_member` or `no_closing`", body = ProblemBody),
    )
)]
pub(crate) async fn find(
    State(app): State<Arc<App>>,
    Id(member_id): Id,
) -> Result<Json<Closing>, Problem> {
    let row = sqlx::query(
        "SELECT closing_id, member_id, reason, state, amount, unclaimed, firmbanking_id, to_bank,
                to_account, requested_at, changed_at, reversed_at
           FROM membership.closing WHERE member_id = $1
          ORDER BY changed_at DESC, closing_id DESC LIMIT 1",
    )
    .bind(member_id)
    .fetch_optional(&app.pool)
    .await?;
    match row {
        Some(row) => Ok(Json(closing(&row)?)),
        None => {
            one(&mut *app.pool.acquire().await?, member_id).await?;
            let detail = "no closing of the member was taken up; GET /requests/{id} says why one was rejected";
            Err(Problem::not_found("no_closing", detail))
        }
    }
}

fn closing(row: &PgRow) -> Result<Closing, sqlx::Error> {
    Ok(Closing {
        closing_id: row.try_get(0)?,
        member_id: row.try_get(1)?,
        reason: row.try_get(2)?,
        state: row.try_get(3)?,
        amount: row.try_get(4)?,
        unclaimed: row.try_get(5)?,
        firmbanking_id: row.try_get(6)?,
        to_bank: row.try_get(7)?,
        to_account: row.try_get(8)?,
        requested_at: row.try_get(9)?,
        changed_at: row.try_get(10)?,
        reversed_at: row.try_get(11)?,
    })
}
