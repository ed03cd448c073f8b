//! Our side of a day, from one snapshot.

use chrono::{Days, NaiveDate};
use mypay_bank::wire::Total;
use mypay_decide::AccountKind;
use mypay_decide::account::bank_owner;
use mypay_decide::limits::korean_day_end;
use mypay_schemas::identity::derive;
use sqlx::{PgConnection, PgPool, Row};
use uuid::Uuid;

use crate::error::AuditError;

/// Refusals that the bank knows nothing of: nothing was sent, or people said so.
const NOT_THE_BANKS: [&str; 2] = ["format_error", "refused_by_operator"];
/// What a flow has not posted after so many days is no matter of a day's close.
const POSTED_WITHIN: Days = Days::new(14);

/// What we have of a day at a bank.
#[derive(Debug, Clone, Default)]
pub(super) struct Ours {
    pub(super) outgoing: Total,
    pub(super) incoming: Total,
    pub(super) other: Total,
    pub(super) refused: Total,
    pub(super) reversed: Total,
    pub(super) closing_balance: i64,
    pub(super) unsettled: i64,
    pub(super) cases: i64,
    pub(super) open_notices: i64,
}

/// Our corporate accounts: bank and number.
pub(super) async fn accounts(pool: &PgPool) -> Result<Vec<(String, String)>, AuditError> {
    let query = "SELECT bank_code, corporate_account FROM banking.contract ORDER BY bank_code";
    Ok(sqlx::query_as(query).fetch_all(pool).await?)
}

/// Loads our side.
pub(super) async fn load(
    pool: &PgPool,
    bank_code: &str,
    account: &str,
    date: NaiveDate,
) -> Result<Ours, AuditError> {
    let mut snapshot = pool
        .begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        .await?;
    let mut ours = Ours::default();
    commands(&mut snapshot, bank_code, date, &mut ours).await?;
    coming(&mut snapshot, bank_code, date, &mut ours).await?;
    notices(&mut snapshot, bank_code, date, &mut ours).await?;
    let now = cash_now(&mut snapshot, bank_code).await?;
    let later = opened_later(&mut snapshot, bank_code, date).await?
        + moved(&mut snapshot, (bank_code, account), date, Moved::Later).await?;
    let unposted = moved(&mut snapshot, (bank_code, account), date, Moved::Unposted).await?;
    ours.closing_balance = now - later + unposted;
    snapshot.commit().await?;
    Ok(ours)
}

async fn commands(
    connection: &mut PgConnection,
    bank_code: &str,
    date: NaiveDate,
    ours: &mut Ours,
) -> Result<(), AuditError> {
    let rows = sqlx::query(
        "SELECT CASE WHEN f.state NOT IN ('done', 'refused') THEN f.state
                     WHEN f.state = 'refused' THEN 'refused'
                     WHEN a.bank_code IS NOT NULL THEN 'outgoing'
                     WHEN b.bank_code IS NOT NULL THEN 'incoming'
                     ELSE 'other' END AS grouped,
                count(*), coalesce(sum(f.amount), 0)::bigint, coalesce(sum(f.fee), 0)::bigint
           FROM banking.firmbanking f
           LEFT JOIN banking.contract a ON a.bank_code = f.from_bank
                                       AND a.corporate_account = f.from_account
           LEFT JOIN banking.contract b ON b.bank_code = f.to_bank
                                       AND b.corporate_account = f.to_account
          WHERE f.from_bank = $1 AND f.business_date = $2 AND f.transaction_number IS NOT NULL
            -- What never left is in no bank's day, whatever number it had.
            AND (f.state <> 'refused' OR f.calls > 0 AND f.reason <> ALL($3))
          GROUP BY grouped",
    )
    .bind(bank_code)
    .bind(date)
    .bind(NOT_THE_BANKS)
    .fetch_all(connection)
    .await?;
    for row in rows {
        let group: String = row.try_get(0)?;
        let total = Total {
            count: row.try_get(1)?,
            amount: row.try_get(2)?,
            fees: row.try_get(3)?,
        };
        match group.as_str() {
            "outgoing" => ours.outgoing = total,
            "incoming" => ours.incoming = total,
            "other" => ours.other = total,
            "refused" => ours.refused = total,
            state => {
                ours.unsettled += total.count;
                ours.cases += if state == "manual" { total.count } else { 0 };
            }
        }
    }
    Ok(())
}

