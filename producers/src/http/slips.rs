//! Slips with their cancels: by payment, by member, by franchise.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use mypay_decide::EntryKind;
use serde::Serialize;
use sqlx::postgres::PgRow;
use sqlx::{PgPool, Row};
use uuid::Uuid;

use super::App;
use super::cursor;
use super::extract::{Asked, Id};
use super::members::unknown;
use super::page::{Page, PageQuery};
use super::problem::{Problem, ProblemBody};

/// The slip of a payment.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Slip {
    payment_id: Uuid,
    pub(crate) member_id: Uuid,
    pub(crate) franchise_id: Uuid,
    order_ref: String,
    /// Whole won.
    gross: i64,
    /// The rate that was in force, in hundredths of a percent.
    commission_bps: i32,
    /// Whole won, VAT included.
    commission: i64,
    paid_at: DateTime<Utc>,
    /// What of the gross may still be refunded, whole won.
    refundable: i64,
    /// In their order.
    cancels: Vec<Cancel>,
    #[serde(skip)]
    pub(crate) position: (i32, i64),
}

/// A cancel of a payment, in whole or in part.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Cancel {
    cancel_id: Uuid,
    /// Whole won.
    amount: i64,
    /// What of the commission was given back, whole won.
    commission_back: i64,
    reason: String,
    cancelled_at: DateTime<Utc>,
}

/// The columns of a [`Slip`], of `s`.
macro_rules! columns {
    () => {
        r#"s.payment_id, s.member_id, s.franchise_id, s.order_ref, s.gross, s.commission_bps,
           s.commission, s.paid_at, s.partition, s."offset""#
    };
}

/// A member's slips, the latest payments first.
#[utoipa::path(
    get,
    path = "/members/{id}/slips",
    tag = "money",
    params(("id" = Uuid, Path, description = "The member"), PageQuery),
    responses(
        (status = 200, description = "A page of slips", body = Page<Slip>),
        (status = 404, description = "There is no such member", body = ProblemBody),
    )
)]
pub(crate) async fn of_member(
    State(app): State<Arc<App>>,
    Id(member_id): Id,
    Asked(page): Asked<PageQuery>,
) -> Result<Json<Page<Slip>>, Problem> {
    // Through the journal, whose index over both sides of a posting finds a
    // member's few hundred payments: an index of their own would cost every
    // payment an insert at a random place.
    const SLIPS: &str = concat!(
        "WITH own AS MATERIALIZED (
             SELECT entry_id, debit, kind FROM money.posting
              WHERE ARRAY[debit, credit] @> ARRAY[$1]
         ), page AS MATERIALIZED (
             SELECT entry_id FROM own
              WHERE debit = $1 AND kind = $2
                AND entry_id < coalesce($3, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
              ORDER BY entry_id DESC LIMIT $4
         )
         SELECT ",
        columns!(),
        "  FROM page p JOIN payment.slip s ON s.payment_id = p.entry_id
          ORDER BY s.payment_id DESC"
    );
    let rows = sqlx::query(SLIPS)
        .bind(member_id)
        .bind(EntryKind::Payment as i16)
        .bind(page.after_id()?)
        .bind(page.rows()?)
        .fetch_all(&app.pool)
        .await?;
    if rows.is_empty() {
        sqlx::query("SELECT 1 FROM membership.member WHERE member_id = $1")
            .bind(member_id)
            .fetch_optional(&app.pool)
            .await?
            .ok_or_else(unknown)?;
    }
    let slips = with_cancels(&app.pool, &rows).await?;
    Ok(Json(page.page(slips, |slip| slip.payment_id.to_string())?))
}

/// Where a page of a franchise's slips ended, lane by lane.
///
/// Within a lane instants rise with the offsets, so the latest slips of all lanes
/// are merged from the ends of the lanes: a page costs its own rows, however far
/// back it lies.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Ends(HashMap<i32, i64>);

impl Ends {
    /// Reads a place: `lane:offset`, separated by dots.
    pub(crate) fn parse(place: Option<&str>) -> Option<Self> {
        let lanes = place.into_iter().flat_map(|place| place.split('.'));
        lanes
            .map(|lane| {
                let (partition, offset) = lane.split_once(':')?;
                Some((partition.parse().ok()?, offset.parse().ok()?))
            })
            .collect::<Option<_>>()
            .map(Self)
    }

    fn place(&self) -> String {
        let mut lanes: Vec<_> = self.0.iter().collect();
        lanes.sort_unstable();
        let lanes: Vec<String> = lanes
            .into_iter()
            .map(|(partition, offset)| format!("{partition}:{offset}"))
            .collect();
        lanes.join(".")
    }
}

