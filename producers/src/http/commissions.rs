//! `modifyCommission`: `GET` and `POST /franchises/{id}/commission-rates`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, Datelike, SubsecRound, Utc};
use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, PgPool, Row};
use uuid::Uuid;

use super::App;
use super::caller::Caller;
use super::extract::{Asked, Body, Id};
use super::franchises::check_franchise;
use super::page::{Page, PageQuery, at_instant};
use super::problem::{Problem, ProblemBody};
use crate::request::Refusal;

/// A rate of commission to come; who sets it, the token says.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RateBody {
    /// Hundredths of a percent, 0 to 10,000, VAT included.
    #[schema(example = 180, minimum = 0, maximum = 10_000)]
    bps: i32,
    /// From when on, RFC 3339, to the millisecond; at once where absent.
    #[serde(default)]
    in_force_from: Option<DateTime<Utc>>,
}

impl RateBody {
    pub(in crate::http) fn check(&self) -> Result<(), Refusal> {
        if !(0..=10_000).contains(&self.bps) {
            let detail = "hundredths of a percent, 0 to 10,000";
            return Err(Refusal::of_field("commission_out_of_range", "bps", detail));
        }
        if let Some(from) = self.in_force_from
            && !(1970..=9999).contains(&from.year())
        {
            let detail = "an instant of the years 1970 to 9999";
            return Err(Refusal::of_field(
                "date_out_of_range",
                "in_force_from",
                detail,
            ));
        }
        Ok(())
    }
}

/// A franchise's rate of commission from an instant on.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Rate {
    /// Hundredths of a percent, VAT included.
    bps: i32,
    in_force_from: DateTime<Utc>,
    /// Null for a rate of before this was kept.
    set_by: Option<String>,
    set_at: Option<DateTime<Utc>>,
}

/// Changes a franchise's commission, from an instant on.
///
/// Never from one that has passed: slips were made since, with the rate that was
/// in force, and each must go on telling the rate of its instant. A rate that is
/// set cannot be taken back, but a later instant may have another.
#[utoipa::path(
    post,
    path = "/franchises/{id}/commission-rates",
    tag = "franchises",
    params(("id" = Uuid, Path, description = "The franchise")),
    request_body = RateBody,
    responses(
        (status = 201, description = "Set", body = Rate),
        (status = 200, description = "Set before, the same", body = Rate),
        (status = 404, description = "There is no such franchise", body = ProblemBody),
        (status = 409, description = "Another rate is set from that instant on", body = ProblemBody),
        (status = 422, description = "The content, or an instant that has passed", body = ProblemBody),
    )
)]
pub(crate) async fn modify(
    State(app): State<Arc<App>>,
    caller: Caller,
    Id(franchise_id): Id,
    Body(body): Body<RateBody>,
) -> Result<(StatusCode, Json<Rate>), Problem> {
    body.check()?;
    check_franchise(&app.pool, franchise_id).await?;
    let mut transaction = app.pool.begin().await?;
    let now = instant_after_all_slips(&mut transaction).await?;
    // Slips' instants have milliseconds.
    let from = body.in_force_from.map(|from| from.trunc_subsecs(3));
    if let Some(from) = from
        && let Some(set) = find(&mut transaction, franchise_id, from).await?
    {
        return if set.bps == body.bps {
            Ok((StatusCode::OK, Json(set)))
        } else {
            let detail = "another rate is set from that instant on: choose a later one";
            Err(Problem::conflict("rate_conflict", detail).at_pointer("/in_force_from".to_owned()))
        };
    }
    let in_force_from = from.unwrap_or(now);
    if in_force_from < now {
        let detail = "has passed, and slips were made with another rate since: choose a later one";
        return Err(Refusal::of_field("rate_in_the_past", "in_force_from", detail).into());
    }
    let rate = Rate {
        bps: body.bps,
        in_force_from,
        set_by: Some(caller.name()),
        set_at: Some(now),
    };
    insert(&mut transaction, franchise_id, &rate).await?;
    transaction.commit().await?;
    Ok((StatusCode::CREATED, Json(rate)))
}