/// What other banks have yet to move to our account at this one, or to take back from
/// it: its balance may be ahead of what we know.
async fn coming(
    connection: &mut PgConnection,
    bank_code: &str,
    date: NaiveDate,
    ours: &mut Ours,
) -> Result<(), AuditError> {
    let row = sqlx::query(
        "SELECT count(*) FILTER (WHERE state NOT IN ('done', 'refused')),
                count(*) FILTER (WHERE state = 'manual'),
                (SELECT count(*)
                   FROM banking.notice n
                   JOIN banking.firmbanking f
                     ON f.from_bank = n.bank_code AND f.business_date = n.business_date
                    AND f.transaction_number = n.transaction_number
                  WHERE n.notice_date = $2 AND n.state IN ('waits', 'case')
                    AND f.to_ours AND f.from_bank <> f.to_bank AND f.to_bank = $1)
           FROM banking.firmbanking
          WHERE to_ours AND from_bank <> to_bank AND to_bank = $1 AND business_date = $2",
    )
    .bind(bank_code)
    .bind(date)
    .fetch_one(connection)
    .await?;
    ours.unsettled += row.try_get::<i64, _>(0)?;
    ours.cases += row.try_get::<i64, _>(1)?;
    ours.open_notices += row.try_get::<i64, _>(2)?;
    Ok(())
}

async fn notices(
    connection: &mut PgConnection,
    bank_code: &str,
    date: NaiveDate,
    ours: &mut Ours,
) -> Result<(), AuditError> {
    let row = sqlx::query(
        "SELECT count(*), coalesce(sum(amount), 0)::bigint,
                count(*) FILTER (WHERE state IN ('waits', 'case'))
           FROM banking.notice WHERE bank_code = $1 AND notice_date = $2",
    )
    .bind(bank_code)
    .bind(date)
    .fetch_one(connection)
    .await?;
    ours.reversed = Total {
        count: row.try_get(0)?,
        amount: row.try_get(1)?,
        fees: 0,
    };
    ours.open_notices += row.try_get::<i64, _>(2)?;
    Ok(())
}

/// Our cash there by the ledger, which keeps assets below zero.
async fn cash_now(connection: &mut PgConnection, bank_code: &str) -> Result<i64, AuditError> {
    let row = sqlx::query(
        "SELECT -coalesce(sum(balance), 0)::bigint FROM money.account WHERE kind = $1 AND owner = $2",
    )
    .bind(AccountKind::CorporateCash.number())
    .bind(bank_owner(bank_code))
    .fetch_one(connection)
    .await?;
    Ok(row.try_get(0)?)
}

