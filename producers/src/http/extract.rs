//! What a request carries, with a [`Problem`] where it cannot be read.

use std::fmt;
use std::marker::PhantomData;

use axum::Json;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, DeserializeOwned, Deserializer, MapAccess, Visitor};
use uuid::Uuid;

use super::problem::Problem;
use crate::accept;

/// A JSON object.
pub(crate) struct Body<T>(pub(crate) T);

/// Serde would also take `["..", 1]` for a struct, the fields in their order:
/// a field that is added would then give a client's array another meaning.
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Map<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Map<T> {
            type Value = T;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map))
            }
        }

        deserializer.deserialize_map(Map(PhantomData)).map(Self)
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let Json(Object(body)) = Json::from_request(request, state).await?;
        Ok(Self(body))
    }
}

/// The query string.
pub(crate) struct Asked<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Asked<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        // PostgreSQL has no text with U+0000 in it, so nothing of ours is found by it.
        if parts.uri.query().is_some_and(|query| query.contains("%00")) {
            let detail = "the query holds a character that nothing of ours has (U+0000)";
            return Err(Problem::malformed("invalid_query", detail));
        }
        let Query(asked) = Query::from_request_parts(parts, state).await?;
        Ok(Self(asked))
    }
}

/// The one parameter of the path, as text.
pub(crate) struct Named(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path(name): Path<String> = Path::from_request_parts(parts, state).await?;
        if name.contains('\0') {
            let detail = "the path holds a character that nothing of ours has (U+0000)";
            return Err(Problem::malformed("invalid_path", detail));
        }
        Ok(Self(name))
    }
}

/// The id in the path.
pub(crate) struct Id(pub(crate) Uuid);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Named(written) = Named::from_request_parts(parts, state).await?;
        match Uuid::try_parse(&written) {
            Ok(id) if written.len() == 36 => Ok(Self(id)),
            _ => Err(Problem::malformed(
                "invalid_id",
                "the id in the path is not a UUID",
            )),
        }
    }
}

/// The headers that a request of a flow may carry.
pub(crate) struct Headers {
    pub(crate) key: Option<String>,
    pub(crate) correlation_id: Option<Uuid>,
    pub(crate) traceparent: Option<String>,
}

impl<S: Send + Sync> FromRequestParts<S> for Headers {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Ok(Self {
            key: key(&parts.headers)?,
            correlation_id: one(&parts.headers, "x-correlation-id")
                .and_then(accept::correlation_id),
            traceparent: one(&parts.headers, "traceparent").and_then(accept::traceparent),
        })
    }
}

fn key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut keys = headers.get_all("idempotency-key").iter();
    let Some(key) = keys.next() else {
        return Ok(None);
    };
    if keys.next().is_some() {
        let detail = "there is more than one Idempotency-Key: which is the request's?";
        return Err(Problem::malformed("ambiguous_idempotency_key", detail));
    }
    let key = key
        .to_str()
        .map_err(|_| Problem::malformed("invalid_id", "the Idempotency-Key is not a UUID"))?
        .trim();
    // The IETF's draft of this header writes it as a quoted string; most
    // clients do not.
    let unquoted = key.strip_prefix('"').and_then(|key| key.strip_suffix('"'));
    Ok(Some(unquoted.unwrap_or(key).to_owned()))
}

fn one<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}
