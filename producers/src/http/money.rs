//! `GET /members/{id}/money`, `GET /members/{id}/history`,
//! `GET /money/members?area=..`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use mypay_decide::{AccountKind, EntryKind, SystemAccount};
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgRow;
use sqlx::{PgPool, Row};
use uuid::Uuid;

use super::App;
use super::bank_accounts::{self, RegisteredAccount};
use super::extract::{Asked, Id};
use super::members::unknown;
use super::page::{Page, PageQuery};
use super::problem::{Problem, ProblemBody};
use crate::written::composed;

/// A member's my money.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct MemberMoney {
    member_id: Uuid,
    /// Whole won.
    balance: i64,
    /// Recharges that a bank has yet to confirm, whole won; not yet part of
    /// the balance.
    pending: i64,
    /// What came back to a member who is closed, whole won: it is kept, and paid
    /// out by closing the member once more.
    unclaimed: i64,
    /// The registered bank account.
    bank_account: Option<RegisteredAccount>,
}

/// A movement of a member's money.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Movement {
    /// The journal entry: the request that moved the money.
    entry_id: Uuid,
    line: i16,
    /// Its place among those of its entry: a client may use one id for requests of two
    /// flows, whose entries then differ in their kinds.
    #[serde(skip)]
    place: i32,
    /// Which step of the ledger it is.
    #[schema(value_type = String, example = "recharge")]
    kind: &'static str,
    /// Whole won; positive came in, negative went out.
    amount: i64,
    counterpart: Counterpart,
    at: DateTime<Utc>,
}

/// The other side of a movement.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Counterpart {
    /// Kind of the account, such as `member money` or `corporate cash`.
    #[schema(value_type = String, example = "corporate cash")]
    account: &'static str,
    /// The member or franchise whose account it is, where it is somebody's.
    member_id: Option<Uuid>,
}

/// The money of the members of an area.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct AreaMoney {
    area: String,
    members: i64,
    /// Whole won.
    balance: i64,
    /// Whole won.
    pending: i64,
}

/// A member's balance and linked bank account.
#[utoipa::path(
    get,
    path = "/members/{id}/money",
    tag = "money",
    params(("id" = Uuid, Path, description = "The member")),
    responses(
        (status = 200, description = "The balance", body = MemberMoney),
        (status = 404, description = "There is no such member", body = ProblemBody),
    )
)]
pub(crate) async fn of_member(
    State(app): State<Arc<App>>,
    Id(member_id): Id,
) -> Result<Json<MemberMoney>, Problem> {
    let (balance, pending) = balance(&app.pool, member_id).await?;
    let bank_account = bank_accounts::of(&app.pool, member_id).await?;
    Ok(Json(MemberMoney {
        member_id,
        balance,
        pending,
        unclaimed: unclaimed(&app.pool, member_id).await?,
        bank_account,
    }))
}

/// Balance and pending recharges; an error where there is no such member.
async fn balance(pool: &PgPool, member_id: Uuid) -> Result<(i64, i64), Problem> {
    let row = sqlx::query(
        "SELECT balance, pending FROM money.account WHERE account_id = $1 AND kind = $2",
    )
    .bind(member_id)
    .bind(AccountKind::MemberMoney.number())
    .fetch_optional(pool)
    .await?
    .ok_or_else(unknown)?;
    Ok((row.try_get(0)?, row.try_get(1)?))
}

async fn unclaimed(pool: &PgPool, member_id: Uuid) -> Result<i64, sqlx::Error> {
    let kept = sqlx::query("SELECT balance FROM money.account WHERE account_id = $1")
        .bind(SystemAccount::unclaimed(member_id).id())
        .fetch_optional(pool)
        .await?;
    kept.map_or(Ok(0), |row| row.try_get(0))
}

