//! Slips with their first cancels: by payment, by member, by franchise.

mod cancels;

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
use super::caller::Caller;
use super::cursor;
use super::extract::{Asked, Id};
use super::members::unknown;
use super::page::{Page, PageQuery};
use super::problem::{Problem, ProblemBody};

pub(crate) use cancels::{Cancel, page_of_payment};

/// The slip of a payment.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Slip {
    payment_id: Uuid,
    pub(crate) member_id: Uuid,
    pub(crate) franchise_id: Uuid,
    order_ref: String,
    /// Whole won.
    gross: i64,
    /// The rate that was in force, in hundredths of a percent. Absent where the
    /// member who paid asks: it is between the franchise and us.
    #[serde(skip_serializing_if = "Option::is_none")]
    commission_bps: Option<i32>,
    /// Whole won, VAT included. Absent where the member who paid asks.
    #[serde(skip_serializing_if = "Option::is_none")]
    commission: Option<i64>,
    paid_at: DateTime<Utc>,
    /// What of the gross may still be refunded, whole won.
    refundable: i64,
    /// The first 10, in their order.
    cancels: Vec<Cancel>,
    /// The cursor of those after them, for `GET /payments/{id}/cancellations`; null
    /// where there are no more.
    next_cancels: Option<String>,
    #[serde(skip)]
    pub(crate) position: (i32, i64),
}

impl Slip {
    /// The slip as the caller may see it: what a franchise pays us of its sales is
    /// a secret of its business, and its customers are not told.
    pub(crate) fn seen_by(mut self, caller: &Caller) -> Self {
        if !caller.sees_commission_of(self.franchise_id) {
            self.commission_bps = None;
            self.commission = None;
            for cancel in &mut self.cancels {
                cancel.hide_commission();
            }
        }
        self
    }
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
    caller: Caller,
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
    let slips = slips
        .into_iter()
        .map(|slip| slip.seen_by(&caller))
        .collect();
    Ok(Json(
        page.page(slips, |slip: &Slip| slip.payment_id.to_string())?,
    ))
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
    let mut chains = cancels::first(pool, &ids).await?;
    rows.iter()
        .map(|row| {
            let payment_id = row.try_get(0)?;
            let chain = chains.remove(&payment_id).unwrap_or_default();
            let gross: i64 = row.try_get(4)?;
            Ok(Slip {
                payment_id,
                member_id: row.try_get(1)?,
                franchise_id: row.try_get(2)?,
                order_ref: row.try_get(3)?,
                gross,
                commission_bps: Some(row.try_get(5)?),
                commission: Some(row.try_get(6)?),
                paid_at: row.try_get(7)?,
                refundable: gross - chain.refunded,
                cancels: chain.shown,
                next_cancels: chain.next,
                position: (row.try_get(8)?, row.try_get(9)?),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use mypay_auth::{Identity, Role};
    use serde_json::json;

    use super::*;

    #[test]
    fn a_payer_is_not_told_what_the_franchise_pays_us() {
        let (payer, franchise) = (Uuid::now_v7(), Uuid::now_v7());
        let told = |role, subject: &str| {
            let slip = Slip {
                payment_id: Uuid::nil(),
                member_id: payer,
                franchise_id: franchise,
                order_ref: "7".to_owned(),
                gross: 10_000,
                commission_bps: Some(250),
                commission: Some(250),
                paid_at: DateTime::UNIX_EPOCH,
                refundable: 9_000,
                cancels: vec![Cancel::example(1)],
                next_cancels: None,
                position: (0, 0),
            };
            let caller = Caller::new(Identity::new(role, subject).unwrap());
            json!(slip.seen_by(&caller))
        };
        let hidden = told(Role::Member, &payer.to_string());
        let secret = |field: &str| hidden.get(field).is_none();
        assert!(secret("commission") && secret("commission_bps"), "{hidden}");
        assert!(!hidden.to_string().contains("commission"), "{hidden}");
        assert_eq!(hidden["refundable"], 9_000);
        for (role, subject) in [
            (Role::Franchise, franchise.to_string()),
            (Role::Member, franchise.to_string()),
            (Role::Staff, "kim".to_owned()),
            (Role::Operator, "kim".to_owned()),
            (Role::Auditor, "lee".to_owned()),
        ] {
            let all = told(role, &subject);
            assert_eq!(all["commission"], 250, "{role}");
            assert_eq!(all["commission_bps"], 250, "{role}");
            assert!(all["cancels"][0]["commission_back"].is_i64(), "{role}");
        }
    }

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
