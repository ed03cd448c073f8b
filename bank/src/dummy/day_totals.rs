//! `GET /banks/{bank}/day-totals/{date}`: the bank's side of the daily close.

use axum::Json;
use axum::extract::{Path, State};
use chrono::NaiveDate;

use super::http::{self, Problem, Shared};
use crate::wire::{AccountClose, DayTotals, Total};

pub(super) async fn show(
    State(state): State<Shared>,
    Path((bank, date)): Path<(String, String)>,
) -> Result<Json<DayTotals>, Problem> {
    state.known_bank(&bank)?;
    let date = http::date(&date)?;
    // One snapshot for all parts, or a transfer could be in one and not in another.
    let mut tx = state
        .pool
        .begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        .await?;
    let mut totals = DayTotals {
        outgoing: Total::default(),
        incoming: Total::default(),
        other: Total::default(),
        in_progress: Total::default(),
        refused: Total::default(),
        reversed: reversed(&mut tx, &bank, date).await?,
        accounts: closes(&mut tx, &bank, date).await?,
        bank_code: bank.clone(),
        business_date: date,
    };
    for (group, count, amount, fees) in transfers(&mut tx, &bank, date).await? {
        let total = Total {
            count,
            amount,
            fees,
        };
        match group.as_str() {
            "outgoing" => totals.outgoing = total,
            "incoming" => totals.incoming = total,
            "in_progress" => totals.in_progress = total,
            "refused" => totals.refused = total,
            _ => totals.other = total,
        }
    }
    tx.commit().await?;
    state.latency(&bank).await;
    Ok(Json(totals))
}

async fn transfers(
    tx: &mut sqlx::PgConnection,
    bank: &str,
    date: NaiveDate,
) -> Result<Vec<(String, i64, i64, i64)>, sqlx::Error> {
    sqlx::query_as(
        "WITH ours AS (
            SELECT bank_code, account_number FROM dummy_bank.account WHERE kind = 'corporate'
         )
         SELECT CASE
                    WHEN status <> 'done' THEN status
                    WHEN (from_bank, from_account) IN (SELECT * FROM ours) THEN 'outgoing'
                    WHEN (to_bank, to_account) IN (SELECT * FROM ours) THEN 'incoming'
                    ELSE 'other'
                END AS grouped,
                COUNT(*), SUM(amount)::bigint, SUM(fee)::bigint
           FROM dummy_bank.transfer
          WHERE bank_code = $1 AND business_date = $2
          GROUP BY grouped",
    )
    .bind(bank)
    .bind(date)
    .fetch_all(tx)
    .await
}

async fn reversed(
    tx: &mut sqlx::PgConnection,
    bank: &str,
    date: NaiveDate,
) -> Result<Total, sqlx::Error> {
    let (count, amount) = sqlx::query_as(
        "SELECT COUNT(*), COALESCE(SUM(amount), 0)::bigint
           FROM dummy_bank.notice
          WHERE bank_code = $1 AND notice_date = $2",
    )
    .bind(bank)
    .bind(date)
    .fetch_one(tx)
    .await?;
    Ok(Total {
        count,
        amount,
        fees: 0,
    })
}

/// The closing balance is a sum of lines and no line's `balance_after`: lines of two
/// days lie mixed around midnight, and a late decision counts to its own day.
async fn closes(
    tx: &mut sqlx::PgConnection,
    bank: &str,
    date: NaiveDate,
) -> Result<Vec<AccountClose>, sqlx::Error> {
    let rows = sqlx::query_as::<_, (String, i64, i64)>(
        "SELECT a.account_number, a.balance - COALESCE((
                    SELECT SUM(l.amount - l.fee)
                      FROM dummy_bank.statement_line l
                     WHERE l.bank_code = a.bank_code
                       AND l.account_number = a.account_number
                       AND l.business_date > $2
                ), 0)::bigint, a.balance
           FROM dummy_bank.account a
          WHERE a.bank_code = $1 AND a.kind = 'corporate'
          ORDER BY a.account_number",
    )
    .bind(bank)
    .bind(date)
    .fetch_all(tx)
    .await?;
    let close = |(account_number, closing_balance, balance)| AccountClose {
        account_number,
        closing_balance,
        balance,
    };
    Ok(rows.into_iter().map(close).collect())
}
