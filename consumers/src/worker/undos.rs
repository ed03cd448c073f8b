//! Payouts that operators undo (see `mypay_cases`): the command that an approved undo
//! asks for, and what its end makes of the payout. Each is a commit of its own, once.

use std::time::Duration;

use chrono::{DateTime, Utc};
use mypay_idempotency::horizon;
use mypay_schemas::Flow;
use mypay_schemas::firmbanking::{BankAccount, FirmbankingRequest, PURPOSE_UNDO};
use mypay_schemas::identity::time_of;
use mypay_schemas::reversal::{FirmbankingReversal, reversal_id};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use tokio::sync::watch;
use uuid::Uuid;

use super::record::{self, RecordError, Recorder};
use crate::undo;

/// How often approved undos are looked for.
const LOOK: Duration = Duration::from_millis(250);
/// How many are asked for in one commit.
const BATCH: i64 = 100;

/// Asks for the commands of approved undos until `stop` turns true.
pub(super) async fn ask_all(recorder: Recorder, mut stop: watch::Receiver<bool>) {
    while !*stop.borrow() {
        match ask(&recorder).await {
            Ok(0) => {}
            Ok(_) => recorder.ring(),
            Err(error) if error.is_transient() => {
                tracing::warn!(%error, "undos are not asked for yet");
            }
            Err(error) => tracing::error!(%error, "undos that cannot be asked for"),
        }
        // Either ends the wait; the loop looks which it was.
        let _ = tokio::time::timeout(LOOK, stop.wait_for(|stop| *stop)).await;
    }
}

/// Asks for what is approved; tells how many undos were looked at.
///
/// The request is in the outbox in the commit that says so, and its id is derived from
/// the payout's: however often the way to the bank is gone, it is one command.
async fn ask(recorder: &Recorder) -> Result<usize, RecordError> {
    let at = record::now();
    let mut transaction = recorder.pool.begin().await?;
    let rows = sqlx::query(
        "SELECT u.undo_id, u.firmbanking_id, u.approved_at, f.correlation_id, f.traceparent,
                f.to_bank, f.to_account, f.amount, c.corporate_account
           FROM banking.undo u
           JOIN banking.firmbanking f USING (firmbanking_id)
           LEFT JOIN banking.contract c ON c.bank_code = f.to_bank
          WHERE u.state = 'approved'
          ORDER BY u.firmbanking_id LIMIT $1
            FOR UPDATE OF u SKIP LOCKED",
    )
    .bind(BATCH)
    .fetch_all(&mut *transaction)
    .await?;
    if rows.is_empty() {
        return Ok(0);
    }
    let oldest = horizon::oldest(&mut transaction).await?;
    let (mut asked, mut requests) = (Vec::new(), Vec::new());
    for row in &rows {
        let undo_id: Uuid = row.try_get(0)?;
        match request(row, oldest)? {
            Ok(request) => {
                asked.push(undo_id);
                requests.push((undo_id.to_string(), row.try_get(4)?, request));
            }
            Err(reason) => undo::refuse(&mut transaction, undo_id, reason, at).await?,
        }
    }
    sqlx::query("UPDATE banking.undo SET state = 'asked', changed_at = $2 WHERE undo_id = ANY($1)")
        .bind(&asked)
        .bind(at)
        .execute(&mut *transaction)
        .await?;
    let topic = Flow::Firmbanking.request_topic();
    recorder.tell(&mut transaction, topic, requests, at).await?;
    transaction.commit().await?;
    Ok(rows.len())
}

/// The request of an undo's command; else why there can be none. Whether the contract is
/// in force is looked at by whoever takes the command in, as of a recharge.
fn request(
    row: &PgRow,
    oldest: i64,
) -> Result<Result<FirmbankingRequest, &'static str>, sqlx::Error> {
    let payout: Uuid = row.try_get(1)?;
    // Nobody could claim what follows from so old a request.
    if time_of(payout) < oldest {
        return Ok(Err("past_horizon"));
    }
    let Some(corporate_account) = row.try_get(8)? else {
        return Ok(Err("no_contract"));
    };
    let bank_code: String = row.try_get(5)?;
    let approved_at: DateTime<Utc> = row.try_get(2)?;
    Ok(Ok(FirmbankingRequest {
        message_id: row.try_get::<Uuid, _>(0)?.to_string(),
        correlation_id: row.try_get(3)?,
        requested_at: approved_at.timestamp_millis(),
        purpose: PURPOSE_UNDO.to_string(),
        from: BankAccount {
            bank_code: bank_code.clone(),
            account_number: row.try_get(6)?,
        },
        to: BankAccount {
            bank_code,
            account_number: corporate_account,
        },
        amount: row.try_get(7)?,
        to_holder_name: None,
        causation_id: Some(payout.to_string()),
    }))
}

