//! Who may do what: one table for all operations, and the layer that holds to it.
//!
//! An operation that is not in the table is refused to everybody; a test compares
//! the table with the description of the interface, both ways.

use std::sync::Arc;

use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{MatchedPath, RawPathParams, Request, State};
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use mypay_auth::{Identity, Refused, Role};
use uuid::Uuid;

use super::App;
use super::caller::Caller;
use super::problem::{Denied, Problem};

/// Whose things an operation is about, where a member or a franchise asks. Our own
/// people ask about everybody's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whose {
    /// Nobody's in particular; no member may ask.
    Ours,
    /// The member `{id}` of the path, who must be the one that asks.
    Path,
    /// Whoever the body names as the one whose money moves; the handler compares
    /// ([`Caller::check_owner`]).
    Body,
    /// Whoever the thing that is found belongs to; the handler compares, and says
    /// "there is no such thing" of a stranger's: else ids could be tried out.
    Found,
}

/// An operation, and who may do it.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    /// Empty: anybody, without a token.
    pub(crate) roles: &'static [Role],
    pub(crate) whose: Whose,
}

const fn rule(
    method: &'static str,
    path: &'static str,
    whose: Whose,
    roles: &'static [Role],
) -> Rule {
    Rule {
        method,
        path,
        roles,
        whose,
    }
}

use Role::{Auditor, Franchise, Member, Operator, Staff};
use Whose::{Body, Found, Ours, Path};

/// All operations.
#[rustfmt::skip]
pub(crate) static RULES: &[Rule] = &[
    rule("GET",  "/health", Ours, &[]),
    // Members.
    rule("POST", "/members", Ours, &[Staff]),
    rule("GET",  "/members", Ours, &[Staff, Auditor]),
    rule("GET",  "/members/{id}", Path, &[Member, Franchise, Staff, Operator, Auditor]),
    rule("POST", "/members/{id}/bank-account", Path, &[Member, Franchise, Staff]),
    rule("GET",  "/members/{id}/bank-account", Path, &[Member, Franchise, Staff, Operator, Auditor]),
    rule("GET",  "/members/{id}/money", Path, &[Member, Franchise, Staff, Operator, Auditor]),
    rule("GET",  "/members/{id}/history", Path, &[Member, Franchise, Staff, Operator, Auditor]),
    rule("GET",  "/members/{id}/remittances", Path, &[Member, Staff, Operator, Auditor]),
    rule("GET",  "/members/{id}/slips", Path, &[Member, Staff, Auditor]),
    rule("PATCH", "/members/{id}", Path, &[Member, Franchise, Staff]),
    rule("GET",  "/members/{id}/versions", Path, &[Member, Franchise, Staff, Auditor]),
    rule("GET",  "/members/{id}/bank-accounts", Path, &[Member, Franchise, Staff, Operator, Auditor]),
    rule("GET",  "/members/{id}/firmbankings", Path, &[Member, Franchise, Staff, Operator, Auditor]),
    rule("POST", "/members/{id}/closing", Path, &[Member, Franchise, Staff]),
    rule("GET",  "/members/{id}/closing", Path, &[Member, Franchise, Staff, Operator, Auditor]),
    rule("GET",  "/money/members", Ours, &[Staff, Auditor]),
    // What members do with their money: nobody does it for them.
    rule("POST", "/recharges", Body, &[Member]),
    rule("POST", "/remittances", Body, &[Member]),
    rule("GET",  "/remittances", Ours, &[Staff, Operator, Auditor]),
    rule("POST", "/payments", Body, &[Member]),
    rule("GET",  "/payments/{id}", Found, &[Member, Franchise, Staff, Operator, Auditor]),
    rule("GET",  "/payments/{id}/cancellations", Found, &[Member, Franchise, Staff, Operator, Auditor]),
    rule("POST", "/payments/{id}/cancellations", Found, &[Franchise, Staff]),
    rule("GET",  "/requests/{id}", Found, &[Member, Franchise, Staff, Operator, Auditor]),
    // Franchises.
    rule("GET",  "/franchises/{id}/slips", Path, &[Franchise, Staff, Auditor]),
    rule("GET",  "/franchises/{id}/payouts", Path, &[Franchise, Staff, Operator, Auditor]),
    rule("POST", "/franchises/{id}/payouts/retry", Ours, &[Staff, Operator]),
    rule("GET",  "/franchises/{id}/commission-rates", Path, &[Franchise, Staff, Auditor]),
    rule("POST", "/franchises/{id}/commission-rates", Ours, &[Staff]),
    rule("GET",  "/franchises/{id}/holds", Ours, &[Staff, Operator, Auditor]),
    rule("POST", "/franchises/{id}/holds", Ours, &[Staff]),
    rule("POST", "/franchises/{id}/holds/release", Ours, &[Staff]),
    rule("GET",  "/settlements", Ours, &[Staff, Operator, Auditor]),
    rule("POST", "/settlements", Ours, &[Staff]),
    rule("GET",  "/settlements/{id}", Ours, &[Staff, Operator, Auditor]),
    rule("GET",  "/settlements/{run}/franchises/{id}/statement", Path, &[Franchise, Staff, Auditor]),
    // Banks.
    rule("PUT",  "/contracts/{bank_code}", Ours, &[Staff]),
    rule("GET",  "/contracts", Ours, &[Staff, Operator, Auditor]),
    rule("GET",  "/contracts/{bank_code}/versions", Ours, &[Staff, Operator, Auditor]),
    rule("GET",  "/contracts/{bank_code}/bill", Ours, &[Staff, Operator, Auditor]),
    rule("POST", "/firmbankings", Ours, &[Operator]),
    rule("GET",  "/firmbankings/{id}", Ours, &[Staff, Operator, Auditor]),
    rule("POST", "/firmbankings/{id}/undo", Ours, &[Operator]),
    rule("POST", "/firmbankings/{id}/undo/approval", Ours, &[Operator]),
    rule("GET",  "/bank-cases", Ours, &[Operator, Auditor]),
    rule("GET",  "/bank-cases/{id}", Ours, &[Operator, Auditor]),
    rule("POST", "/bank-cases/{id}/decision", Ours, &[Operator]),
];

