//! `GET /settlements/{run}/franchises/{id}/statement`: every line of a franchise's
//! part of a run, as JSON or CSV.
//!
//! Nothing of it was stored when the run was made but how far the run went, lane
//! by lane: slips and cancels are never changed, so the lines can be made again
//! at any later time. They are sent as they are read. At the end the sums are
//! compared with the payout; where they differ the answer is broken off, so that
//! nobody takes it for a statement.

mod line;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use futures::TryStreamExt;
use serde::Deserialize;
use sqlx::{PgPool, Row};
use tokio::sync::{Semaphore, mpsc};
use uuid::Uuid;

use super::App;
use super::extract::Asked;
use super::problem::{Problem, ProblemBody};
use line::{Format, Line, Part, Totals};

/// How much is gathered before it is sent on, bytes.
const CHUNK: usize = 64 * 1024;
/// How many chunks may wait for a slow client.
const CHUNKS_WAITING: usize = 2;

/// In which form.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct FormatQuery {
    /// `json` or `csv`; by the header `Accept` where absent, else JSON.
    #[param(inline)]
    format: Option<Format>,
}

/// A franchise's statement of a run, as JSON or CSV.
///
/// A line for each payment (amount above zero), each cancel (below zero) and what
/// was owed from earlier runs; then the totals, which are the payout's to the won.
/// `net` of a line is its amount less its commission; the commission is split into
/// supply and VAT.
#[utoipa::path(
    get,
    path = "/settlements/{run}/franchises/{id}/statement",
    tag = "franchises",
    params(
        ("run" = Uuid, Path, description = "The run: the id of its request"),
        ("id" = Uuid, Path, description = "The franchise"),
        FormatQuery,
    ),
    responses(
        (status = 200, description = "The statement", content((line::Statement = "application/json"), (String = "text/csv"))),
        (status = 404, description = "The franchise has no part in such a run", body = ProblemBody),
    )
)]
pub(crate) async fn statement(
    State(app): State<Arc<App>>,
    path: Result<Path<(Uuid, Uuid)>, PathRejection>,
    Asked(query): Asked<FormatQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Path((run_id, franchise_id)) = path?;
    let part = part(&app.pool, run_id, franchise_id).await?;
    let format = query.format.unwrap_or_else(|| accepted(&headers));
    let room = ROOM.try_acquire().map_err(|_| {
        let detail = "too many statements are being read: try again";
        Problem::unavailable("overloaded", detail)
    })?;
    let (sender, receiver) = mpsc::channel(CHUNKS_WAITING);
    let pool = app.pool.clone();
    tokio::spawn(async move {
        let _room = room;
        let mut out = Out {
            text: String::new(),
            sender,
        };
        if let Err(error) = send(&pool, &part, format, &mut out).await {
            if !out.sender.is_closed() {
                tracing::error!(%run_id, %franchise_id, %error, "a statement was broken off");
            }
            // Where nobody listens any more nobody needs to hear of it.
            let _ = tokio::time::timeout(PATIENCE, out.sender.send(Err(error))).await;
        }
    });
    let chunks = futures::stream::unfold(receiver, |mut receiver| async {
        receiver.recv().await.map(|chunk| (chunk, receiver))
    });
    let mut response = Body::from_stream(chunks).into_response();
    let kind = HeaderValue::from_static(format.content_type());
    response.headers_mut().insert(CONTENT_TYPE, kind);
    Ok(response)
}

fn accepted(headers: &HeaderMap) -> Format {
    let csv = headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .any(|value| value.contains("text/csv"));
    if csv { Format::Csv } else { Format::Json }
}

/// How long a client may take for a chunk: its connection to the database waits
/// meanwhile.
const PATIENCE: Duration = Duration::from_secs(20);
/// So many statements at once: the other connections are for those who pay.
static ROOM: Semaphore = Semaphore::const_new(4);

