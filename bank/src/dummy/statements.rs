//! `GET /banks/{bank}/accounts/{number}/statement?after=&limit=`.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use chrono::{DateTime, NaiveDate, Utc};
use serde::Deserialize;
use sqlx::PgPool;

use super::http::{self, Problem, Shared};
use super::store;
use crate::account::BankAccount;
use crate::classes::{Class, Reason};
use crate::command::six_digits;
use crate::wire::{LineKind, StatementLine, StatementPage};

/// The most lines of a page.
const MAX_LIMIT: i64 = 10_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    #[serde(default)]
    after: i64,
    #[serde(default = "thousand")]
    limit: i64,
}

fn thousand() -> i64 {
    1_000
}

pub(super) async fn page(
    State(state): State<Shared>,
    Path((bank, number)): Path<(String, String)>,
    page: Result<Query<Page>, QueryRejection>,
) -> Result<Json<StatementPage>, Problem> {
    state.known_bank(&bank)?;
    let page = http::query(page)?;
    if page.after < 0 || !(1..=MAX_LIMIT).contains(&page.limit) {
        return Err(Problem::bad(format!(
            "after is 0 or more, limit in 1..={MAX_LIMIT}"
        )));
    }
    let account = BankAccount::new(&bank, &number).map_err(|e| Problem::bad(e.to_string()))?;
    let lines = lines(&state.pool, &account, &page).await?;
    if lines.is_empty() && store::account_info(&state.pool, &account).await?.is_none() {
        let class = Class::Refused(Reason::NoSuchAccount);
        return Err(state.not_there(&bank, class, "no such account"));
    }
    state.latency(&bank).await;
    let full = lines.len() as i64 == page.limit;
    let next = lines.last().map(|line| line.line_number).filter(|_| full);
    Ok(Json(StatementPage { lines, next }))
}

#[derive(sqlx::FromRow)]
struct Row {
    line_number: i64,
    kind: String,
    business_date: NaiveDate,
    transfer_bank: Option<String>,
    transfer_date: Option<NaiveDate>,
    number: Option<i32>,
    counter_bank: Option<String>,
    counter_account: Option<String>,
    amount: i64,
    fee: i64,
    balance_after: i64,
    executed_at: DateTime<Utc>,
}

async fn lines(
    pool: &PgPool,
    account: &BankAccount,
    page: &Page,
) -> Result<Vec<StatementLine>, sqlx::Error> {
    let rows = sqlx::query_as::<_, Row>(
        "SELECT line_number, kind, business_date, transfer_bank, transfer_date, number,
                counter_bank, counter_account, amount, fee, balance_after, executed_at
           FROM dummy_bank.statement_line
          WHERE bank_code = $1 AND account_number = $2 AND line_number > $3
          ORDER BY line_number
          LIMIT $4",
    )
    .bind(&account.bank_code)
    .bind(&account.account_number)
    .bind(page.after)
    .bind(page.limit)
    .fetch_all(pool)
    .await?;
    Ok(rows.into_iter().map(StatementLine::from).collect())
}

impl From<Row> for StatementLine {
    fn from(row: Row) -> Self {
        let counterparty = row.counter_bank.zip(row.counter_account);
        Self {
            line_number: row.line_number,
            kind: match row.kind.as_str() {
                "opening" => LineKind::Opening,
                "fee" => LineKind::Fee,
                "reversal" => LineKind::Reversal,
                // The table's CHECK leaves no other.
                _ => LineKind::Transfer,
            },
            business_date: row.business_date,
            transfer_bank_code: row.transfer_bank,
            transfer_date: row.transfer_date,
            number: row.number.map(|number| six_digits(number.unsigned_abs())),
            counterparty: counterparty.map(|(bank_code, account_number)| BankAccount {
                bank_code,
                account_number,
            }),
            amount: row.amount,
            fee: row.fee,
            balance_after: row.balance_after,
            executed_at: row.executed_at,
        }
    }
}
