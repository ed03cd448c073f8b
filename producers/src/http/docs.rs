//! `GET /openapi.json`, and a page to look at it.

use std::sync::Arc;

use axum::response::Html;
use axum::routing::get;
use axum::{Json, Router};
use utoipa::openapi::OpenApi;

use super::App;

/// Self-contained: it works where there is no way out to the internet.
const PAGE: &str = include_str!("docs.html");

/// The description of the interface, and its page.
pub(crate) fn routes(api: OpenApi) -> Router<Arc<App>> {
    let api = Arc::new(api);
    Router::new()
        .route(
            "/openapi.json",
            get(move || async move { Json(OpenApi::clone(&api)) }),
        )
        .route("/docs", get(|| async { Html(PAGE) }))
}