/// Why a statement was broken off.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("PostgreSQL: {0}")]
    Database(#[from] sqlx::Error),
    #[error("a line does not fit its form: {0}")]
    Line(#[from] serde_json::Error),
    #[error("nobody listens any more")]
    Gone,
    #[error("the lines add up to {lines:?}, the payout says {payout:?}")]
    Differs { lines: Totals, payout: Totals },
}

/// Text on its way to the client.
struct Out {
    text: String,
    sender: mpsc::Sender<Result<String, Broken>>,
}

impl Out {
    async fn add(&mut self, text: &str) -> Result<(), Broken> {
        self.text.push_str(text);
        if self.text.len() >= CHUNK {
            self.flush().await?;
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), Broken> {
        let text = std::mem::take(&mut self.text);
        let sent = tokio::time::timeout(PATIENCE, self.sender.send(Ok(text))).await;
        sent.map_err(|_| Broken::Gone)?.map_err(|_| Broken::Gone)
    }
}

async fn send(pool: &PgPool, part: &Part, format: Format, out: &mut Out) -> Result<(), Broken> {
    out.add(&format.head(part)?).await?;
    let mut totals = Totals::default();
    let mut lines = sqlx::query(LINES)
        .bind(part.run_id)
        .bind(part.franchise_id)
        .bind(Uuid::nil())
        .fetch(pool);
    let mut first = true;
    while let Some(row) = lines.try_next().await? {
        let line = Line::of(&row)?;
        totals.add(&line);
        out.add(&format.line(&line, first)?).await?;
        first = false;
    }
    drop(lines);
    if part.owed != 0 {
        let line = Line::owed(part.owed);
        totals.add(&line);
        out.add(&format.line(&line, first)?).await?;
    }
    let payout = part.totals(&totals);
    if totals != payout {
        return Err(Broken::Differs {
            lines: totals,
            payout,
        });
    }
    out.add(&format.tail(part, &totals)?).await?;
    out.flush().await
}

/// A run's lanes, and in them the franchise's slips and cancels, by the index
/// over (franchise, lane, offset). PostgreSQL sorts them, on its disk if need be.
const LINES: &str = r#"
    WITH lanes AS (
        SELECT l.partition, greatest(l.from_offset, coalesce(own.from_offset, 0)) AS from_offset,
               l.to_offset
          FROM settlement.run_lane l
          LEFT JOIN settlement.run_lane own
                 ON own.run_id = l.run_id AND own.partition = l.partition AND own.franchise_id = $2
         WHERE l.run_id = $1 AND l.franchise_id = $3
    )
    SELECT false AS is_cancel, s.payment_id AS id, s.payment_id, s.order_ref, s.paid_at AS at,
           s.gross AS amount, s.commission, 0::bigint AS commission_after
      FROM lanes l
      JOIN payment.slip s ON s.franchise_id = $2 AND s.partition = l.partition
                         AND s."offset" >= l.from_offset AND s."offset" < l.to_offset
     UNION ALL
    SELECT true, c.cancel_id, c.payment_id, s.order_ref, c.cancelled_at, c.amount, c.commission_back,
           c.commission_after
      FROM lanes l
      JOIN payment.cancel c ON c.franchise_id = $2 AND c.partition = l.partition
                           AND c."offset" >= l.from_offset AND c."offset" < l.to_offset
      JOIN payment.slip s ON s.payment_id = c.payment_id
     ORDER BY at, id"#;

async fn part(pool: &PgPool, run_id: Uuid, franchise_id: Uuid) -> Result<Part, Problem> {
    let row = sqlx::query(
        "SELECT p.payout_id, r.cut_at, p.gross, p.cancelled, p.commission, p.owed, p.net, p.state,
                p.carried_for, p.to_bank, p.to_account
           FROM settlement.payout p
           JOIN settlement.run r ON r.run_id = p.run_id
          WHERE p.run_id = $1 AND p.franchise_id = $2
            AND EXISTS (SELECT FROM settlement.run_lane l WHERE l.run_id = p.run_id)",
    )
    .bind(run_id)
    .bind(franchise_id)
    .fetch_optional(pool)
    .await?
    .ok_or_else(|| {
        let detail = "the franchise has no part in such a run, or the run is not made yet";
        Problem::not_found("unknown_statement", detail)
    })?;
    Ok(Part {
        run_id,
        franchise_id,
        payout_id: row.try_get(0)?,
        cut_at: row.try_get(1)?,
        gross: row.try_get(2)?,
        cancelled: row.try_get(3)?,
        commission: row.try_get(4)?,
        owed: row.try_get(5)?,
        net: row.try_get(6)?,
        state: row.try_get(7)?,
        carried_for: row.try_get(8)?,
        to_bank: row.try_get(9)?,
        to_account: row.try_get(10)?,
    })
}
