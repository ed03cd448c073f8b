//! `GET /members/{id}/remittances`, `GET /remittances?state=`.
//!
//! A remittance between members has no row of its own: it is its journal entry, and
//! is read from there. What was rejected at once is in `queue_log` alone, without whom
//! it concerns: `GET /requests/{id}` tells of it.
//!
//! Pages go down by the request's id, which is unique: no two rows share a place. An
//! id is as old as its request, not as its commit; so a page never misses what was
//! committed when the first one was read, and what is committed later, with whatever
//! id, is seen by reading from the beginning.

mod select;

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use mypay_decide::EntryKind;
use mypay_schemas::identity::time_of;
use mypay_schemas::remittance::{Receiver, RemittanceRequest};
use serde::{Deserialize, Serialize};
use sqlx::Row;
use sqlx::postgres::PgRow;
use sqlx::types::Json as Kept;
use uuid::Uuid;

use super::super::App;
use super::super::extract::{Asked, Id};
use super::super::members::unknown;
use super::super::page::{Page, PageQuery};
use super::super::problem::{Problem, ProblemBody};

/// A remittance that has moved money, waits to, or has waited to.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Remittance {
    /// The id of its request.
    remittance_id: Uuid,
    sender_id: Uuid,
    /// `AWAITS_TOP_UP`, `AWAITS_BANK`, `COMPLETED` or `REJECTED`.
    #[schema(value_type = RemittanceState)]
    state: String,
    /// Whole won.
    amount: i64,
    /// Taken besides the amount, whole won; given back where the bank refused, and 0
    /// where it was rejected before that.
    fee: i64,
    /// The member it goes to; null where it goes to a bank account.
    receiver_id: Option<Uuid>,
    to_bank: Option<String>,
    to_account: Option<String>,
    holder_name: Option<String>,
    /// The command to the bank, once there is one.
    firmbanking_id: Option<Uuid>,
    /// What was, or is being, recharged for it first, whole won. Of one that is
    /// `REJECTED` nevertheless it stays on the balance.
    topped_up: i64,
    /// Why it was rejected; null of any other, and where a bank refused it before what
    /// `queue_log` keeps.
    reason: Option<String>,
    /// By the request's id.
    requested_at: Option<DateTime<Utc>>,
    changed_at: DateTime<Utc>,
    /// Since when the bank has undone it, by the bank's clock; or we have, by ours.
    reversed_at: Option<DateTime<Utc>>,
}

/// How far a remittance has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum RemittanceState {
    /// What the balance lacks is being recharged first.
    AwaitsTopUp,
    /// It is on its way to a bank account.
    AwaitsBank,
    /// The money is the receiver's.
    Completed,
    /// The bank has refused it, and the money is the sender's again; or it waited for
    /// its top-up, and could not be done then.
    Rejected,
}

/// In which state.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct StateQuery {
    #[param(inline)]
    state: RemittanceState,
}

/// What a member has remitted, the latest requests first.
///
/// Those that have moved money, wait to, or have waited to; one that was rejected at
/// once is told of by `GET /requests/{id}`. What the member has received is in its history.
#[utoipa::path(
    get,
    path = "/members/{id}/remittances",
    tag = "money",
    params(("id" = Uuid, Path, description = "The member"), PageQuery),
    responses(
        (status = 200, description = "A page of remittances", body = Page<Remittance>),
        (status = 404, description = "There is no such member", body = ProblemBody),
    )
)]
pub(crate) async fn of_member(
    State(app): State<Arc<App>>,
    Id(member_id): Id,
    Asked(page): Asked<PageQuery>,
) -> Result<Json<Page<Remittance>>, Problem> {
    let rows = sqlx::query(select::OF_MEMBER)
        .bind(page.after_id()?.unwrap_or(Uuid::max()))
        .bind(page.rows()?)
        .bind(EntryKind::Remittance as i16)
        .bind(member_id)
        .fetch_all(&app.pool)
        .await?;
    if rows.is_empty() {
        sqlx::query("SELECT 1 FROM membership.member WHERE member_id = $1")
            .bind(member_id)
            .fetch_optional(&app.pool)
            .await?
            .ok_or_else(unknown)?;
    }
    paged(&page, &rows)
}

