//! The HTTP interface: one file a resource.

mod access;
mod app;
mod bank_accounts;
mod bank_cases;
mod brokers;
mod caller;
mod cancellations;
mod commands;
mod commissions;
mod contracts;
mod cursor;
mod docs;
mod extract;
mod fields;
mod firmbankings;
mod franchises;
mod health;
mod holds;
mod members;
mod money;
mod page;
mod payments;
mod payouts;
mod problem;
mod recharges;
mod remittances;
mod requests;
mod settlements;
mod slips;
mod slow;
mod statements;
mod submit;
mod undos;
mod watch;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(crate) use app::App;
pub(crate) use brokers::watch as watch_brokers;

use problem::Problem;

/// No request of ours has more than a few hundred bytes.
const BODY_MAX: usize = 64 * 1024;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "my-pay",
        description = "Money movement on Kafka, each request exactly once. A `POST` of a request \
            answers 202 when it is durable; ask `GET /requests/{id}` for its outcome. Send the same \
            `Idempotency-Key` again as often as you like: it is handled once. Errors are \
            `application/problem+json` (RFC 9457) with a `code`, and a `pointer` to the field that is \
            at fault; [all codes](/docs/problems.md). Lists come in pages: `next` is the `cursor` of \
            the next one."
    ),
    components(schemas(problem::ProblemBody))
)]
struct Api;

/// All routes, and what stands around them.
pub(crate) fn router(app: Arc<App>) -> Router {
    let (routes, mut api) = resources().split_for_parts();
    docs::complete(&mut api);
    routes
        // Around handlers only: what has none is a 404 or 405 for everybody.
        .route_layer(from_fn_with_state(Arc::clone(&app), access::guard))
        .merge(docs::routes(api))
        .route("/metrics", get(health::metrics))
        .fallback(|| async { Problem::not_found("unknown_route", "there is no such resource") })
        .method_not_allowed_fallback(|| async { Problem::method_not_allowed() })
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .layer(from_fn_with_state(Arc::clone(&app), watch::watch))
        .with_state(app)
}

fn resources() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::with_openapi(Api::openapi())
        .routes(routes!(members::create::create, members::list))
        .routes(routes!(members::find, members::modify::modify))
        .routes(routes!(members::versions::list))
        .routes(routes!(members::closing::create, members::closing::find))
        .routes(routes!(bank_accounts::register, bank_accounts::find))
        .routes(routes!(bank_accounts::history::list))
        .routes(routes!(commands::of_member))
        .routes(routes!(money::of_member))
        .routes(routes!(money::history))
        .routes(routes!(money::of_area))
        .routes(routes!(recharges::create))
        .routes(routes!(remittances::create, remittances::list::of_state))
        .routes(routes!(remittances::list::of_member))
        .routes(routes!(payments::create))
        .routes(routes!(cancellations::create, cancellations::list))
        .routes(routes!(cancellations::payment))
        .routes(routes!(settlements::create, settlements::list))
        .routes(routes!(settlements::find))
        .routes(routes!(statements::statement))
        .routes(routes!(payouts::of_franchise))
        .routes(routes!(payouts::retry))
        .routes(routes!(commissions::modify, commissions::list))
        .routes(routes!(holds::place, holds::list))
        .routes(routes!(holds::release))
        .routes(routes!(slips::of_member))
        .routes(routes!(firmbankings::create))
        .routes(routes!(commands::find))
        .routes(routes!(undos::propose))
        .routes(routes!(undos::approve))
        .routes(routes!(requests::find))
        .routes(routes!(franchises::slips))
        .routes(routes!(contracts::put))
        .routes(routes!(contracts::list))
        .routes(routes!(contracts::versions::list))
        .routes(routes!(contracts::bill::bill))
        .routes(routes!(bank_cases::list))
        .routes(routes!(bank_cases::find))
        .routes(routes!(bank_cases::decide))
        .routes(routes!(health::health))
}

#[cfg(test)]
mod bounds_tests;
#[cfg(test)]
mod codes_tests;
#[cfg(test)]
mod tests;