/// A page of a franchise's slips, the latest first.
pub(crate) async fn page_of_franchise(
    pool: &PgPool,
    franchise_id: Uuid,
    mut ends: Ends,
    rows: i64,
) -> Result<Page<Slip>, sqlx::Error> {
    const SLIPS: &str = concat!(
        "SELECT s.*
           FROM (SELECT DISTINCT partition FROM lane WHERE consumer = 'payment') AS l
           LEFT JOIN unnest($2::int[], $3::bigint[]) AS e(partition, before)
                  ON e.partition = l.partition
          CROSS JOIN LATERAL (
                SELECT ",
        columns!(),
        r#"       FROM payment.slip s
                 WHERE s.franchise_id = $1 AND s.partition = l.partition
                   AND s."offset" < coalesce(e.before, 9223372036854775807)
                 ORDER BY s."offset" DESC LIMIT $4) AS s
          ORDER BY s.paid_at DESC, s.partition, s."offset" DESC LIMIT $4"#
    );
    let (partitions, before): (Vec<i32>, Vec<i64>) = ends.0.iter().unzip();
    let found = sqlx::query(SLIPS)
        .bind(franchise_id)
        .bind(partitions)
        .bind(before)
        .bind(rows)
        .fetch_all(pool)
        .await?;
    let more = found.len() as i64 == rows;
    let shown = found.len() - usize::from(more);
    let items = with_cancels(pool, &found[..shown]).await?;
    for slip in &items {
        ends.0.insert(slip.position.0, slip.position.1);
    }
    let next = more.then(|| cursor::seal(&ends.place()));
    Ok(Page { items, next })
}

/// A payment's slip.
pub(crate) async fn find(pool: &PgPool, payment_id: Uuid) -> Result<Option<Slip>, sqlx::Error> {
    const SLIP: &str = concat!(
        "SELECT ",
        columns!(),
        " FROM payment.slip s WHERE s.payment_id = $1"
    );
    let rows = sqlx::query(SLIP).bind(payment_id).fetch_all(pool).await?;
    Ok(with_cancels(pool, &rows).await?.pop())
}

async fn with_cancels(pool: &PgPool, rows: &[PgRow]) -> Result<Vec<Slip>, sqlx::Error> {
    let ids: Vec<Uuid> = rows
        .iter()
        .map(|row| row.try_get(0))
        .collect::<Result<_, _>>()?;
    let mut cancels = cancels(pool, &ids).await?;
    rows.iter()
        .map(|row| {
            let payment_id = row.try_get(0)?;
            let cancels = cancels.remove(&payment_id).unwrap_or_default();
            let gross = row.try_get(4)?;
            Ok(Slip {
                payment_id,
                member_id: row.try_get(1)?,
                franchise_id: row.try_get(2)?,
                order_ref: row.try_get(3)?,
                gross,
                commission_bps: row.try_get(5)?,
                commission: row.try_get(6)?,
                paid_at: row.try_get(7)?,
                refundable: gross - cancels.iter().map(|cancel| cancel.amount).sum::<i64>(),
                cancels,
                position: (row.try_get(8)?, row.try_get(9)?),
            })
        })
        .collect()
}

async fn cancels(
    pool: &PgPool,
    payments: &[Uuid],
) -> Result<HashMap<Uuid, Vec<Cancel>>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT payment_id, cancel_id, amount, commission_back, reason, cancelled_at
           FROM payment.cancel WHERE payment_id = ANY($1) ORDER BY payment_id, seq",
    )
    .bind(payments)
    .fetch_all(pool)
    .await?;
    let mut chains: HashMap<Uuid, Vec<Cancel>> = HashMap::new();
    for row in &rows {
        chains.entry(row.try_get(0)?).or_default().push(Cancel {
            cancel_id: row.try_get(1)?,
            amount: row.try_get(2)?,
            commission_back: row.try_get(3)?,
            reason: row.try_get(4)?,
            cancelled_at: row.try_get(5)?,
        });
    }
    Ok(chains)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_comes_back_as_it_was_given() {
        let ends = Ends([(3, 17), (0, 4)].into());
        assert_eq!(ends.place(), "0:4.3:17");
        assert_eq!(Ends::parse(Some("0:4.3:17")), Some(ends));
        assert_eq!(Ends::parse(None), Some(Ends::default()));
        for bad in ["", "x", "1", "1:2:3", "1:", "1:2."] {
            assert_eq!(Ends::parse(Some(bad)), None, "{bad}");
        }
    }
}
