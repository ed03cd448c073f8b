//! One HTTP call: what was sent, and what came back.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::BankClient;
use super::answer::{CallFailed, NotSentWhy, UnknownWhy};
use crate::classes::Bank;

/// A transfer's answer has a few hundred bytes; whatever is longer is none.
pub(super) const SMALL: usize = 16 * 1024;
/// A page of a statement.
pub(super) const LARGE: usize = 16 * 1024 * 1024;

/// What came back, read to its end.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) body: Vec<u8>,
}

impl Reply {
    /// The body, whatever the status.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, UnknownWhy> {
        serde_json::from_slice(&self.body).map_err(|e| UnknownWhy::Unreadable(e.to_string()))
    }

    /// The body of a 200; any other status is no answer.
    pub(super) fn ok<T: DeserializeOwned>(&self) -> Result<T, UnknownWhy> {
        match self.status {
            StatusCode::OK => self.json(),
            other => Err(UnknownWhy::Status(other.as_u16())),
        }
    }
}

/// How much to wait for and how much to read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) timeout: Duration,
    pub(super) body: usize,
}

impl BankClient {
    pub(super) fn bank(&self, bank_code: &str) -> Result<&Bank, NotSentWhy> {
        self.config
            .table
            .bank(bank_code)
            .ok_or_else(|| NotSentWhy::NoSuchBank(bank_code.to_owned()))
    }

    /// A call to `/banks/{bank_code}{path}`.
    pub(super) async fn call(
        &self,
        method: Method,
        bank_code: &str,
        path: &str,
        body: Option<&(impl Serialize + Sync)>,
        limits: Limits,
    ) -> Result<Reply, CallFailed> {
        let base = self
            .config
            .endpoints
            .get(bank_code)
            .unwrap_or(&self.config.base_url);
        let url = format!("{}/banks/{bank_code}{path}", base.trim_end_matches('/'));
        let mut request = self.http.request(method, url).timeout(limits.timeout);
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.map_err(|e| failed(&e))?;
        read(response, limits.body)
            .await
            .map_err(CallFailed::Unknown)
    }
}

/// The status and the whole body, or why not.
async fn read(mut response: reqwest::Response, limit: usize) -> Result<Reply, UnknownWhy> {
    let status = response.status();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|e| broke(&e))? {
        if body.len() + chunk.len() > limit {
            return Err(UnknownWhy::Unreadable(format!("more than {limit} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Reply { status, body })
}

/// Sorts a failure to send.
///
/// `is_connect` holds only where no connection was made, so nothing was written.
/// A pooled connection that dies under a request is *not* `is_connect`, though
/// the cause may read just the same ("connection reset"): the bank may have the
/// command. `tests/it/client_failures.rs` holds reqwest to that.
fn failed(error: &reqwest::Error) -> CallFailed {
    if error.is_connect() {
        NotSentWhy::NoConnection(cause(error)).into()
    } else if error.is_builder() {
        NotSentWhy::Request(cause(error)).into()
    } else {
        broke(error).into()
    }
}

fn broke(error: &reqwest::Error) -> UnknownWhy {
    if error.is_timeout() {
        UnknownWhy::TimedOut
    } else {
        UnknownWhy::ConnectionBroke(cause(error))
    }
}

/// The innermost cause: the outer ones only say that there was one.
fn cause(error: &reqwest::Error) -> String {
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
