//! `GET /health`, `GET /metrics`.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::App;
use super::problem::Problem;
use crate::producer::Stage;

/// Whoever asks for the health wants it now.
const PATIENCE: Duration = Duration::from_secs(1);

/// How the edge is.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Health {
    /// `ok`; `degraded`: requests are accepted, durably, and wait for Kafka;
    /// `unavailable`: nothing is accepted.
    #[schema(value_type = String, example = "ok")]
    status: &'static str,
    /// Whether PostgreSQL answers.
    database: bool,
    /// Whether what is accepted goes on to Kafka at once.
    kafka: bool,
    /// Whether the registry has told the ids of our schemas; it is not needed
    /// after that.
    registry: bool,
    /// Whether requests are accepted.
    accepting: bool,
    /// What it waits for, where it does not accept.
    #[schema(value_type = Option<String>)]
    waits_for: Option<&'static str>,
}

/// How the edge is; 503 where it accepts nothing.
#[utoipa::path(
    get,
    path = "/health",
    tag = "health",
    responses(
        (status = 200, description = "Requests are accepted", body = Health),
        (status = 503, description = "Nothing is accepted", body = Health),
    )
)]
pub(crate) async fn health(State(app): State<Arc<App>>) -> Response {
    let health = Health::of(app.stage(), database(&app).await, app.reaches_kafka());
    let status = if health.accepting {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(health)).into_response()
}

/// The counts, as Prometheus reads them.
pub(crate) async fn metrics(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    let text = app
        .metrics
        .render()
        .map_err(|error| Problem::defect(&error))?;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(CONTENT_TYPE, kind)], text).into_response())
}

impl Health {
    fn of(stage: Stage, database: bool, kafka: bool) -> Self {
        let accepting = database && stage == Stage::Ready;
        Self {
            status: match (accepting, kafka) {
                (true, true) => "ok",
                (true, false) => "degraded",
                (false, _) => "unavailable",
            },
            database,
            kafka,
            registry: matches!(stage, Stage::Ready | Stage::Stopping),
            accepting,
            waits_for: match stage {
                _ if !database => Some("database"),
                Stage::Database => Some("database"),
                Stage::Registry => Some("registry"),
                Stage::Ready => None,
                Stage::Stopping => Some("the next edge: this one is being stopped"),
            },
        }
    }
}

async fn database(app: &App) -> bool {
    let asked = sqlx::query("SELECT 1").execute(&app.pool);
    matches!(tokio::time::timeout(PATIENCE, asked).await, Ok(Ok(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_kafka_the_edge_accepts_and_says_so() {
        let health = Health::of(Stage::Ready, true, false);
        assert!(health.accepting && !health.kafka);
        assert_eq!(health.status, "degraded");
    }

    #[test]
    fn an_edge_that_does_not_accept_says_what_it_waits_for() {
        let waits_for = |stage, database| Health::of(stage, database, true).waits_for;
        assert_eq!(waits_for(Stage::Registry, true), Some("registry"));
        assert_eq!(waits_for(Stage::Ready, false), Some("database"));
        assert_eq!(waits_for(Stage::Ready, true), None);
    }
}
