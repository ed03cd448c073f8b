//! The cancels of payments: the first of each with its slip, all of them in pages.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::postgres::PgRow;
use sqlx::{PgPool, Row};
use uuid::Uuid;

use super::super::page::{Page, PageQuery};
use super::super::problem::Problem;

/// How many cancels a slip shows: a payment may have one for each of its won, and
/// a page has hundreds of slips.
const SHOWN: usize = 10;

/// A cancel of a payment, in whole or in part.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Cancel {
    /// Counts the payment's cancels, from 1.
    seq: i32,
    cancel_id: Uuid,
    /// Whole won.
    amount: i64,
    /// What of the commission was given back, whole won. Absent where the member who
    /// paid asks.
    #[serde(skip_serializing_if = "Option::is_none")]
    commission_back: Option<i64>,
    reason: String,
    cancelled_at: DateTime<Utc>,
}

impl Cancel {
    pub(crate) fn hide_commission(&mut self) {
        self.commission_back = None;
    }

    /// The cursor's place: after this one.
    fn place(&self) -> String {
        self.seq.to_string()
    }

    #[cfg(test)]
    pub(super) fn example(seq: i32) -> Self {
        Self {
            seq,
            cancel_id: Uuid::nil(),
            amount: 1_000,
            commission_back: Some(25),
            reason: "broken".to_owned(),
            cancelled_at: DateTime::UNIX_EPOCH,
        }
    }
}

/// The cancels of a payment, as its slip shows them.
#[derive(Default)]
pub(super) struct Chain {
    /// What all of them refund, whole won.
    pub(super) refunded: i64,
    pub(super) shown: Vec<Cancel>,
    pub(super) next: Option<String>,
}

/// The first cancels of each payment that has any.
///
/// One statement tells the sum and the links: of two, the second might see a cancel
/// that the first has not seen.
pub(super) async fn first(
    pool: &PgPool,
    payments: &[Uuid],
) -> Result<HashMap<Uuid, Chain>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT c.seq, c.cancel_id, c.amount, c.commission_back, c.reason, c.cancelled_at,
                p.id, last.refunded
           FROM unnest($1::uuid[]) AS p(id)
          CROSS JOIN LATERAL (
                SELECT refunded FROM payment.cancel
                 WHERE payment_id = p.id ORDER BY seq DESC LIMIT 1) AS last
          CROSS JOIN LATERAL (
                SELECT * FROM payment.cancel
                 WHERE payment_id = p.id ORDER BY seq LIMIT $2) AS c
          ORDER BY p.id, c.seq",
    )
    .bind(payments)
    // One more tells whether there are more.
    .bind(SHOWN as i64 + 1)
    .fetch_all(pool)
    .await?;
    let mut chains: HashMap<Uuid, Chain> = HashMap::new();
    for row in &rows {
        let chain = chains.entry(row.try_get(6)?).or_default();
        chain.refunded = row.try_get(7)?;
        chain.shown.push(cancel(row)?);
    }
    for chain in chains.values_mut() {
        let page = Page::of(std::mem::take(&mut chain.shown), SHOWN, Cancel::place);
        (chain.shown, chain.next) = (page.items, page.next);
    }
    Ok(chains)
}

/// A page of a payment's cancels, in their order.
pub(crate) async fn page_of_payment(
    pool: &PgPool,
    payment_id: Uuid,
    page: &PageQuery,
) -> Result<Page<Cancel>, Problem> {
    let rows = sqlx::query(
        "SELECT seq, cancel_id, amount, commission_back, reason, cancelled_at
           FROM payment.cancel
          WHERE payment_id = $1 AND seq > coalesce($2::bigint, 0)
          ORDER BY seq LIMIT $3",
    )
    .bind(payment_id)
    .bind(page.after_number()?)
    .bind(page.rows()?)
    .fetch_all(pool)
    .await?;
    let cancels = rows.iter().map(cancel).collect::<Result<Vec<_>, _>>()?;
    page.page(cancels, Cancel::place)
}

fn cancel(row: &PgRow) -> Result<Cancel, sqlx::Error> {
    Ok(Cancel {
        seq: row.try_get(0)?,
        cancel_id: row.try_get(1)?,
        amount: row.try_get(2)?,
        commission_back: Some(row.try_get(3)?),
        reason: row.try_get(4)?,
        cancelled_at: row.try_get(5)?,
    })
}
