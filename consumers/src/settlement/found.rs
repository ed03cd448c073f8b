//! What a run finds: where it ends, and what each franchise has up to there.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use mypay_decide::remittance::paying_account;
use mypay_decide::settlement::Found;
use mypay_schemas::Flow;
use mypay_schemas::firmbanking::BankAccount;
use sqlx::{PgConnection, PgPool, Row};
use uuid::Uuid;

use super::{Accounts, Awaiting, Cut, Part};
use crate::bank_result;
use crate::contracts::Contracts;

/// The position in the slips that belongs to an instant, lane by lane.
///
/// A payment lane commits its slips in the order of their offsets and of their
/// instants, so the slips up to an instant are those below an offset. The lanes
/// are looked at under a share lock, which waits for the batch that is being
/// written, in a transaction of its own that ends at once: payments go on while
/// the run adds up. Whatever commits later has a later instant than the lock.
pub(super) async fn cut(pool: &PgPool, cut_at: DateTime<Utc>) -> Result<Cut, sqlx::Error> {
    let mut transaction = pool.begin().await?;
    let lanes = sqlx::query(
        "SELECT partition, next_offset, last_at <= $3 FROM lane
          WHERE consumer = $1 AND topic = $2 ORDER BY partition FOR SHARE",
    )
    .bind(Flow::Payment.name())
    .bind(Flow::Payment.request_topic())
    .bind(cut_at)
    .fetch_all(&mut *transaction)
    .await?;
    transaction.commit().await?;
    let mut cut = Vec::with_capacity(lanes.len());
    for lane in lanes {
        let (partition, next_offset): (i32, i64) = (lane.try_get(0)?, lane.try_get(1)?);
        let whole: bool = lane.try_get(2)?;
        let end = if whole {
            next_offset
        } else {
            first_after(pool, partition, cut_at)
                .await?
                .unwrap_or(next_offset)
        };
        cut.push((partition, end));
    }
    Ok(cut)
}

/// The first offset of a lane whose slip was made after an instant.
async fn first_after(
    pool: &PgPool,
    partition: i32,
    cut_at: DateTime<Utc>,
) -> Result<Option<i64>, sqlx::Error> {
    // From the newest back: a cut lies close before now, and the slips between
    // are few. Instants rise with the offsets, so the first that is not after
    // the cut ends the search.
    let row = sqlx::query(
        r#"WITH RECURSIVE back AS (
               (SELECT "offset", paid_at FROM payment.slip
                 WHERE partition = $1 ORDER BY "offset" DESC LIMIT 1)
               UNION ALL
               SELECT s."offset", s.paid_at FROM back b, LATERAL (
                   SELECT "offset", paid_at FROM payment.slip
                    WHERE partition = $1 AND "offset" < b."offset"
                    ORDER BY "offset" DESC LIMIT 1) s
                WHERE b.paid_at > $2
           )
           SELECT min("offset") FROM back WHERE paid_at > $2"#,
    )
    .bind(partition)
    .bind(cut_at)
    .fetch_one(pool)
    .await?;
    row.try_get(0)
}

/// What each franchise has that no run has settled, up to the cut.
pub(super) async fn parts(
    connection: &mut PgConnection,
    cut: &Cut,
    franchise_id: Option<Uuid>,
    contracts: &Contracts,
) -> Result<Vec<Part>, sqlx::Error> {
    // Sums over many slips: here the planner may choose its joins.
    sqlx::raw_sql("SET LOCAL enable_hashjoin = on; SET LOCAL enable_seqscan = on; SET LOCAL plan_cache_mode = auto; SET LOCAL statement_timeout = '10min'")
        .execute(&mut *connection)
        .await?;
    let rows = sqlx::query(
        r#"WITH slips AS (
               SELECT s.franchise_id, count(*) AS slips, sum(s.gross)::bigint AS gross,
                      sum(s.commission)::bigint AS commission
                 FROM unnest($1::int[], $2::bigint[]) AS c(partition, next_offset)
                 LEFT JOIN settlement.position everyone
                        ON everyone.franchise_id = $4 AND everyone.partition = c.partition
                 JOIN payment.slip s
                        ON s.partition = c.partition
                       AND s."offset" >= coalesce(everyone.next_offset, 0)
                       AND s."offset" < c.next_offset
                 LEFT JOIN settlement.position own
                        ON own.franchise_id = s.franchise_id AND own.partition = s.partition
                WHERE s."offset" >= coalesce(own.next_offset, 0)
                  AND ($3::uuid IS NULL OR s.franchise_id = $3)
                GROUP BY s.franchise_id
           ), owed AS (
               SELECT franchise_id, amount FROM settlement.owed
                WHERE amount <> 0 AND ($3::uuid IS NULL OR franchise_id = $3)
           )
           SELECT coalesce(s.franchise_id, o.franchise_id), coalesce(s.slips, 0),
                  coalesce(s.gross, 0), coalesce(s.commission, 0), coalesce(o.amount, 0),
                  a.bank_code, a.account_number, a.holder_name
             FROM slips s
             FULL JOIN owed o ON o.franchise_id = s.franchise_id
             LEFT JOIN banking.registered_account a
                    ON a.member_id = coalesce(s.franchise_id, o.franchise_id)
            ORDER BY 1"#,
    )
    .bind(
        cut.iter()
            .map(|(partition, _)| *partition)
            .collect::<Vec<_>>(),
    )
    .bind(
        cut.iter()
            .map(|(_, next_offset)| *next_offset)
            .collect::<Vec<_>>(),
    )
    .bind(franchise_id)
    .bind(Uuid::nil())
    .fetch_all(connection)
    .await?;
    let corporate = contracts.in_force();
    rows.iter()
        .map(|row| {
            let bank_code: Option<String> = row.try_get(5)?;
            let account = match bank_code {
                Some(bank_code) => match paying_account(&corporate, &bank_code) {
                    Some(from) => Some(Accounts {
                        from: from.clone(),
                        to: BankAccount {
                            bank_code,
                            account_number: row.try_get(6)?,
                        },
                        holder_name: row.try_get(7)?,
                    }),
                    None => None,
                },
                None => None,
            };
            let found = Found {
                franchise_id: row.try_get(0)?,
                slips: row.try_get(1)?,
                gross: row.try_get(2)?,
                commission: row.try_get(3)?,
                owed: row.try_get(4)?,
                has_account: account.is_some(),
            };
            Ok(Part { found, account })
        })
        .collect()
}

/// The payouts that wait for these commands.
pub(super) async fn awaiting(
    connection: &mut PgConnection,
    commands: &[Uuid],
) -> Result<HashMap<Uuid, Awaiting>, sqlx::Error> {
    if commands.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = sqlx::query(
        "SELECT p.firmbanking_id, p.payout_id, p.franchise_id, p.net, p.from_bank,
                q.processed_status = 'success', q.reason
           FROM unnest($1::uuid[]) AS c(id)
           JOIN settlement.payout p ON p.firmbanking_id = c.id
           JOIN queue_log q ON q.consumer = 'firmbanking' AND q.message_id = c.id
                           AND q.status = 'done'
          WHERE p.state = 'AWAITS_BANK'",
    )
    .bind(commands)
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            let awaiting = Awaiting {
                payout_id: row.try_get(1)?,
                franchise_id: row.try_get(2)?,
                amount: row.try_get(3)?,
                from_bank: row.try_get(4)?,
                answer: bank_result::answer(row.try_get(5)?, row.try_get(6)?),
            };
            Ok((row.try_get(0)?, awaiting))
        })
        .collect()
}
