//! What people have decided about cases (see `mypay_cases`), applied: in the
//! commit that changes the command, once.

use std::time::Duration;

use chrono::{DateTime, Utc};
use mypay_decide::bank_answer::Tries;
use sqlx::Row;
use tokio::sync::watch;
use uuid::Uuid;

use super::outcome::{Answered, Next};
use super::record::{self, RecordError, Recorder};

/// How often decisions are looked for.
const LOOK: Duration = Duration::from_millis(250);
/// How many are applied in one commit.
const BATCH: i64 = 100;
/// Applies decisions until `stop` turns true.
pub(super) async fn apply_all(recorder: Recorder, mut stop: watch::Receiver<bool>) {
    while !*stop.borrow() {
        match apply(&recorder).await {
            Ok(0) => {}
            Ok(_) => recorder.ring(),
            Err(error) if error.is_transient() => {
                tracing::warn!(%error, "decisions are not applied yet");
            }
            Err(error) => tracing::error!(%error, "decisions that cannot be applied"),
        }
        // Either ends the wait; the loop looks which it was.
        let _ = tokio::time::timeout(LOOK, stop.wait_for(|stop| *stop)).await;
    }
}

struct Taken {
    decision_id: Uuid,
    answered: Answered,
}

/// Applies what was decided; tells how many decisions were looked at.
async fn apply(recorder: &Recorder) -> Result<usize, RecordError> {
    let at = record::now();
    let mut transaction = recorder.pool.begin().await?;
    let notices = dismiss(&mut transaction, at).await?;
    // The command's row first, as everybody who changes it does.
    let rows = sqlx::query(
        "SELECT d.decision_id, f.firmbanking_id, f.fence, d.outcome, d.fee, d.operator, d.reason
           FROM banking.decision d
           JOIN banking.firmbanking f ON f.firmbanking_id = d.case_id
          WHERE d.applied_at IS NULL AND d.overtaken IS NULL
          ORDER BY f.firmbanking_id LIMIT $1
            FOR UPDATE OF f, d SKIP LOCKED",
    )
    .bind(BATCH)
    .fetch_all(&mut *transaction)
    .await?;
    let taken = rows
        .iter()
        .map(|row| taken(row, at))
        .collect::<Result<Vec<_>, _>>()?;
    if taken.is_empty() {
        transaction.commit().await?;
        return Ok(notices as usize);
    }
    let (ids, answers): (Vec<Uuid>, Vec<Answered>) = taken
        .into_iter()
        .map(|taken| (taken.decision_id, taken.answered))
        .unzip();
    let changed = recorder
        .settle(&mut transaction, &answers, &["manual"], at)
        .await?;
    let changed: Vec<Uuid> = changed.iter().map(|it| it.firmbanking_id).collect();
    sqlx::query(
        "UPDATE banking.decision d
            SET applied_at = CASE WHEN d.case_id = ANY($2) THEN $3::timestamptz END,
                overtaken = CASE WHEN d.case_id = ANY($2) THEN NULL
                                 ELSE 'the command was ' || f.state || ' by then' END
           FROM banking.firmbanking f
          WHERE d.decision_id = ANY($1) AND f.firmbanking_id = d.case_id",
    )
    .bind(&ids)
    .bind(&changed)
    .bind(at)
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(ids.len() + notices as usize)
}

fn taken(row: &sqlx::postgres::PgRow, at: DateTime<Utc>) -> Result<Taken, sqlx::Error> {
    let (outcome, fee): (String, i64) = (row.try_get(3)?, row.try_get(4)?);
    let (operator, reason): (String, String) = (row.try_get(5)?, row.try_get(6)?);
    let next = match outcome.as_str() {
        "done" => Next::Done {
            fee,
            bank_reference: String::new(),
        },
        "refused" => Next::Refused {
            reason: "refused_by_operator".to_string(),
            fee,
        },
        _ => Next::Pending { due_at: at },
    };
    Ok(Taken {
        decision_id: row.try_get(0)?,
        answered: Answered {
            firmbanking_id: row.try_get(1)?,
            fence: row.try_get(2)?,
            next,
            // Whatever was tried before was for nothing: it begins anew.
            tries: Tries::default(),
            detail: format!("{operator} decided {outcome}: {reason}"),
            conclusive: false,
            unmade: None,
        },
    })
}

/// Closes notices that were dismissed; tells how many.
async fn dismiss(
    connection: &mut sqlx::PgConnection,
    at: DateTime<Utc>,
) -> Result<u64, sqlx::Error> {
    let dismissed = sqlx::query(
        "WITH dismissed AS (
             UPDATE banking.notice n
                SET state = 'dismissed', changed_at = $1,
                    detail = concat_ws('; ', n.detail, d.operator || ' dismissed it: ' || d.reason)
               FROM banking.decision d
              WHERE d.case_id = n.case_id AND d.outcome = 'dismiss' AND n.state = 'case'
                AND d.applied_at IS NULL AND d.overtaken IS NULL
             RETURNING d.decision_id
         )
         UPDATE banking.decision d SET applied_at = $1
           FROM dismissed WHERE d.decision_id = dismissed.decision_id",
    )
    .bind(at)
    .execute(connection)
    .await?;
    Ok(dismissed.rows_affected())
}
