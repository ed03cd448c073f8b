//! Taking questions about holders, by the bank that is asked.
//!
//! Nothing needs to be known before such a question is asked, so taking it is one
//! statement: a lease, and the question counted for the bank's bill.

use chrono::{DateTime, Utc};
use mypay_decide::limits::korean_day;
use sqlx::{PgPool, Row};

use super::{Taken, Task, lease, rests_until};
use crate::worker::Workers;

/// Takes commands that wait to be told who holds an account at this bank.
pub(in crate::worker) async fn take(
    workers: &Workers,
    bank_code: &str,
    at_most: usize,
) -> Result<Vec<Taken>, sqlx::Error> {
    let now = Utc::now();
    let today = korean_day(now);
    let bank = workers.bank.table().bank(bank_code);
    if let Some(awake_at) = bank.and_then(|bank| rests_until(bank, now)) {
        put_off(&workers.pool, bank_code, awake_at, now).await?;
        return Ok(Vec::new());
    }
    let rows = sqlx::query(
        "WITH due AS (
             SELECT f.firmbanking_id,
                    EXISTS (SELECT FROM banking.contract c
                             WHERE c.bank_code = f.from_bank AND c.status = 'ACTIVE'
                               AND c.expires_on >= $4) AS in_force
               FROM banking.firmbanking f
              WHERE f.to_bank = $1 AND f.state = 'pending' AND NOT f.holder_checked
                AND f.due_at <= now() AND (f.leased_until IS NULL OR f.leased_until < now())
              ORDER BY f.due_at
              LIMIT $2
                FOR UPDATE OF f SKIP LOCKED
         ), taken AS (
             UPDATE banking.firmbanking f
                SET fence = f.fence + 1, leased_until = now() + make_interval(secs => $3),
                    changed_at = $5
               FROM due d
              WHERE f.firmbanking_id = d.firmbanking_id
             RETURNING f.firmbanking_id, f.fence, f.from_bank, f.from_account, f.to_bank,
                       f.to_account, f.amount, coalesce(f.sent_at, now()), f.inquiries, f.calls,
                       f.inquiry_tries, f.send_tries, f.holder_tries, d.in_force, f.to_holder_name
         ), asked AS (
             INSERT INTO banking.holder_inquiry AS h (bank_code, asked_on, inquiries)
             -- Before they are asked; what is not asked after all is taken back.
             SELECT $1, $4, count(*) FROM taken WHERE in_force AND $6 HAVING count(*) > 0
                 ON CONFLICT (bank_code, asked_on)
                 DO UPDATE SET inquiries = h.inquiries + EXCLUDED.inquiries
         )
         SELECT * FROM taken",
    )
    .bind(bank_code)
    .bind(at_most as i64)
    .bind(lease::lease(bank).as_secs_f64())
    .bind(today)
    .bind(now)
    // A bank that is in no table is never called.
    .bind(bank.is_some())
    .fetch_all(&workers.pool)
    .await?;
    rows.iter()
        .map(|row| {
            let mut taken = super::taken(row)?;
            let named: Option<String> = row.try_get(14)?;
            // Contracts are looked at before a command has its number.
            taken.task = match (row.try_get(13)?, named) {
                (true, Some(named)) => Task::Holder(named, bank.map(|_| today)),
                _ => Task::Lapsed,
            };
            Ok(taken)
        })
        .collect()
}

/// A bank that rests is not asked either: what waits for it waits until it is awake.
async fn put_off(
    pool: &PgPool,
    bank_code: &str,
    awake_at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "WITH due AS (
             SELECT firmbanking_id FROM banking.firmbanking
              WHERE to_bank = $1 AND state = 'pending' AND NOT holder_checked AND due_at <= now()
                -- Once: by the database's clock it may still be due.
                AND due_at < $2
                AND (leased_until IS NULL OR leased_until < now())
              ORDER BY due_at
              LIMIT 1000
                FOR UPDATE SKIP LOCKED
         ), changed AS (
             UPDATE banking.firmbanking f SET due_at = $2, changes = f.changes + 1
               FROM due d
              WHERE f.firmbanking_id = d.firmbanking_id
             RETURNING f.firmbanking_id, f.changes
         )
         INSERT INTO banking.firmbanking_history (firmbanking_id, seq, changed_at, state, detail)
         SELECT firmbanking_id, changes, $3, 'pending', $4 FROM changed",
    )
    .bind(bank_code)
    .bind(awake_at)
    .bind(now)
    .bind(format!("the receiver's bank rests until {awake_at}"))
    .execute(pool)
    .await?;
    Ok(())
}

/// Banks that are to be asked and are in no table of ours: nobody asks them.
pub(in crate::worker) async fn strangers(
    pool: &PgPool,
    known: &[String],
) -> Result<Vec<String>, sqlx::Error> {
    // From bank to bank through the index, however much waits for one of them.
    sqlx::query_scalar(
        "WITH RECURSIVE asked AS (
             (SELECT to_bank FROM banking.firmbanking
               WHERE state = 'pending' AND NOT holder_checked
               ORDER BY to_bank LIMIT 1)
             UNION ALL
             SELECT (SELECT f.to_bank FROM banking.firmbanking f
                      WHERE f.state = 'pending' AND NOT f.holder_checked AND f.to_bank > asked.to_bank
                      ORDER BY f.to_bank LIMIT 1)
               FROM asked WHERE asked.to_bank IS NOT NULL
         )
         SELECT to_bank FROM asked WHERE to_bank IS NOT NULL AND to_bank <> ALL($1)",
    )
    .bind(known)
    .fetch_all(pool)
    .await
}