/// What the account was opened with, where that was after the day.
async fn opened_later(
    connection: &mut PgConnection,
    bank_code: &str,
    date: NaiveDate,
) -> Result<i64, AuditError> {
    let row = sqlx::query(
        "SELECT coalesce(sum(amount), 0)::bigint FROM money.posting
          WHERE entry_id = $1 AND posted_at >= $2",
    )
    .bind(derive(Uuid::nil(), &format!("opening {bank_code}")))
    .bind(korean_day_end(date))
    .fetch_one(connection)
    .await?;
    Ok(row.try_get(0)?)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Moved {
    /// Of later days, and posted.
    Later,
    /// Of this day or before, and not posted.
    Unposted,
}

/// What commands and reversals moved on our account, whole won: in positive, out
/// negative, fees counted in.
async fn moved(
    connection: &mut PgConnection,
    (bank_code, account): (&str, &str),
    date: NaiveDate,
    which: Moved,
) -> Result<i64, AuditError> {
    // A flow posts the amount when it has heard of the answer; the fee, and what
    // no flow asked for, are posted with the answer itself.
    let row = sqlx::query(
        "WITH settled AS (
             SELECT f.*, CASE f.purpose
                    WHEN 'recharge' THEN EXISTS (
                        SELECT 1 FROM recharge.recharge o
                         WHERE o.firmbanking_id = f.firmbanking_id AND o.state = 'COMPLETED')
                    WHEN 'remittance' THEN EXISTS (
                        SELECT 1 FROM remittance.payout o
                         WHERE o.firmbanking_id = f.firmbanking_id AND o.state = 'COMPLETED')
                    WHEN 'settlement' THEN EXISTS (
                        SELECT 1 FROM settlement.payout o
                         WHERE o.firmbanking_id = f.firmbanking_id AND o.state = 'COMPLETED')
                    WHEN 'closing' THEN EXISTS (
                        SELECT 1 FROM membership.closing o
                         WHERE o.firmbanking_id = f.firmbanking_id AND o.state = 'COMPLETED')
                    -- By the flow whose payout it brings back.
                    WHEN 'undo' THEN EXISTS (
                        SELECT 1 FROM remittance.payout o
                         WHERE o.firmbanking_id = f.origin_id AND o.reversed_at IS NOT NULL)
                        OR EXISTS (
                        SELECT 1 FROM settlement.payout o
                         WHERE o.firmbanking_id = f.origin_id AND o.reversed_at IS NOT NULL)
                        OR EXISTS (
                        SELECT 1 FROM membership.closing o
                         WHERE o.firmbanking_id = f.origin_id AND o.reversed_at IS NOT NULL)
                    ELSE true END AS posted,
                    CASE WHEN (f.from_bank, f.from_account) = ($1, $2) THEN -f.amount
                         WHEN (f.to_bank, f.to_account) = ($1, $2) THEN f.amount
                         ELSE 0 END AS moves
               FROM banking.firmbanking f
              WHERE f.from_bank IN (SELECT bank_code FROM banking.contract)
                AND f.business_date BETWEEN $3 AND $4 AND f.state IN ('done', 'refused')
         ), amounts AS (
             SELECT coalesce(sum(moves) FILTER (WHERE state = 'done' AND posted = $5), 0)
                    - CASE WHEN $5 THEN coalesce(sum(fee) FILTER (WHERE from_bank = $1), 0)
                           ELSE 0 END AS won
               FROM settled
         ), back AS (
             -- On the sender's account it came in again, on the receiver's it went.
             SELECT CASE WHEN r.bank_code = $1 THEN r.amount ELSE -r.amount END AS amount,
                    CASE f.purpose
                    WHEN 'remittance' THEN EXISTS (
                        SELECT 1 FROM remittance.payout o
                         WHERE o.firmbanking_id = f.firmbanking_id AND o.reversed_at IS NOT NULL)
                    WHEN 'settlement' THEN EXISTS (
                        SELECT 1 FROM settlement.payout o
                         WHERE o.firmbanking_id = f.firmbanking_id AND o.reversed_at IS NOT NULL)
                    WHEN 'closing' THEN EXISTS (
                        SELECT 1 FROM membership.closing o
                         WHERE o.firmbanking_id = f.firmbanking_id AND o.reversed_at IS NOT NULL)
                    ELSE true END AS posted
               FROM banking.reversal r
               JOIN banking.firmbanking f ON f.firmbanking_id = r.firmbanking_id
              -- What we have undone ourselves is a command, and counted as one.
              WHERE r.undo_id IS NULL
                AND (r.bank_code = $1
                     OR (f.to_ours AND f.from_bank <> f.to_bank AND f.to_bank = $1))
                AND r.notice_date BETWEEN $3 AND $4
         )
         SELECT ((SELECT won FROM amounts)
                 + (SELECT coalesce(sum(amount) FILTER (WHERE posted = $5), 0) FROM back))::bigint",
    )
    .bind(bank_code)
    .bind(account);
    let row = match which {
        Moved::Later => row
            .bind(date.succ_opt().unwrap_or(date))
            // No command is of a day that far ahead.
            .bind(date.checked_add_days(Days::new(3_660)).unwrap_or(date))
            .bind(true),
        Moved::Unposted => row
            .bind(date.checked_sub_days(POSTED_WITHIN).unwrap_or(date))
            .bind(date)
            .bind(false),
    };
    Ok(row.fetch_one(connection).await?.try_get(0)?)
}
