//! Versions of a resource in `ETag` and `If-Match` (RFC 9110): nobody changes what
//! somebody else has changed meanwhile without having seen it.

use axum::extract::FromRequestParts;
use axum::http::header::{ETAG, IF_MATCH};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use super::super::problem::Problem;

/// The versions that a client means by `If-Match`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct IfMatch(Vec<i64>);

impl IfMatch {
    /// Refuses a version that the client does not mean.
    pub(super) fn check(&self, version: i64) -> Result<(), Problem> {
        if self.0.contains(&version) {
            return Ok(());
        }
        Err(Problem::new(
            StatusCode::PRECONDITION_FAILED,
            "version_conflict",
            format!("it was changed meanwhile: version {version} holds. Read it, and decide again"),
        ))
    }

    fn parse(written: &str) -> Option<Self> {
        written
            .split(',')
            .map(|tag| {
                let tag = tag.trim();
                tag.strip_prefix('"')?.strip_suffix('"')?.parse().ok()
            })
            .collect::<Option<_>>()
            .map(Self)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let Some(written) = parts.headers.get(IF_MATCH) else {
            return Err(Problem::new(
                StatusCode::PRECONDITION_REQUIRED,
                "precondition_required",
                "send If-Match with the ETag of the version that you mean to change",
            ));
        };
        // A `*` would match whatever is there, and a weak tag nothing: neither
        // says which version was seen.
        written.to_str().ok().and_then(Self::parse).ok_or_else(|| {
            Problem::malformed(
                "invalid_if_match",
                "If-Match: take the ETag as it was given, such as \"3\"",
            )
        })
    }
}

/// An answer with the version that it shows.
pub(super) fn tagged(version: i64, answer: impl IntoResponse) -> Response {
    let mut response = answer.into_response();
    if let Ok(tag) = HeaderValue::try_from(format!("\"{version}\"")) {
        response.headers_mut().insert(ETAG, tag);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_taken_as_it_was_given() {
        assert_eq!(IfMatch::parse("\"3\""), Some(IfMatch(vec![3])));
        assert_eq!(IfMatch::parse("\"3\", \"4\""), Some(IfMatch(vec![3, 4])));
        for bad in ["", "*", "3", "W/\"3\"", "\"x\"", "\"3\","] {
            assert_eq!(IfMatch::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn only_the_version_that_was_seen_is_changed() {
        let seen = IfMatch(vec![3]);
        assert!(seen.check(3).is_ok());
        assert!(seen.check(4).is_err());
    }
}