/// All remittances that are in a state, the latest requests first.
///
/// Those that have moved money, wait to, or have waited to; one that was rejected at
/// once is told of by `GET /requests/{id}`. One that changes its state while the list is read
/// leaves it.
#[utoipa::path(
    get,
    path = "/remittances",
    tag = "money",
    params(StateQuery, PageQuery),
    responses((status = 200, description = "A page of remittances", body = Page<Remittance>))
)]
pub(crate) async fn of_state(
    State(app): State<Arc<App>>,
    Asked(StateQuery { state }): Asked<StateQuery>,
    Asked(page): Asked<PageQuery>,
) -> Result<Json<Page<Remittance>>, Problem> {
    let rows = sqlx::query(state.select())
        .bind(page.after_id()?.unwrap_or(Uuid::max()))
        .bind(page.rows()?)
        .bind(EntryKind::Remittance as i16)
        .fetch_all(&app.pool)
        .await?;
    paged(&page, &rows)
}

fn paged(page: &PageQuery, rows: &[PgRow]) -> Result<Json<Page<Remittance>>, Problem> {
    let found = rows.iter().map(remittance).collect::<Result<Vec<_>, _>>()?;
    Ok(Json(
        page.page(found, |found| found.remittance_id.to_string())?,
    ))
}

fn remittance(row: &PgRow) -> Result<Remittance, sqlx::Error> {
    let remittance_id = row.try_get(0)?;
    let found = Remittance {
        remittance_id,
        sender_id: row.try_get(1)?,
        state: row.try_get(2)?,
        amount: row.try_get(3)?,
        fee: row.try_get(4)?,
        receiver_id: row.try_get(5)?,
        to_bank: row.try_get(6)?,
        to_account: row.try_get(7)?,
        holder_name: row.try_get(8)?,
        firmbanking_id: row.try_get(9)?,
        topped_up: row.try_get(10)?,
        reason: row.try_get(11)?,
        requested_at: DateTime::from_timestamp_millis(time_of(remittance_id)),
        changed_at: row.try_get(12)?,
        reversed_at: row.try_get(13)?,
    };
    let request: Option<Kept<RemittanceRequest>> = row.try_get(14)?;
    Ok(match request {
        Some(Kept(request)) => found.asked_for(request),
        None => found,
    })
}

impl Remittance {
    /// One that waits for its top-up, or went no further: its row has what it takes of
    /// the balance, the fee counted in, and the request says the rest.
    fn asked_for(self, request: RemittanceRequest) -> Self {
        let fee = match self.reason {
            // Nothing was taken.
            Some(_) => 0,
            None => self.amount - request.amount,
        };
        let amount = request.amount;
        match request.receiver {
            Receiver::MemberReceiver(member) => Self {
                amount,
                fee,
                receiver_id: Uuid::try_parse(&member.member_id).ok(),
                ..self
            },
            Receiver::BankReceiver(bank) => Self {
                amount,
                fee,
                to_bank: Some(bank.bank_code),
                to_account: Some(bank.account_number),
                holder_name: Some(bank.holder_name),
                ..self
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use mypay_schemas::remittance::BankReceiver;

    use super::*;

    #[test]
    fn one_that_waits_for_its_top_up_tells_amount_and_fee_apart() {
        let id = Uuid::now_v7();
        let waiting = Remittance {
            remittance_id: id,
            sender_id: id,
            state: "AWAITS_TOP_UP".to_owned(),
            amount: 7_500,
            fee: 0,
            receiver_id: None,
            to_bank: None,
            to_account: None,
            holder_name: None,
            firmbanking_id: None,
            topped_up: 10_000,
            reason: None,
            requested_at: None,
            changed_at: Utc::now(),
            reversed_at: None,
        };
        let request = RemittanceRequest {
            message_id: id.to_string(),
            correlation_id: id.to_string(),
            requested_at: 0,
            sender_id: id.to_string(),
            receiver: Receiver::BankReceiver(BankReceiver {
                bank_code: "004".to_owned(),
                account_number: "110123456789".to_owned(),
                holder_name: "김하나".to_owned(),
            }),
            amount: 7_000,
            causation_id: None,
        };
        let told = waiting.asked_for(request.clone());
        assert_eq!((told.amount, told.fee), (7_000, 500));
        assert_eq!(told.to_bank.as_deref(), Some("004"));
        let rejected = Remittance {
            state: "REJECTED".to_owned(),
            amount: 7_500,
            reason: Some("top_up_refused".to_owned()),
            ..told
        };
        let told = rejected.asked_for(request);
        assert_eq!((told.amount, told.fee), (7_000, 0), "nothing was taken");
    }
}