/// The beginning of a path, for the log: one may have some tens of kilobytes, and
/// costs a stranger nothing.
fn logged(path: &str) -> &str {
    match path.char_indices().nth(200) {
        Some((end, _)) => &path[..end],
        None => path,
    }
}

/// The rule of an operation. What answers `GET` also answers `HEAD`.
fn rule_of(method: &Method, path: &str) -> Option<&'static Rule> {
    let method = if *method == Method::HEAD {
        "GET"
    } else {
        method.as_str()
    };
    RULES
        .iter()
        .find(|rule| rule.method == method && rule.path == path)
}

/// Lets a request through to its handler, with a [`Caller`], or says why not; and
/// notes whatever was refused, here or by the handler.
pub(crate) async fn guard(
    State(app): State<Arc<App>>,
    matched: MatchedPath,
    parameters: Result<RawPathParams, RawPathParamsRejection>,
    mut request: Request,
    next: Next,
) -> Response {
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let mut who = None;
    let admitted = rule_of(&method, matched.as_str())
        .ok_or_else(no_rule)
        .and_then(|rule| admit(&app, rule, parameters.ok(), request.headers(), &mut who));
    let response = match admitted {
        Ok(()) => {
            if let Some(who) = &who {
                request.extensions_mut().insert(Caller::new(who.clone()));
            }
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    };
    let role = who.as_ref().map_or("-", |who| who.role().name());
    let subject = who.as_ref().map_or("-", Identity::subject);
    let path = logged(uri.path());
    let of_ours = who.as_ref().is_some_and(|who| who.member_id().is_none());
    if of_ours && !method.is_safe() && response.status().is_success() {
        // Not everything that our people change has a column for who did.
        let status = response.status().as_u16();
        tracing::info!(%method, path, role, subject, status, "changed by our people");
    }
    if let Some(Denied(why)) = response.extensions().get() {
        tracing::warn!(%method, path, role, subject, why, "access refused");
        app.metrics.access_refused(role, why);
    }
    response
}

fn admit(
    app: &App,
    rule: &Rule,
    parameters: Option<RawPathParams>,
    headers: &HeaderMap,
    who: &mut Option<Identity>,
) -> Result<(), Problem> {
    if rule.roles.is_empty() {
        return Ok(());
    }
    let identity = &*who.insert(identify(app, headers)?);
    if !rule.roles.contains(&identity.role()) {
        return Err(wrong_role(identity.role(), rule.roles));
    }
    match (rule.whose, identity.member_id()) {
        (_, None) | (Whose::Body | Whose::Found, Some(_)) => Ok(()),
        (Whose::Path, Some(own)) => {
            let named = parameters.as_ref().and_then(|parameters| {
                let mut ids = parameters.iter().filter(|(name, _)| *name == "id");
                ids.next().map(|(_, value)| value)
            });
            match named.map(Uuid::try_parse) {
                Some(Ok(id)) if id == own => Ok(()),
                Some(Ok(_)) => Err(not_yours()),
                // No id at all: the handler cannot read it, either, and says so.
                Some(Err(_)) | None => Ok(()),
            }
        }
        (Whose::Ours, Some(_)) => Err(no_rule()),
    }
}

fn identify(app: &App, headers: &HeaderMap) -> Result<Identity, Problem> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else {
        let detail = "send the header `Authorization: Bearer <token>`";
        return Err(Problem::unauthorized("missing_token", detail));
    };
    if values.next().is_some() {
        let detail = "there is more than one Authorization header: which one counts?";
        return Err(Problem::unauthorized("invalid_token", detail));
    }
    let token = value
        .to_str()
        .ok()
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim());
    let Some(token) = token else {
        let detail = "the header Authorization is not of the form `Bearer <token>`";
        return Err(Problem::unauthorized("invalid_token", detail));
    };
    app.tokens.check(token).map_err(|why| {
        let code = match why {
            Refused::Expired => "expired_token",
            _ => "invalid_token",
        };
        Problem::unauthorized(code, why.to_string())
    })
}

