//! What stands around every request: a time limit, and the counting.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::App;
use super::problem::{Problem, Reason};
use super::slow;

/// Longer than everything that a handler waits for: an answer that tells what
/// is slow is better than this one. The client's body, which has a limit of its own,
/// comes out of it.
const PATIENCE: Duration = Duration::from_secs(20);

/// Limits the time of a request, and counts it.
pub(crate) async fn watch(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let request = request.map(|body| slow::within(app.bounds.client, body));
    let answered = tokio::time::timeout(PATIENCE, next.run(request)).await;
    let response = answered.unwrap_or_else(|_| {
        Problem::unavailable("timed_out", "the request took too long: try again").into_response()
    });
    app.metrics.request(began.elapsed());
    if let Some(Reason(reason)) = response.extensions().get() {
        app.metrics.refused(response.status().as_u16(), reason);
    }
    response
}
