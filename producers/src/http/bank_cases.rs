//! `GET /bank-cases`, `GET /bank-cases/{id}`, `POST /bank-cases/{id}/decision`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use mypay_cases::{Case, DecideError, Decision, Invalid, Known, Standing, Verdict};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::App;
use super::caller::Caller;
use super::extract::{Asked, Body, Headers, Id};
use super::page::{Page, PageQuery, at_instant};
use super::problem::{Problem, ProblemBody};
use crate::request::Refusal;

/// What an operator decides; which one, the token says.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DecisionBody {
    /// `done`, `refused` or `resend` of a command; `dismiss` of a notice.
    #[schema(example = "done", pattern = "^(done|refused|resend|dismiss)$")]
    pub(in crate::http) outcome: String,
    /// What the bank took for the command, whole won: only for what it did or refused.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 1_000_000)]
    pub(in crate::http) fee: i64,
    /// Why: whom the operator asked, and what was said.
    #[schema(
        example = "Telephone call with KB, 14:05: executed, reference 20260302000042",
        min_length = 1,
        max_length = 1_000
    )]
    pub(in crate::http) reason: String,
}

/// Where a decision stands.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct DecisionAnswer {
    decision_id: Uuid,
    case_id: Uuid,
    /// `TAKEN`: the workers are about to apply it. `APPLIED`. `OVERTAKEN`: the
    /// bank's own answer was there first.
    standing: &'static str,
    /// By what it was overtaken.
    overtaken: Option<String>,
}

/// The open cases: what no bank can settle any more.
#[utoipa::path(
    get,
    path = "/bank-cases",
    tag = "bank cases",
    params(PageQuery),
    responses((status = 200, description = "A page of open cases, the oldest first", body = Page<Case>))
)]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Asked(page): Asked<PageQuery>,
) -> Result<Json<Page<Case>>, Problem> {
    let cases = mypay_cases::list(&app.pool, page.after_instant()?, page.rows()?).await?;
    Ok(Json(page.page(cases, |case| {
        at_instant(case.since, case.case_id)
    })?))
}

/// All that is known of a case, open or closed.
#[utoipa::path(
    get,
    path = "/bank-cases/{id}",
    tag = "bank cases",
    params(("id" = Uuid, Path, description = "The case: a command's id, or a notice's")),
    responses(
        (status = 200, description = "The case", body = Known),
        (status = 404, description = "There is no such case", body = ProblemBody),
    )
)]
pub(crate) async fn find(
    State(app): State<Arc<App>>,
    Id(case_id): Id,
) -> Result<Json<Known>, Problem> {
    let known = mypay_cases::find(&app.pool, case_id).await?;
    known.map(Json).ok_or_else(|| no_such(case_id))
}

/// Decides a case, with a name and a reason.
///
/// The decision is applied once, within a second. The same call with the same
/// `Idempotency-Key` tells where it stands.
#[utoipa::path(
    post,
    path = "/bank-cases/{id}/decision",
    tag = "bank cases",
    params(
        ("id" = Uuid, Path, description = "The case"),
        ("Idempotency-Key" = Uuid, Header, description = "The decision's id"),
    ),
    request_body = DecisionBody,
    responses(
        (status = 202, description = "Taken down", body = DecisionAnswer),
        (status = 200, description = "Taken down before", body = DecisionAnswer),
        (status = 404, description = "There is no such case", body = ProblemBody),
        (status = 409, description = "`case_not_open`, `case_being_decided`, `id_conflict`", body = ProblemBody),
        (status = 422, description = "The content; `fee_out_of_range`, `fee_of_nothing`, `outcome_does_not_fit`", body = ProblemBody),
    )
)]
pub(crate) async fn decide(
    State(app): State<Arc<App>>,
    caller: Caller,
    Id(case_id): Id,
    headers: Headers,
    Body(body): Body<DecisionBody>,
) -> Result<(StatusCode, Json<DecisionAnswer>), Problem> {
    let decision_id = idempotency_key(headers)?;
    let verdict: Verdict = body
        .outcome
        .parse()
        .map_err(|why: String| Refusal::of_field("unknown_value", "outcome", why))?;
    let decision = Decision {
        decision_id,
        case_id,
        verdict,
        fee: body.fee,
        operator: caller.name(),
        reason: body.reason,
    };
    let (standing, new) = mypay_cases::decide(&app.pool, &decision).await?;
    let status = if new {
        StatusCode::ACCEPTED
    } else {
        StatusCode::OK
    };
    let (standing, overtaken) = match standing {
        Standing::Taken => ("TAKEN", None),
        Standing::Applied => ("APPLIED", None),
        Standing::Overtaken(by) => ("OVERTAKEN", Some(by)),
    };
    let answer = DecisionAnswer {
        decision_id,
        case_id,
        standing,
        overtaken,
    };
    Ok((status, Json(answer)))
}

/// The id that whoever decides or proposes something gives that.
pub(in crate::http) fn idempotency_key(headers: Headers) -> Result<Uuid, Problem> {
    let key = headers.key.ok_or_else(|| {
        let detail = "send the header Idempotency-Key: a UUID, the id of what you decide";
        Problem::malformed("missing_idempotency_key", detail)
    })?;
    Uuid::try_parse(&key)
        .map_err(|_| Problem::malformed("invalid_id", "the Idempotency-Key is not a UUID"))
}

fn no_such(case_id: Uuid) -> Problem {
    Problem::not_found("unknown_case", format!("there is no case {case_id}"))
}

impl From<DecideError> for Problem {
    fn from(error: DecideError) -> Self {
        match error {
            DecideError::Invalid(invalid) => invalid.into(),
            DecideError::NoSuchCase(case_id) => no_such(case_id),
            DecideError::Closed(_) => Self::conflict("case_not_open", error.to_string()),
            DecideError::BeingDecided => Self::conflict("case_being_decided", error.to_string()),
            DecideError::OtherDecision => Self::conflict("id_conflict", error.to_string()),
            DecideError::Database(error) => error.into(),
        }
    }
}

impl From<Invalid> for Problem {
    fn from(invalid: Invalid) -> Self {
        let code = match invalid {
            Invalid::Empty { .. } => "field_empty",
            Invalid::TooLong { .. } => "field_too_long",
            Invalid::Zero(_) => "field_has_control_characters",
            Invalid::FeeOutOfRange => "fee_out_of_range",
            Invalid::FeeOfNothing => "fee_of_nothing",
            Invalid::Unfit(_) => "outcome_does_not_fit",
        };
        Self::invalid(code, invalid.to_string()).at_pointer(format!("/{}", invalid.field()))
    }
}
