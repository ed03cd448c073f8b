//! The rows of closings, and how members stand after them.

use chrono::{DateTime, Utc};
use mypay_idempotency::queue_log::{self, Outcome};
use mypay_ledger::WriteError;
use mypay_schemas::Flow;
use mypay_schemas::firmbanking::{PURPOSE_CLOSING, id_of_command};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Awaiting, Begun, payout_id};

/// Writes a closing that was taken up.
pub(super) async fn begun(
    connection: &mut PgConnection,
    begun: &Begun,
    at: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let decided = &begun.decided;
    let payout = decided.payout.as_ref();
    let state = match payout {
        Some(_) => "AWAITS_BANK",
        None => "COMPLETED",
    };
    sqlx::query(
        "INSERT INTO membership.closing
                (closing_id, member_id, reason, unclaimed, amount, payout_id, firmbanking_id,
                 from_bank, to_bank, to_account, holder_name, correlation_id, state,
                 requested_at, changed_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
    )
    .bind(begun.closing_id)
    .bind(decided.member_id)
    .bind(&begun.reason)
    .bind(decided.unclaimed)
    .bind(decided.amount)
    .bind(payout.map(|_| payout_id(begun.closing_id)))
    .bind(payout.map(|_| id_of_command(PURPOSE_CLOSING, begun.closing_id)))
    .bind(payout.map(|payout| &*payout.from.bank_code))
    .bind(payout.map(|payout| &*payout.to.bank_code))
    .bind(payout.map(|payout| &*payout.to.account_number))
    .bind(payout.map(|payout| &*payout.holder_name))
    .bind(&begun.correlation_id)
    .bind(state)
    .bind(begun.requested_at)
    .bind(at)
    .execute(&mut *connection)
    .await?;
    if decided.unclaimed {
        // It was closed before, and stays so.
        return Ok(());
    }
    let status = match payout {
        Some(_) => "CLOSING",
        None => "CLOSED",
    };
    set_status(connection, decided.member_id, status, at).await
}

/// Ends a closing, and the request in `queue_log` with it.
pub(super) async fn ended(
    connection: &mut PgConnection,
    awaiting: &Awaiting,
    outcome: &Outcome,
    at: DateTime<Utc>,
) -> Result<(), WriteError> {
    let done = outcome.success == Some(true);
    let written = sqlx::query(
        "UPDATE membership.closing
            SET state = CASE WHEN $2 THEN 'COMPLETED' ELSE 'REJECTED' END, changed_at = $3
          WHERE closing_id = $1 AND state = 'AWAITS_BANK'",
    )
    .bind(awaiting.closing_id)
    .bind(done)
    .bind(at)
    .execute(&mut *connection)
    .await?
    .rows_affected();
    if written == 0 {
        // Another lane was faster: load again, and see.
        return Err(WriteError::Shortfall);
    }
    if !awaiting.was_closed {
        let status = if done { "CLOSED" } else { "OPEN" };
        set_status(connection, awaiting.member_id, status, at).await?;
    }
    let ended = [(awaiting.closing_id, outcome.clone())];
    queue_log::finish(connection, Flow::Closing.name(), &ended).await?;
    Ok(())
}

/// Changes how a member stands: a version like any other change.
async fn set_status(
    connection: &mut PgConnection,
    member_id: Uuid,
    status: &str,
    at: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "WITH kept AS (
             INSERT INTO membership.member_version
                    (member_id, version, name, email, area, address, status, valid_from, valid_to)
             SELECT member_id, version, name, email, area, address, status,
                    coalesce(changed_at, created_at),
                    greatest($3, changed_at, created_at)
               FROM membership.member WHERE member_id = $1
         )
         UPDATE membership.member
            SET status = $2, version = version + 1,
                changed_at = greatest($3, changed_at, created_at)
          WHERE member_id = $1",
    )
    .bind(member_id)
    .bind(status)
    .bind(at)
    .execute(connection)
    .await?;
    Ok(())
}
