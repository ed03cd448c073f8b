//! Errors as clients see them: `application/problem+json`, RFC 9457.

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use mypay_idempotency::is_transient;
use serde::Serialize;

use super::fields;
use super::slow::is_too_slow;
use crate::accept::{AcceptError, PrepareError};
use crate::request::{Fault, Refusal};

/// Why a request has no other answer.
#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    reason: &'static str,
    detail: String,
    denied: Option<&'static str>,
    pointer: Option<String>,
    /// When to come again, seconds from now.
    again: Option<u64>,
}

/// The body of an error.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct ProblemBody {
    /// Where the code is described: `/docs/problems.md#` and the code.
    #[serde(rename = "type")]
    #[schema(format = "uri-reference", example = "/docs/problems.md#invalid_amount")]
    kind: String,
    /// The HTTP status in words.
    #[schema(value_type = String)]
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// What is wrong, and what to do about it, for people.
    #[schema(example = "amount: whole won from 1 to 100000000000")]
    detail: String,
    /// What is wrong, for programs: stable.
    #[schema(value_type = String, example = "invalid_amount")]
    code: &'static str,
    /// The same as `code`, under its older name.
    #[schema(value_type = String, example = "invalid_amount")]
    reason: &'static str,
    /// Which field of the body is at fault (RFC 6901), where it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "/amount")]
    pointer: Option<String>,
}

/// The reason of a refusal, for whoever counts them.
#[derive(Clone, Copy)]
pub(crate) struct Reason(pub(crate) &'static str);

/// Somebody was refused access, for whoever notes that: why, which the answer may
/// keep to itself.
#[derive(Clone, Copy)]
pub(crate) struct Denied(pub(crate) &'static str);

impl Problem {
    pub(crate) fn new(status: StatusCode, reason: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status,
            reason,
            detail: detail.into(),
            denied: None,
            pointer: None,
            // It will pass.
            again: (status == StatusCode::SERVICE_UNAVAILABLE).then_some(1),
        }
    }

    /// Says which field of the body is at fault: a JSON pointer, `""` for all of it.
    pub(crate) fn at_pointer(mut self, pointer: String) -> Self {
        self.pointer = Some(pointer);
        self
    }

    /// Nobody that is known asks.
    pub(crate) fn unauthorized(reason: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, reason, detail).denied(reason)
    }

    /// Somebody asks who may not.
    pub(crate) fn forbidden(reason: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, reason, detail).denied(reason)
    }

    /// Notes that access was refused, whatever the answer says.
    pub(crate) fn denied(mut self, why: &'static str) -> Self {
        self.denied = Some(why);
        self
    }

    /// The request cannot be read.
    pub(crate) fn malformed(reason: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, reason, detail)
    }

    /// The request can be read, and asks for what cannot be.
    pub(crate) fn invalid(reason: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, reason, detail)
    }

    pub(crate) fn not_found(reason: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, reason, detail)
    }

    pub(crate) fn conflict(reason: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, reason, detail)
    }

    pub(crate) fn method_not_allowed() -> Self {
        let detail = "the resource has no such method; the header Allow says which it has";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail)
    }

    /// It will pass: the client is told to come again.
    pub(crate) fn unavailable(reason: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, reason, detail)
    }

    /// The client has had its share: it may come again after so many seconds.
    pub(crate) fn too_many(reason: &'static str, detail: impl Into<String>, again: u64) -> Self {
        Self {
            again: Some(again),
            ..Self::new(StatusCode::TOO_MANY_REQUESTS, reason, detail)
        }
    }

    /// A defect of ours. The cause goes to the log, not to the client.
    pub(crate) fn defect(cause: &dyn std::fmt::Display) -> Self {
        tracing::error!(%cause, "a request failed");
        let detail = "the request failed through no fault of yours; it is in the log";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", detail)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = ProblemBody {
            kind: format!("/docs/problems.md#{}", self.reason),
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            detail: self.detail,
            code: self.reason,
            reason: self.reason,
            pointer: self.pointer,
        };
        let mut response = (self.status, Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if let Some(seconds) = self.again {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, challenge(self.reason));
        }
        response.extensions_mut().insert(Reason(self.reason));
        if let Some(why) = self.denied {
            response.extensions_mut().insert(Denied(why));
        }
        response
    }
}

/// RFC 6750, 3: a request without a token is told no error.
fn challenge(reason: &str) -> HeaderValue {
    HeaderValue::from_static(match reason {
        "missing_token" => r#"Bearer realm="my-pay""#,
        _ => r#"Bearer realm="my-pay", error="invalid_token""#,
    })
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let problem = match refusal.fault {
            Fault::Id => Self::malformed(refusal.reason, refusal.detail),
            Fault::Content => Self::invalid(refusal.reason, refusal.detail),
        };
        match refusal.field {
            Some(field) => problem.at_pointer(format!("/{field}")),
            None => problem,
        }
    }
}

impl From<PrepareError> for Problem {
    fn from(error: PrepareError) -> Self {
        match error {
            PrepareError::Refused(refusal) => refusal.into(),
            PrepareError::Encoding(error) => Self::defect(&error),
        }
    }
}

impl From<AcceptError> for Problem {
    fn from(error: AcceptError) -> Self {
        let again = format!("{error}: send it again, with the same Idempotency-Key");
        match error {
            AcceptError::Overloaded => Self::unavailable("overloaded", again),
            AcceptError::Unavailable => Self::unavailable("database_unavailable", again),
            AcceptError::Defect => Self::defect(&error),
        }
    }
}

impl From<sqlx::Error> for Problem {
    fn from(error: sqlx::Error) -> Self {
        if is_transient(&error) {
            tracing::warn!(%error, "the database did not answer a request");
            Self::unavailable(
                "database_unavailable",
                "the database does not answer: try again",
            )
        } else {
            Self::defect(&error)
        }
    }
}

impl From<JsonRejection> for Problem {
    fn from(rejection: JsonRejection) -> Self {
        let status = rejection.status();
        let detail = rejection.body_text();
        match rejection {
            JsonRejection::JsonSyntaxError(_) => Self::malformed("malformed_json", detail),
            JsonRejection::JsonDataError(error) => fields::problem_of(&error, detail),
            JsonRejection::MissingJsonContentType(_) => Self::new(
                status,
                "unsupported_media_type",
                "send the body as JSON, with Content-Type: application/json",
            ),
            _ if status == StatusCode::PAYLOAD_TOO_LARGE => {
                Self::new(status, "body_too_large", "a request has at most 64 KiB")
            }
            rejection if is_too_slow(&rejection) => Self::new(
                StatusCode::REQUEST_TIMEOUT,
                "body_too_slow",
                "the body did not come in time: send it again",
            ),
            _ => Self::malformed("unreadable_body", detail),
        }
    }
}

impl From<PathRejection> for Problem {
    fn from(rejection: PathRejection) -> Self {
        Self::malformed("invalid_path", rejection.body_text())
    }
}

impl From<QueryRejection> for Problem {
    fn from(rejection: QueryRejection) -> Self {
        let code = match fields::parameter_of(&rejection).as_deref() {
            Some("limit") => "invalid_limit",
            Some("cursor") => "invalid_cursor",
            Some("state") => "invalid_state",
            Some("area") => "invalid_area",
            Some("month") => "invalid_month",
            Some("format") => "invalid_format",
            _ => "invalid_query",
        };
        Self::malformed(code, rejection.body_text())
    }
}