fn wrong_role(role: Role, roles: &[Role]) -> Problem {
    let detail = format!("not for the role {role}, but for {}", names(roles));
    Problem::forbidden("wrong_role", detail)
}

/// Roles as a list for people.
pub(crate) fn names(roles: &[Role]) -> String {
    let names: Vec<&str> = roles.iter().map(|role| role.name()).collect();
    names.join(", ")
}

/// The same whether there is such a member or not.
pub(crate) fn not_yours() -> Problem {
    let detail = "it is another member's: the token's subject is not the one that is named";
    Problem::forbidden("not_yours", detail)
}

/// A way in that nobody has thought of is closed.
fn no_rule() -> Problem {
    Problem::forbidden("no_rule", "nobody may do this: it is in no table of rights")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_for_members_says_whose_things_it_is_about() {
        for rule in RULES {
            let members = rule.roles.iter().any(|role| role.is_of_a_member());
            assert_eq!(members, rule.whose != Whose::Ours, "{rule:?}");
            if rule.whose == Whose::Path {
                assert!(rule.path.contains("{id}"), "{rule:?}");
            }
        }
    }

    #[test]
    fn an_auditor_reads_everything_and_changes_nothing() {
        for rule in RULES.iter().filter(|rule| !rule.roles.is_empty()) {
            let reads = rule.method == "GET";
            assert_eq!(rule.roles.contains(&Auditor), reads, "{rule:?}");
        }
    }

    #[test]
    fn a_rule_is_found_by_method_and_path_and_each_is_there_once() {
        for rule in RULES {
            let method = Method::from_bytes(rule.method.as_bytes()).unwrap();
            assert!(std::ptr::eq(rule_of(&method, rule.path).unwrap(), rule));
        }
        assert!(rule_of(&Method::HEAD, "/members/{id}").is_some());
        assert!(rule_of(&Method::DELETE, "/members/{id}").is_none());
    }
}