/// A franchise's rates of commission, the latest first, those to come among them.
#[utoipa::path(
    get,
    path = "/franchises/{id}/commission-rates",
    tag = "franchises",
    params(("id" = Uuid, Path, description = "The franchise"), PageQuery),
    responses(
        (status = 200, description = "A page of rates", body = Page<Rate>),
        (status = 404, description = "There is no such franchise", body = ProblemBody),
    )
)]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Id(franchise_id): Id,
    Asked(page): Asked<PageQuery>,
) -> Result<Json<Page<Rate>>, Problem> {
    // A franchise has one rate of an instant: the id of the place is the franchise's.
    let before = page.after_instant()?.map(|(instant, _)| instant);
    let rates = before_instant(&app.pool, franchise_id, before, page.rows()?).await?;
    if rates.is_empty() {
        check_franchise(&app.pool, franchise_id).await?;
    }
    Ok(Json(page.page(rates, |rate| {
        at_instant(rate.in_force_from, franchise_id)
    })?))
}

/// An instant that no slip of a batch under way, and none before, is younger than.
///
/// The batches of the payment lanes are waited for, and none begins before this
/// transaction is committed: so whatever reads the rate of a later instant finds
/// the one that is set here. A batch takes milliseconds, and so does this.
async fn instant_after_all_slips(
    connection: &mut PgConnection,
) -> Result<DateTime<Utc>, sqlx::Error> {
    let lanes = sqlx::query(
        // Those that have had no batch, too: the first must not begin meanwhile.
        "SELECT greatest(last_at, 'epoch') FROM lane WHERE consumer = 'payment'
          ORDER BY topic, partition FOR SHARE",
    )
    .fetch_all(&mut *connection)
    .await?;
    let now: DateTime<Utc> = sqlx::query("SELECT date_trunc('milliseconds', clock_timestamp())")
        .fetch_one(connection)
        .await?
        .try_get(0)?;
    let mut latest = now;
    for lane in &lanes {
        latest = latest.max(lane.try_get(0)?);
    }
    // The millisecond itself may have slips already.
    Ok(latest + chrono::TimeDelta::milliseconds(1))
}

async fn find(
    connection: &mut PgConnection,
    franchise_id: Uuid,
    from: DateTime<Utc>,
) -> Result<Option<Rate>, sqlx::Error> {
    sqlx::query(
        "SELECT bps, in_force_from, set_by, set_at FROM payment.commission_rate
          WHERE franchise_id = $1 AND in_force_from = $2",
    )
    .bind(franchise_id)
    .bind(from)
    .fetch_optional(connection)
    .await?
    .map(|row| rate(&row))
    .transpose()
}

async fn before_instant(
    pool: &PgPool,
    franchise_id: Uuid,
    before: Option<DateTime<Utc>>,
    most: i64,
) -> Result<Vec<Rate>, sqlx::Error> {
    sqlx::query(
        "SELECT bps, in_force_from, set_by, set_at FROM payment.commission_rate
          WHERE franchise_id = $1 AND ($2::timestamptz IS NULL OR in_force_from < $2)
          ORDER BY in_force_from DESC LIMIT $3",
    )
    .bind(franchise_id)
    .bind(before)
    .bind(most)
    .fetch_all(pool)
    .await?
    .iter()
    .map(rate)
    .collect()
}

fn rate(row: &sqlx::postgres::PgRow) -> Result<Rate, sqlx::Error> {
    Ok(Rate {
        bps: row.try_get(0)?,
        in_force_from: row.try_get(1)?,
        set_by: row.try_get(2)?,
        set_at: row.try_get(3)?,
    })
}

async fn insert(
    connection: &mut PgConnection,
    franchise_id: Uuid,
    rate: &Rate,
) -> Result<(), Problem> {
    let inserted = sqlx::query(
        "INSERT INTO payment.commission_rate (franchise_id, in_force_from, bps, set_by, set_at)
         VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
    )
    .bind(franchise_id)
    .bind(rate.in_force_from)
    .bind(rate.bps)
    .bind(&rate.set_by)
    .bind(rate.set_at)
    .execute(connection)
    .await?
    .rows_affected();
    if inserted == 0 {
        let detail = "another rate was set from that instant on meanwhile: look, and try again";
        return Err(
            Problem::conflict("rate_conflict", detail).at_pointer("/in_force_from".to_owned())
        );
    }
    Ok(())
}
