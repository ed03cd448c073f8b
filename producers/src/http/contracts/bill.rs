//! `GET /contracts/{bank_code}/bill?month=YYYY-MM`: what a bank's calls cost.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::super::App;
use super::super::extract::{Asked, Named};
use super::super::problem::{Problem, ProblemBody};
use super::versions::check_contract;
use crate::written;

/// Which month.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct MonthQuery {
    /// As in `2026-11`: of the business dates, which are Korean days.
    #[param(pattern = "^2[0-9]{3}-(0[1-9]|1[0-2])$", example = "2026-11")]
    month: String,
}

/// A bank's fees in a month.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Bill {
    bank_code: String,
    /// As in `2026-11`.
    month: String,
    /// By purpose and agreed fee.
    lines: Vec<BillLine>,
    /// All lines together.
    total: BillSums,
    /// Questions whose account one at this bank is, when it is registered and before
    /// money goes there from any bank: not part of the calls, and free. By the day in
    /// Korea on which they were asked.
    holder_inquiries: i64,
}

/// The commands of a purpose that went out under one agreed fee.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct BillLine {
    purpose: String,
    /// Whole won a command, by the contract as it was when the command went out.
    /// Null where that is not known.
    agreed_fee: Option<i64>,
    #[serde(flatten)]
    sums: BillSums,
}

/// Commands that went out, and what they cost.
#[derive(Debug, Default, Serialize, utoipa::ToSchema)]
pub(crate) struct BillSums {
    /// Commands that went to the bank, each under its own number.
    commands: i64,
    /// How often they were sent, calls that may not have come through among them: a
    /// command that the bank says it never had goes out again, under the same number,
    /// and is charged once. A call of which not a byte left is none.
    calls: i64,
    /// Commands that the bank did.
    done: i64,
    /// Commands that the bank refused.
    refused: i64,
    /// Commands whose outcome is not known yet.
    open: i64,
    /// What the bank says it took, whole won; as it is in the ledger.
    charged: i64,
    /// What it should have taken for what it charged, by the fees agreed, whole won.
    agreed: i64,
    /// Questions what became of these commands: not part of the calls, and free.
    inquiries: i64,
}

/// A bank's fees in a month: every call that was made, inquiries apart.
///
/// `charged` is what the bank told of each command, `agreed` what the contract
/// said when it went out: where they differ there is something to talk about.
#[utoipa::path(
    get,
    path = "/contracts/{bank_code}/bill",
    tag = "contracts",
    params(("bank_code" = String, Path, description = "Three digits", example = "004"), MonthQuery),
    responses(
        (status = 200, description = "The bill", body = Bill),
        (status = 400, description = "The month", body = ProblemBody),
        (status = 404, description = "There is no contract with that bank", body = ProblemBody),
    )
)]
pub(crate) async fn bill(
    State(app): State<Arc<App>>,
    Named(bank_code): Named,
    Asked(MonthQuery { month }): Asked<MonthQuery>,
) -> Result<Json<Bill>, Problem> {
    let Some((first, next)) = written::month(&month) else {
        let detail = "month: as in 2026-11, of the years 2000 to 2999";
        return Err(Problem::malformed("invalid_month", detail));
    };
    check_contract(&app.pool, &bank_code).await?;
    let lines = sqlx::query(
        "SELECT f.purpose, v.fee, count(*), sum(f.calls)::bigint,
                count(*) FILTER (WHERE f.state = 'done'),
                count(*) FILTER (WHERE f.state = 'refused'),
                count(*) FILTER (WHERE f.state NOT IN ('done', 'refused')),
                sum(f.fee)::bigint,
                coalesce(sum(v.fee) FILTER (WHERE f.state = 'done' OR f.fee > 0), 0)::bigint,
                sum(f.inquiries)::bigint
           FROM banking.firmbanking f
           LEFT JOIN LATERAL (
                SELECT fee FROM banking.contract_version
                 WHERE bank_code = f.from_bank AND valid_from <= f.sent_at
                 ORDER BY valid_from DESC LIMIT 1) v ON true
          WHERE f.from_bank = $1 AND f.transaction_number IS NOT NULL
            AND f.business_date >= $2 AND f.business_date < $3 AND f.calls > 0
          GROUP BY 1, 2 ORDER BY 1, 2",
    )
    .bind(&bank_code)
    .bind(first)
    .bind(next)
    .fetch_all(&app.pool)
    .await?
    .iter()
    .map(line)
    .collect::<Result<Vec<_>, _>>()?;
    let holder_inquiries = sqlx::query_scalar(
        "SELECT coalesce(sum(inquiries), 0)::bigint FROM banking.holder_inquiry
          WHERE bank_code = $1 AND asked_on >= $2 AND asked_on < $3",
    )
    .bind(&bank_code)
    .bind(first)
    .bind(next)
    .fetch_one(&app.pool)
    .await?;
    let total = lines
        .iter()
        .fold(BillSums::default(), |total, line| total.and(&line.sums));
    Ok(Json(Bill {
        bank_code,
        month,
        lines,
        total,
        holder_inquiries,
    }))
}

impl BillSums {
    fn and(self, other: &Self) -> Self {
        Self {
            commands: self.commands + other.commands,
            calls: self.calls + other.calls,
            done: self.done + other.done,
            refused: self.refused + other.refused,
            open: self.open + other.open,
            charged: self.charged + other.charged,
            agreed: self.agreed + other.agreed,
            inquiries: self.inquiries + other.inquiries,
        }
    }
}

fn line(row: &PgRow) -> Result<BillLine, sqlx::Error> {
    Ok(BillLine {
        purpose: row.try_get(0)?,
        agreed_fee: row.try_get(1)?,
        sums: BillSums {
            commands: row.try_get(2)?,
            calls: row.try_get(3)?,
            done: row.try_get(4)?,
            refused: row.try_get(5)?,
            open: row.try_get(6)?,
            charged: row.try_get(7)?,
            agreed: row.try_get(8)?,
            inquiries: row.try_get(9)?,
        },
    })
}
