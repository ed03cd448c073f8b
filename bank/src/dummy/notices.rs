//! `GET /banks/{bank}/notices`: what has come back.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use chrono::{DateTime, NaiveDate, Utc};
use serde::Deserialize;

use super::http::{self, Problem, Shared};
use super::writer;
use crate::classes::Class;
use crate::command::six_digits;
use crate::rest_window::korean_date;
use crate::wire::{Notice, NoticePage};

/// The most notices of a page.
const MAX_LIMIT: i64 = 1_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    /// Today in Korea if it is left out.
    date: Option<String>,
    #[serde(default)]
    after: i64,
    #[serde(default = "hundred")]
    limit: i64,
}

fn hundred() -> i64 {
    100
}

#[derive(sqlx::FromRow)]
struct Row {
    bank_code: String,
    notice_date: NaiveDate,
    notice_number: i64,
    business_date: NaiveDate,
    number: i32,
    amount: i64,
    reversed_at: DateTime<Utc>,
}

impl From<Row> for Notice {
    fn from(row: Row) -> Self {
        Self {
            bank_code: row.bank_code,
            notice_date: row.notice_date,
            notice_number: row.notice_number,
            business_date: row.business_date,
            number: six_digits(row.number.unsigned_abs()),
            amount: row.amount,
            reversed_at: row.reversed_at,
        }
    }
}

pub(super) async fn list(
    State(state): State<Shared>,
    Path(bank): Path<String>,
    page: Result<Query<Page>, QueryRejection>,
) -> Result<Json<NoticePage>, Problem> {
    state.known_bank(&bank)?;
    let page = http::query(page)?;
    if page.after < 0 || !(1..=MAX_LIMIT).contains(&page.limit) {
        return Err(Problem::bad(format!(
            "after is 0 or more, limit in 1..={MAX_LIMIT}"
        )));
    }
    let today = korean_date(writer::now());
    let date = page.date.as_deref().map_or(Ok(today), http::date)?;
    // The last number first: a notice that comes in between is then only listed too
    // early, and not missed.
    let last_number: i64 = sqlx::query_scalar(
        "SELECT COALESCE(MAX(notice_number), 0) FROM dummy_bank.notice
          WHERE bank_code = $1 AND notice_date = $2",
    )
    .bind(&bank)
    .bind(date)
    .fetch_one(&state.pool)
    .await?;
    let rows = sqlx::query_as::<_, Row>(
        "SELECT bank_code, notice_date, notice_number, business_date, number, amount, reversed_at
           FROM dummy_bank.notice
          WHERE bank_code = $1 AND notice_date = $2 AND notice_number > $3 AND NOT lost
          ORDER BY notice_number
          LIMIT $4",
    )
    .bind(&bank)
    .bind(date)
    .bind(page.after)
    .bind(page.limit)
    .fetch_all(&state.pool)
    .await?;
    state.latency(&bank).await;
    let notices = rows.into_iter().map(Notice::from).collect();
    Ok(Json(NoticePage {
        notices,
        last_number,
    }))
}

/// A notice that was lost is found again by whoever asks for it, and listed from then on.
pub(super) async fn show(
    State(state): State<Shared>,
    Path((bank, date, number)): Path<(String, String, String)>,
) -> Result<Json<Notice>, Problem> {
    state.known_bank(&bank)?;
    let date = http::date(&date)?;
    let number: i64 = number
        .parse()
        .map_err(|_| Problem::bad("no notice number"))?;
    let row = sqlx::query_as::<_, Row>(
        "UPDATE dummy_bank.notice SET lost = false
          WHERE bank_code = $1 AND notice_date = $2 AND notice_number = $3
         RETURNING bank_code, notice_date, notice_number, business_date, number, amount,
                   reversed_at",
    )
    .bind(&bank)
    .bind(date)
    .bind(number)
    .fetch_optional(&state.pool)
    .await?;
    state.latency(&bank).await;
    row.map(|row| Json(Notice::from(row)))
        .ok_or_else(|| state.not_there(&bank, Class::NotFound, "no such notice"))
}
