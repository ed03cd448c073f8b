//! `GET /openapi.json`, and a page to look at it.

use std::sync::Arc;

use axum::response::Html;
use axum::routing::get;
use axum::{Json, Router};
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{Content, OpenApi, Ref, RefOr, Response, ResponseBuilder};

use super::App;
use super::access::{RULES, Rule, Whose, names};

/// Self-contained: it works where there is no way out to the internet.
const PAGE: &str = include_str!("docs.html");
/// The name of the tokens' scheme in the description.
const SCHEME: &str = "token";

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

/// Adds to each operation who may do it, and what everybody else is answered.
pub(crate) fn tell_rights(api: &mut OpenApi) {
    let scheme = Http::builder()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("JWT")
        .description(Some(
            "A token with `role` (member, franchise, staff, operator, auditor), `sub` (a member's \
             id, or a name), `exp`, `iss` and `aud`. `mypay token` makes one for a local stack.",
        ))
        .build();
    api.components
        .get_or_insert_default()
        .add_security_scheme(SCHEME, SecurityScheme::Http(scheme));
    for rule in RULES.iter().filter(|rule| !rule.roles.is_empty()) {
        let item = api.paths.paths.get_mut(rule.path);
        if let Some(operation) = item.and_then(|item| operation(item, rule.method)) {
            tell(operation, rule);
        }
    }
}

fn operation<'a>(item: &'a mut PathItem, method: &str) -> Option<&'a mut Operation> {
    match method {
        "GET" => item.get.as_mut(),
        "POST" => item.post.as_mut(),
        "PUT" => item.put.as_mut(),
        "PATCH" => item.patch.as_mut(),
        "DELETE" => item.delete.as_mut(),
        _ => None,
    }
}

fn tell(operation: &mut Operation, rule: &Rule) {
    let own = match rule.whose {
        Whose::Ours => "",
        _ => " A member or franchise: its own only.",
    };
    let who = format!("For: {}.{own}", names(rule.roles));
    operation.description = Some(match operation.description.take() {
        Some(description) => format!("{description}\n\n{who}"),
        None => who,
    });
    let none: [String; 0] = [];
    operation.security = Some(vec![SecurityRequirement::new(SCHEME, none)]);
    let others = [
        ("401", "`missing_token`, `invalid_token` or `expired_token`"),
        (
            "403",
            "`wrong_role`, or `not_yours`: the role, or whose it is",
        ),
    ];
    for (status, description) in others {
        operation
            .responses
            .responses
            .entry(status.to_owned())
            .or_insert_with(|| RefOr::T(problem(description)));
    }
}

fn problem(description: &str) -> Response {
    ResponseBuilder::new()
        .description(description)
        .content(
            "application/problem+json",
            Content::new(Some(Ref::from_schema_name("ProblemBody"))),
        )
        .build()
}
