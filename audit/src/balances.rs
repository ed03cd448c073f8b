//! Balances against postings and against what the flows own: sums over whole
//! tables, so they are made where the tables are.
//!
//! Each query gives the accounts that do not fit: `(id, place, expected, found,
//! how many in all)`. A query without rows is a check that holds.

use sqlx::{AssertSqlSafe, PgConnection, Row};
use uuid::Uuid;

use crate::error::AuditError;
use crate::report::{Check, OFFENDERS_SHOWN};

mod queries;

use queries::{QUERIES, Query};

/// Makes all comparisons of sums.
pub(crate) async fn all(connection: &mut PgConnection) -> Result<Vec<Check>, AuditError> {
    let mut checks = Vec::with_capacity(QUERIES.len() + 1);
    for query in QUERIES {
        checks.push(run(connection, query).await?);
    }
    checks.push(equation(connection).await?);
    Ok(checks)
}

async fn run(connection: &mut PgConnection, query: &Query) -> Result<Check, AuditError> {
    let mut check = Check::new(query.name, query.what, query.look_at);
    let compared: i64 = sqlx::query(query.compared)
        .fetch_one(&mut *connection)
        .await?
        .try_get(0)?;
    check.compared = compared.unsigned_abs();
    // The query is a constant of ours.
    let text = format!(
        "SELECT id, place, expected::text, found::text, count(*) OVER () FROM ({}) AS differs LIMIT {}",
        query.differs, OFFENDERS_SHOWN
    );
    let rows = sqlx::query(AssertSqlSafe(text))
        .fetch_all(connection)
        .await?;
    let mut total: i64 = 0;
    for row in &rows {
        let id: Option<Uuid> = row.try_get(0)?;
        let place: Option<String> = row.try_get(1)?;
        let (expected, found): (Option<String>, Option<String>) =
            (row.try_get(2)?, row.try_get(3)?);
        total = row.try_get(4)?;
        let said = |value: Option<String>| value.unwrap_or_else(|| "nothing".to_string());
        let problem = format!("{} won, expected {}", said(found), said(expected));
        let id = id.map(|id| id.to_string()).unwrap_or_default();
        check.offend(id, place.unwrap_or_default(), problem);
    }
    check.offenders_total = total.unsigned_abs();
    Ok(check)
}

/// Member money + franchise payable + in transit + suspense + capital + income
/// - expense = corporate cash, with each sum named.
async fn equation(connection: &mut PgConnection) -> Result<Check, AuditError> {
    const SUMS: &str = "SELECT kind, sum(balance)::bigint, count(*) FROM money.account
                         GROUP BY kind ORDER BY kind";
    let mut check = Check::new(
        "money_equals_cash",
        "member money + franchise payable + in transit + suspense + capital + income - expense, and corporate cash",
        "the other checks of the ledger name the accounts",
    );
    let rows = sqlx::query(SUMS).fetch_all(connection).await?;
    let (mut owed, mut cash) = (0i64, 0i64);
    for row in &rows {
        let (kind, sum, accounts): (i16, i64, i64) =
            (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        check.compared += accounts.unsigned_abs();
        let known = mypay_decide::AccountKind::ALL
            .into_iter()
            .find(|known| known.number() == kind);
        let Some(known) = known else {
            check.offend(
                format!("kind {kind}"),
                "",
                format!("{sum} won on accounts of no known kind"),
            );
            continue;
        };
        check.note(format!("{}: {sum} won", known.name()));
        if known == mypay_decide::AccountKind::CorporateCash {
            // An asset lies below zero where liabilities lie above.
            cash -= sum;
        } else {
            owed += sum;
        }
    }
    if owed != cash {
        let problem = format!("{owed} won are owed or earned, {cash} won are there");
        check.offend("all accounts", "", problem);
    }
    Ok(check)
}