/// A member's movements, the latest requests first.
#[utoipa::path(
    get,
    path = "/members/{id}/history",
    tag = "money",
    params(("id" = Uuid, Path, description = "The member"), PageQuery),
    responses(
        (status = 200, description = "A page of movements", body = Page<Movement>),
        (status = 404, description = "There is no such member", body = ProblemBody),
    )
)]
pub(crate) async fn history(
    State(app): State<Arc<App>>,
    Id(member_id): Id,
    Asked(page): Asked<PageQuery>,
) -> Result<Json<Page<Movement>>, Problem> {
    // First the member's own postings, by their index: left to itself the
    // planner would read everybody's in the order asked for.
    const HISTORY: &str = "
        WITH own AS MATERIALIZED (
            SELECT entry_id, line, kind, debit, credit, amount, posted_at
              FROM money.posting
             WHERE ARRAY[debit, credit] @> ARRAY[$1]
        ), page AS MATERIALIZED (
            SELECT entry_id, line, kind, amount, posted_at,
                   CASE WHEN debit = $1 THEN credit ELSE debit END AS other,
                   debit = $1 AS went_out
              FROM own
             WHERE $2::uuid IS NULL OR entry_id < $2
                OR (entry_id = $2 AND (kind::int << 16) + line > $3)
             ORDER BY entry_id DESC, kind, line
             LIMIT $4
        )
        SELECT p.entry_id, p.line, p.kind, p.amount, p.posted_at, p.went_out, a.kind, a.owner
          FROM page p
          LEFT JOIN money.account a ON a.account_id = p.other
         ORDER BY p.entry_id DESC, p.kind, p.line";
    let (after, line) = page.after_line()?.unzip();
    let rows = sqlx::query(HISTORY)
        .bind(member_id)
        .bind(after)
        .bind(line)
        .bind(page.rows()?)
        .fetch_all(&app.pool)
        .await?;
    if rows.is_empty() {
        // Nothing moved yet, or nobody whose money could have.
        balance(&app.pool, member_id).await?;
    }
    let movements = rows.iter().map(movement).collect::<Result<Vec<_>, _>>()?;
    Ok(Json(page.page(movements, |movement| {
        format!("{}.{}", movement.entry_id, movement.place)
    })?))
}

/// Which area.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct AreaQuery {
    area: String,
}

/// What the members of an area have together; who is closed is none any more.
#[utoipa::path(
    get,
    path = "/money/members",
    tag = "money",
    params(AreaQuery),
    responses((status = 200, description = "The sum", body = AreaMoney))
)]
pub(crate) async fn of_area(
    State(app): State<Arc<App>>,
    Asked(AreaQuery { area }): Asked<AreaQuery>,
) -> Result<Json<AreaMoney>, Problem> {
    let area = composed(&area);
    let row = sqlx::query(
        "SELECT count(*), coalesce(sum(a.balance), 0)::bigint, coalesce(sum(a.pending), 0)::bigint
           FROM membership.member m
           JOIN money.account a ON a.account_id = m.member_id
          WHERE m.area = $1 AND m.status <> 'CLOSED'",
    )
    .bind(&area)
    .fetch_one(&app.pool)
    .await?;
    Ok(Json(AreaMoney {
        area,
        members: row.try_get(0)?,
        balance: row.try_get(1)?,
        pending: row.try_get(2)?,
    }))
}

fn movement(row: &PgRow) -> Result<Movement, sqlx::Error> {
    let amount: i64 = row.try_get(3)?;
    let went_out: bool = row.try_get(5)?;
    let account = row.try_get::<Option<i16>, _>(6)?.and_then(account_kind);
    let owner: Option<Uuid> = row.try_get(7)?;
    let is_somebodys = matches!(
        account,
        Some(AccountKind::MemberMoney | AccountKind::FranchisePayable | AccountKind::Unclaimed)
    );
    let (line, kind): (i16, i16) = (row.try_get(1)?, row.try_get(2)?);
    Ok(Movement {
        entry_id: row.try_get(0)?,
        line,
        place: (i32::from(kind) << 16) + i32::from(line),
        kind: step(kind),
        amount: if went_out { -amount } else { amount },
        counterpart: Counterpart {
            account: account.map_or("unknown", AccountKind::name),
            member_id: owner.filter(|_| is_somebodys),
        },
        at: row.try_get(4)?,
    })
}

fn account_kind(number: i16) -> Option<AccountKind> {
    AccountKind::ALL
        .into_iter()
        .find(|kind| kind.number() == number)
}

/// The name of a ledger step.
fn step(number: i16) -> &'static str {
    const STEPS: [(EntryKind, &str); 13] = [
        (EntryKind::Recharge, "recharge"),
        (EntryKind::Remittance, "remittance"),
        (EntryKind::RemittanceOut, "remittance to a bank"),
        (EntryKind::TransitConfirmed, "confirmed by the bank"),
        (EntryKind::TransitRefused, "refused by the bank"),
        (EntryKind::Payment, "payment"),
        (EntryKind::Settlement, "settlement"),
        (EntryKind::FirmbankingFee, "firmbanking fee"),
        (EntryKind::Transfer, "transfer"),
        (EntryKind::Opening, "opening"),
        (EntryKind::PaymentCancel, "cancel of a payment"),
        (EntryKind::Closing, "closing"),
        (EntryKind::Reversal, "undone by the bank"),
    ];
    STEPS
        .into_iter()
        .find(|(kind, _)| *kind as i16 == number)
        .map_or("unknown", |(_, name)| name)
}
