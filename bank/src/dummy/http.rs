//! The door: routes, the shared state, and errors as JSON.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Query};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, body::Bytes, extract};
use chrono::NaiveDate;
use serde::de::DeserializeOwned;
use sqlx::PgPool;

use super::answers::Answers;
use super::faults::Dial;
use super::transfer::TransferKey;
use super::writer::Writer;
use super::{accounts, day_totals, notices, statements, transfers};
use crate::classes::{Class, ClassTable};

/// A transfer has a few hundred bytes.
const BODY: usize = 64 * 1024;
/// 5,000 accounts have less than a megabyte.
const BATCH_BODY: usize = 4 * 1024 * 1024;
/// Numbers that remember that they were struck by a fault before they were executed.
const STRUCK: usize = 1_000_000;

/// What the handlers share.
pub(super) struct State {
    pub(super) writer: Writer,
    pub(super) pool: PgPool,
    pub(super) answers: Answers,
    pub(super) table: ClassTable,
    pub(super) dial: tokio::sync::watch::Sender<Arc<Dial>>,
    /// In memory: after a restart such a fault may strike a number again, which
    /// looks to the client like any other second failure.
    pub(super) struck: Mutex<HashSet<TransferKey>>,
}

pub(super) type Shared = Arc<State>;

impl State {
    pub(super) fn dial(&self) -> Arc<Dial> {
        self.dial.borrow().clone()
    }

    /// True the first time.
    pub(super) fn strike(&self, key: &TransferKey) -> bool {
        let mut struck = self.struck.lock().unwrap_or_else(PoisonError::into_inner);
        if struck.len() >= STRUCK {
            struck.clear();
        }
        struck.insert(key.clone())
    }

    /// A bank that is played here, or 404.
    pub(super) fn known_bank(&self, bank_code: &str) -> Result<(), Problem> {
        if self.answers.has(bank_code) {
            return Ok(());
        }
        Err(Problem::new(
            StatusCode::NOT_FOUND,
            "no_such_bank",
            format!("no bank {bank_code:?}"),
        ))
    }

    /// Waits as long as any answer of this bank takes.
    pub(super) async fn latency(&self, bank_code: &str) {
        let ms = self.dial().latency_of(bank_code);
        if ms > 0 {
            tokio::time::sleep(Duration::from_millis(ms)).await;
        }
    }

    /// A 404 with the bank's own code, so that it is not taken for a gateway's.
    pub(super) fn not_there(&self, bank_code: &str, class: Class, detail: &str) -> Problem {
        let mut problem = Problem::new(StatusCode::NOT_FOUND, "not_found", detail);
        problem.code = Some(self.answers.code(bank_code, class).to_owned());
        problem
    }
}

pub(super) fn router(state: Shared) -> Router {
    let bank = Router::new()
        .route("/transfers", post(transfers::transfer))
        .route("/transfers/{date}/{number}", get(transfers::inquire))
        .route(
            "/accounts:batch",
            post(accounts::batch).layer(DefaultBodyLimit::max(BATCH_BODY)),
        )
        .route("/accounts/{number}", get(accounts::show).put(accounts::put))
        .route("/accounts/{number}/statement", get(statements::page))
        .route("/day-totals/{date}", get(day_totals::show))
        .route("/notices", get(notices::list))
        .route("/notices/{date}/{number}", get(notices::show));
    Router::new()
        .nest("/banks/{bank}", bank)
        .route("/faults", get(show_faults).put(set_faults))
        .route("/health", get(health))
        .fallback(async || Problem::new(StatusCode::NOT_FOUND, "no_such_page", "no such page"))
        .method_not_allowed_fallback(async || {
            Problem::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "method",
                "not with this method",
            )
        })
        .layer(DefaultBodyLimit::max(BODY))
        .with_state(state)
}

async fn show_faults(extract::State(state): extract::State<Shared>) -> Json<Dial> {
    Json(Dial::clone(&state.dial()))
}

/// The whole dial is set, not a part: what is left out is off.
async fn set_faults(
    extract::State(state): extract::State<Shared>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Dial>, Problem> {
    let dial: Dial = parse(body)?;
    dial.check().map_err(|e| Problem::bad(e.to_string()))?;
    if let Some(bank) = dial.banks.keys().find(|bank| !state.answers.has(bank)) {
        return Err(Problem::bad(format!("no bank {bank:?}")));
    }
    tracing::info!(?dial, "the faults were dialled");
    state.dial.send_replace(Arc::new(dial.clone()));
    Ok(Json(dial))
}

async fn health(extract::State(state): extract::State<Shared>) -> Response {
    match sqlx::query("SELECT 1").execute(&state.pool).await {
        Ok(_) => Json(serde_json::json!({ "status": "ok" })).into_response(),
        Err(error) => Problem::from(error).into_response(),
    }
}

/// The body as JSON, or a 4xx that says what is wrong with it.
pub(super) fn parse<T: DeserializeOwned>(
    body: Result<Bytes, BytesRejection>,
) -> Result<T, Problem> {
    let body = body.map_err(|e| Problem::new(e.status(), "body", e.body_text()))?;
    serde_json::from_slice(&body).map_err(|e| Problem::bad(e.to_string()))
}

/// The query, or a 400 that says what is wrong with it.
pub(super) fn query<T>(query: Result<Query<T>, QueryRejection>) -> Result<T, Problem> {
    query
        .map(|Query(query)| query)
        .map_err(|e| Problem::bad(e.body_text()))
}

/// `YYYY-MM-DD` of this century and nothing else.
pub(super) fn date(written: &str) -> Result<NaiveDate, Problem> {
    let date = NaiveDate::parse_from_str(written, "%Y-%m-%d").ok();
    // The parser takes `2026-3-2` and `+2026-03-02` too; one date has one name here.
    date.filter(|date| date.to_string() == written && written.starts_with("20"))
        .ok_or_else(|| Problem::bad(format!("{written:?} is no date; write it as 2026-03-02")))
}

/// Six digits, not zero.
pub(super) fn number(written: &str) -> Result<u32, Problem> {
    let digits = written.len() == 6 && written.bytes().all(|b| b.is_ascii_digit());
    let number = written.parse().ok().filter(|number| digits && *number > 0);
    number.ok_or_else(|| Problem::bad(format!("{written:?} is no number of six digits")))
}

/// What the bank says when it cannot even say no.
#[derive(Debug, serde::Serialize)]
pub(super) struct Problem {
    #[serde(skip)]
    status: StatusCode,
    error: &'static str,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, error: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status,
            error,
            detail: detail.into(),
            code: None,
        }
    }

    pub(super) fn bad(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "malformed", detail)
    }

    pub(super) fn detail(&self) -> &str {
        &self.detail
    }

    pub(super) fn internal(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail)
    }
}

impl From<sqlx::Error> for Problem {
    fn from(error: sqlx::Error) -> Self {
        tracing::error!(%error, "the dummy bank's database");
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "database",
            "the bank's database is not there",
        )
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        (self.status, Json(self)).into_response()
    }
}
