//! The chains of cancels, as a batch loads and lengthens them.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use mypay_decide::cancel::{Cancel, Paid};
use mypay_decide::payment::Slip;
use mypay_schemas::Flow;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

/// A cancel that the batch grants.
pub(super) struct NewCancel {
    pub(super) payment_id: Uuid,
    pub(super) cancel_id: Uuid,
    pub(super) reason: String,
    pub(super) partition: i32,
    pub(super) offset: i64,
    pub(super) slip: Slip,
    pub(super) link: Cancel,
}

/// Loads payments and where their chains stand; those that are not known are
/// left out.
///
/// The slips stay locked until the commit, in the order of their ids: cancels of
/// one payment may come through several lanes, if somebody keys them otherwise,
/// and each must see the one before it. They are few, so that nobody waits who
/// has nothing to do with them. The chain is read by a second statement, which
/// sees what was committed while the first one waited for its locks.
pub(super) async fn load(
    connection: &mut PgConnection,
    payments: &HashSet<Uuid>,
) -> Result<HashMap<Uuid, Paid>, sqlx::Error> {
    if payments.is_empty() {
        return Ok(HashMap::new());
    }
    let ids: Vec<Uuid> = payments.iter().copied().collect();
    let slips = sqlx::query(
        "SELECT payment_id, member_id, franchise_id, gross, commission_bps, commission
           FROM payment.slip WHERE payment_id = ANY($1)
          ORDER BY payment_id FOR NO KEY UPDATE",
    )
    .bind(&ids)
    .fetch_all(&mut *connection)
    .await?;
    let mut paid = slips
        .iter()
        .map(|row| {
            let slip = Slip {
                member_id: row.try_get(1)?,
                franchise_id: row.try_get(2)?,
                gross: row.try_get(3)?,
                commission_bps: row.try_get(4)?,
                commission: row.try_get(5)?,
            };
            Ok((row.try_get(0)?, Paid::new(slip)))
        })
        .collect::<Result<HashMap<Uuid, Paid>, sqlx::Error>>()?;
    let chains = sqlx::query(
        "SELECT DISTINCT ON (payment_id) payment_id, seq, refunded
           FROM payment.cancel WHERE payment_id = ANY($1)
          ORDER BY payment_id, seq DESC",
    )
    .bind(&ids)
    .fetch_all(connection)
    .await?;
    for row in &chains {
        if let Some(paid) = paid.get_mut(&row.try_get(0)?) {
            (paid.cancels, paid.refunded) = (row.try_get(1)?, row.try_get(2)?);
        }
    }
    Ok(paid)
}

/// Which of these payments are asked for and not decided yet, as `queue_log` has it:
/// taken by the edge and on their way, or waiting for a top-up.
///
/// Asked before [`load`]: a payment that is made in between has its slip by then. The
/// other way round it would be found neither there nor here, and be called unknown.
pub(super) async fn in_progress(
    connection: &mut PgConnection,
    payments: &HashSet<Uuid>,
) -> Result<HashSet<Uuid>, sqlx::Error> {
    if payments.is_empty() {
        return Ok(HashSet::new());
    }
    let ids: Vec<Uuid> = payments.iter().copied().collect();
    let rows = sqlx::query(
        "SELECT q.message_id
           FROM unnest($2::uuid[]) AS m(id)
           JOIN queue_log q ON q.consumer = $1 AND q.message_id = m.id
          WHERE q.status <> 'done'",
    )
    .bind(Flow::Payment.name())
    .bind(ids)
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| row.try_get(0)).collect()
}

/// Lengthens the chains.
pub(super) async fn insert(
    connection: &mut PgConnection,
    cancels: &[NewCancel],
    at: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    if cancels.is_empty() {
        return Ok(());
    }
    let ids = |of: fn(&NewCancel) -> Uuid| -> Vec<Uuid> { cancels.iter().map(of).collect() };
    let amounts = |of: fn(&NewCancel) -> i64| -> Vec<i64> { cancels.iter().map(of).collect() };
    sqlx::query(
        r#"INSERT INTO payment.cancel
                  (payment_id, seq, cancel_id, member_id, franchise_id, reason, gross, amount, refunded,
                   commission_back, commission_after, partition, "offset", cancelled_at)
           SELECT c.*, $14
             FROM unnest($1::uuid[], $2::int[], $3::uuid[], $4::uuid[], $5::uuid[], $6::text[],
                         $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[],
                         $12::int[], $13::bigint[]) AS c"#,
    )
    .bind(ids(|cancel| cancel.payment_id))
    .bind(cancels.iter().map(|cancel| cancel.link.seq).collect::<Vec<_>>())
    .bind(ids(|cancel| cancel.cancel_id))
    .bind(ids(|cancel| cancel.slip.member_id))
    .bind(ids(|cancel| cancel.slip.franchise_id))
    .bind(cancels.iter().map(|cancel| &*cancel.reason).collect::<Vec<_>>())
    .bind(amounts(|cancel| cancel.slip.gross))
    .bind(amounts(|cancel| cancel.link.amount))
    .bind(amounts(|cancel| cancel.link.refunded))
    .bind(amounts(|cancel| cancel.link.commission_back))
    .bind(amounts(|cancel| cancel.link.commission_after))
    .bind(cancels.iter().map(|cancel| cancel.partition).collect::<Vec<_>>())
    .bind(amounts(|cancel| cancel.offset))
    .bind(at)
    .execute(connection)
    .await?;
    Ok(())
}