/// An undo's command that has ended.
pub(super) struct Ended {
    /// The command.
    pub(super) undo_id: Uuid,
    /// Why it was refused; `None`: the bank did it.
    pub(super) refused_for: Option<String>,
}

/// What tells that a payout came back: key, trace and record.
type CameBack = (String, Option<String>, FirmbankingReversal);

/// Writes what became of undos, in the commit that ends their commands: those that were
/// done bring their payouts back, as a reversal of the bank's would. Gives what is to be
/// told of that.
pub(super) async fn end(
    connection: &mut PgConnection,
    ended: &[Ended],
    at: DateTime<Utc>,
) -> Result<Vec<CameBack>, sqlx::Error> {
    let mut done = Vec::new();
    for it in ended {
        match &it.refused_for {
            Some(reason) => undo::refuse(connection, it.undo_id, reason, at).await?,
            None => done.push(it.undo_id),
        }
    }
    if done.is_empty() {
        return Ok(Vec::new());
    }
    // The payouts' rows before their undos, as who approves and who judges notices do.
    let rows = sqlx::query(
        "SELECT u.undo_id, p.firmbanking_id, p.correlation_id, p.traceparent, p.purpose,
                p.origin_id, p.amount, p.from_bank, p.business_date, p.transaction_number,
                f.from_bank, f.business_date
           FROM banking.undo u
           JOIN banking.firmbanking p ON p.firmbanking_id = u.firmbanking_id
           JOIN banking.firmbanking f ON f.firmbanking_id = u.undo_id
          WHERE u.undo_id = ANY($1)
          ORDER BY p.firmbanking_id
            FOR UPDATE OF p",
    )
    .bind(&done)
    .fetch_all(&mut *connection)
    .await?;
    let mut events = Vec::with_capacity(rows.len());
    for row in &rows {
        undo::done(connection, row.try_get(0)?, at).await?;
        came_back(connection, row, at).await?;
        events.push(event(row, at)?);
    }
    Ok(events)
}

/// Writes that a payout came back. A second time fails, and nothing is written.
async fn came_back(
    connection: &mut PgConnection,
    row: &PgRow,
    at: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let (undo_id, payout): (Uuid, Uuid) = (row.try_get(0)?, row.try_get(1)?);
    sqlx::query(
        "WITH came_back AS (
             INSERT INTO banking.reversal
                    (firmbanking_id, bank_code, amount, reversed_at, recorded_at, undo_id)
             VALUES ($1, $2, $3, $4, $4, $5)
             RETURNING firmbanking_id
         ), changed AS (
             UPDATE banking.firmbanking f SET changes = f.changes + 1
               FROM came_back c
              WHERE f.firmbanking_id = c.firmbanking_id
             RETURNING f.firmbanking_id, f.changes
         )
         INSERT INTO banking.firmbanking_history (firmbanking_id, seq, changed_at, state, detail)
         SELECT firmbanking_id, changes, $4, 'done', 'came back, by the undo ' || $5::uuid
           FROM changed",
    )
    .bind(payout)
    .bind(row.try_get::<String, _>(10)?)
    .bind(row.try_get::<i64, _>(6)?)
    .bind(at)
    .bind(undo_id)
    .execute(connection)
    .await?;
    Ok(())
}

fn event(row: &PgRow, at: DateTime<Utc>) -> Result<CameBack, sqlx::Error> {
    let (undo_id, payout): (Uuid, Uuid) = (row.try_get(0)?, row.try_get(1)?);
    let origin_id: Option<Uuid> = row.try_get(5)?;
    let (commanded_on, undone_on): (chrono::NaiveDate, chrono::NaiveDate) =
        (row.try_get(8)?, row.try_get(11)?);
    let request_id = payout.to_string();
    let record = FirmbankingReversal {
        message_id: reversal_id(payout).to_string(),
        request_id: request_id.clone(),
        correlation_id: row.try_get(2)?,
        occurred_at: at.timestamp_millis(),
        purpose: row.try_get(4)?,
        origin_id: origin_id.map(|id| id.to_string()),
        amount: row.try_get(6)?,
        bank_code: row.try_get(7)?,
        business_date: commanded_on.to_string(),
        transaction_number: i64::from(row.try_get::<i32, _>(9)?),
        notice_date: undone_on.to_string(),
        notice_number: 0,
        reversed_at: at.timestamp_millis(),
        causation_id: Some(undo_id.to_string()),
    };
    Ok((request_id, row.try_get(3)?, record))
}
