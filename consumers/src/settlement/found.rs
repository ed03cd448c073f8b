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

/// The first offset of a lane whose slip or cancel was made after an instant.
async fn first_after(
    pool: &PgPool,
    partition: i32,
    cut_at: DateTime<Utc>,
) -> Result<Option<i64>, sqlx::Error> {
    // From the newest back: a cut lies close before now, and the slips between
    // are few. Instants rise with the offsets, so the first that is not after
    // the cut ends the search.
    let row = sqlx::query(
        r#"WITH RECURSIVE slips AS (
               (SELECT "offset", paid_at FROM payment.slip
                 WHERE partition = $1 ORDER BY "offset" DESC LIMIT 1)
               UNION ALL
               SELECT s."offset", s.paid_at FROM slips b, LATERAL (
                   SELECT "offset", paid_at FROM payment.slip
                    WHERE partition = $1 AND "offset" < b."offset"
                    ORDER BY "offset" DESC LIMIT 1) s
                WHERE b.paid_at > $2
           ), cancels AS (
               (SELECT "offset", cancelled_at FROM payment.cancel
                 WHERE partition = $1 ORDER BY "offset" DESC LIMIT 1)
               UNION ALL
               SELECT c."offset", c.cancelled_at FROM cancels b, LATERAL (
                   SELECT "offset", cancelled_at FROM payment.cancel
                    WHERE partition = $1 AND "offset" < b."offset"
                    ORDER BY "offset" DESC LIMIT 1) c
                WHERE b.cancelled_at > $2
           )
           SELECT least((SELECT min("offset") FROM slips WHERE paid_at > $2),
                        (SELECT min("offset") FROM cancels WHERE cancelled_at > $2))"#,
    )
    .bind(partition)
    .bind(cut_at)
    .fetch_one(pool)
    .await?;
    row.try_get(0)
}

/// From where on a run settles: the positions that runs before it have left.
///
/// For a run over all, the positions of all and of those franchises that were
/// settled further by a run of their own; for one franchise, whatever counts.
pub(super) async fn from(
    connection: &mut PgConnection,
    franchise_id: Option<Uuid>,
) -> Result<Vec<(Uuid, i32, i64)>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT p.franchise_id, p.partition, p.next_offset
           FROM settlement.position p
           LEFT JOIN settlement.position everyone
                  ON everyone.franchise_id = $2 AND everyone.partition = p.partition
          WHERE ($1::uuid IS NULL OR p.franchise_id IN ($1, $2))
            AND (p.franchise_id = $2 OR p.next_offset > coalesce(everyone.next_offset, 0))",
    )
    .bind(franchise_id)
    .bind(Uuid::nil())
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?)))
        .collect()
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
        r#"WITH lanes AS (
               SELECT c.partition, coalesce(everyone.next_offset, 0) AS from_offset, c.next_offset
                 FROM unnest($1::int[], $2::bigint[]) AS c(partition, next_offset)
                 LEFT JOIN settlement.position everyone
                        ON everyone.franchise_id = $4 AND everyone.partition = c.partition
           ), slips AS (
               SELECT s.franchise_id, count(*) AS slips, sum(s.gross)::bigint AS gross,
                      sum(s.commission)::bigint AS commission
                 FROM lanes l
                 JOIN payment.slip s
                        ON s.partition = l.partition
                       AND s."offset" >= l.from_offset AND s."offset" < l.next_offset
                 LEFT JOIN settlement.position own
                        ON own.franchise_id = s.franchise_id AND own.partition = s.partition
                WHERE s."offset" >= coalesce(own.next_offset, 0)
                  AND ($3::uuid IS NULL OR s.franchise_id = $3)
                GROUP BY s.franchise_id
           ), cancels AS (
               SELECT c.franchise_id, count(*) AS cancels, sum(c.amount)::bigint AS cancelled,
                      sum(c.commission_back)::bigint AS commission_back
                 FROM lanes l
                 JOIN payment.cancel c
                        ON c.partition = l.partition
                       AND c."offset" >= l.from_offset AND c."offset" < l.next_offset
                 LEFT JOIN settlement.position own
                        ON own.franchise_id = c.franchise_id AND own.partition = c.partition
                WHERE c."offset" >= coalesce(own.next_offset, 0)
                  AND ($3::uuid IS NULL OR c.franchise_id = $3)
                GROUP BY c.franchise_id
           ), owed AS (
               SELECT franchise_id, amount FROM settlement.owed
                WHERE amount <> 0 AND ($3::uuid IS NULL OR franchise_id = $3)
           ), found AS (
               SELECT franchise_id, coalesce(s.slips, 0) AS slips, coalesce(s.gross, 0) AS gross,
                      coalesce(c.cancels, 0) AS cancels, coalesce(c.cancelled, 0) AS cancelled,
                      coalesce(s.commission, 0) - coalesce(c.commission_back, 0) AS commission,
                      coalesce(o.amount, 0) AS owed
                 FROM slips s
                 FULL JOIN cancels c USING (franchise_id)
                 FULL JOIN owed o USING (franchise_id)
           )
           SELECT f.franchise_id, f.slips, f.gross, f.commission, f.owed,
                  a.bank_code, a.account_number, a.holder_name, f.cancels, f.cancelled,
                  EXISTS (SELECT FROM settlement.hold h
                           WHERE h.franchise_id = f.franchise_id AND h.released_at IS NULL)
             FROM found f
             LEFT JOIN banking.registered_account a ON a.member_id = f.franchise_id
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
                cancelled: row.try_get(9)?,
                on_hold: row.try_get(10)?,
            };
            Ok(Part {
                found,
                account,
                cancels: row.try_get(8)?,
            })
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
