//! `GET /openapi.json`, and a page to look at it.

use std::sync::Arc;

use axum::http::header::CONTENT_TYPE;
use axum::response::Html;
use axum::routing::get;
use axum::{Json, Router};
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{Content, HeaderBuilder, OpenApi, Ref, RefOr, Response, ResponseBuilder};

use super::App;
use super::access::{RULES, Rule, Whose, names};

/// Self-contained: it works where there is no way out to the internet.
const PAGE: &str = include_str!("docs.html");
/// What the `type` of a problem points at.
const PROBLEMS: &str = include_str!("../../../docs/problems.md");
/// The name of the tokens' scheme in the description.
const SCHEME: &str = "token";
const PROBLEM: &str = "application/problem+json";

/// The description of the interface, and its page.
pub(crate) fn routes(api: OpenApi) -> Router<Arc<App>> {
    let api = Arc::new(api);
    Router::new()
        .route(
            "/openapi.json",
            get(move || async move { Json(OpenApi::clone(&api)) }),
        )
        .route("/docs", get(|| async { Html(PAGE) }))
        .route(
            "/docs/problems.md",
            get(|| async { ([(CONTENT_TYPE, "text/markdown; charset=utf-8")], PROBLEMS) }),
        )
}

/// Adds what all operations have in common: who may do it, and what everybody else,
/// and whoever asks in a wrong way or at a wrong time, is answered.
pub(crate) fn complete(api: &mut OpenApi) {
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
            tell_rights(operation, rule);
            tell_problems(operation);
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

fn tell_rights(operation: &mut Operation, rule: &Rule) {
    let own = match rule.whose {
        Whose::Ours => "",
        Whose::Path | Whose::Body | Whose::Found => " A member or franchise: its own only.",
    };
    let who = format!("For: {}.{own}", names(rule.roles));
    operation.description = Some(match operation.description.take() {
        Some(description) => format!("{description}\n\n{who}"),
        None => who,
    });
    let none: [String; 0] = [];
    operation.security = Some(vec![SecurityRequirement::new(SCHEME, none)]);
}

fn tell_problems(operation: &mut Operation) {
    let has_parameters = operation
        .parameters
        .as_ref()
        .is_some_and(|all| !all.is_empty());
    let has_body = operation.request_body.is_some();
    let common = [
        (
            has_parameters || has_body,
            "400",
            "The request cannot be read",
        ),
        (
            true,
            "401",
            "`missing_token`, `invalid_token` or `expired_token`",
        ),
        (true, "403", "`wrong_role` or `not_yours`"),
        (
            has_body,
            "408",
            "`body_too_slow`: the body did not come in time",
        ),
        (has_body, "413", "`body_too_large`: more than 64 KiB"),
        (
            has_body,
            "415",
            "`unsupported_media_type`: not application/json",
        ),
        (has_body, "422", "The content; `pointer` names the field"),
        (true, "500", "`internal_error`: a defect of ours"),
        (
            true,
            "503",
            "Not at the moment: try again after `Retry-After`",
        ),
    ];
    let responses = &mut operation.responses.responses;
    for (occurs, status, description) in common {
        if occurs && !responses.contains_key(status) {
            responses.insert(status.to_owned(), RefOr::T(problem(description)));
        }
    }
    for (status, response) in responses.iter_mut() {
        let RefOr::T(response) = response else {
            continue;
        };
        // Errors are given as JSON by the operations, for short.
        if status.starts_with(['4', '5'])
            && let Some(content) = response.content.shift_remove("application/json")
        {
            response.content.insert(PROBLEM.to_owned(), content);
        }
        let header = match &**status {
            "401" => Some(("WWW-Authenticate", "RFC 6750")),
            "429" | "503" => Some(("Retry-After", "Seconds")),
            _ => None,
        };
        if let Some((name, description)) = header {
            let header = HeaderBuilder::new().description(Some(description)).build();
            response.headers.insert(name.to_owned(), RefOr::T(header));
        }
    }
}

fn problem(description: &str) -> Response {
    ResponseBuilder::new()
        .description(description)
        .content(
            PROBLEM,
            Content::new(Some(Ref::from_schema_name("ProblemBody"))),
        )
        .build()
}
