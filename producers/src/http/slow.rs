//! Bodies that come too slowly.

use std::error::Error;
use std::time::Duration;

use axum::BoxError;
use axum::body::{Body, HttpBody};
use futures::StreamExt;
use futures::stream::try_unfold;
use tokio::time::{Instant, timeout_at};

/// The client took too long for its body.
#[derive(Debug, thiserror::Error)]
#[error("the body did not come in time")]
pub(crate) struct TooSlow;

/// The body, which ends with [`TooSlow`] where it has not come in that time.
///
/// All of it: the body time-out of `tower-http` begins anew with every piece, and a
/// client that sends a byte each second would never reach it.
pub(crate) fn within(patience: Duration, body: Body) -> Body {
    if body.is_end_stream() {
        return body;
    }
    let end = Instant::now() + patience;
    let pieces = try_unfold(body.into_data_stream(), move |mut body| async move {
        match timeout_at(end, body.next()).await {
            Ok(Some(piece)) => Ok(Some((piece?, body))),
            Ok(None) => Ok(None),
            Err(_) => Err(BoxError::from(TooSlow)),
        }
    });
    Body::from_stream(pieces)
}

/// Whether a body could not be read because it was too slow.
pub(crate) fn is_too_slow(error: &(dyn Error + 'static)) -> bool {
    let mut causes = std::iter::successors(Some(error), |&error| error.source());
    causes.any(|error| error.is::<TooSlow>())
}
