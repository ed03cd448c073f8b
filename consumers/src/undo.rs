//! Undos of payouts, as far as consumers and workers change them (see
//! `mypay_cases::undo`, where they are proposed and approved).

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

/// An undo that is not carried out, and why: the payout stays as it was.
pub(crate) async fn refuse(
    connection: &mut PgConnection,
    undo_id: Uuid,
    reason: &str,
    at: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE banking.undo SET state = 'refused', refused_for = $2, changed_at = $3
          WHERE undo_id = $1 AND state IN ('approved', 'asked')",
    )
    .bind(undo_id)
    .bind(reason)
    .bind(at)
    .execute(connection)
    .await?;
    Ok(())
}

/// An undo that its bank has done: the payout came back.
pub(crate) async fn done(
    connection: &mut PgConnection,
    undo_id: Uuid,
    at: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE banking.undo SET state = 'done', changed_at = $2 WHERE undo_id = $1")
        .bind(undo_id)
        .bind(at)
        .execute(connection)
        .await?;
    Ok(())
}
