//! The HTTP edge, as a client sees it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use mypay_auth::{Identity, Key, Minter, Role};
use reqwest::StatusCode;
use serde_json::Value;

/// A client of the edge.
#[derive(Clone)]
pub(super) struct Edge {
    http: reqwest::Client,
    base: String,
    minter: Arc<Minter>,
}

/// How long a token is good for: each request has one of its own.
const GOOD_FOR: Duration = Duration::from_secs(60);

impl Edge {
    /// `key` makes the tokens of everybody who lives in the town.
    pub(super) fn new(api_url: &str, key: &Key) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder()
            .timeout(Duration::from_secs(30))
            .pool_max_idle_per_host(256)
            .build()?;
        Ok(Self {
            http,
            base: api_url.trim_end_matches('/').to_string(),
            minter: Arc::new(Minter::new(key)?),
        })
    }

    /// Waits until the edge accepts requests.
    pub(super) async fn until_healthy(&self, patience: Duration) -> anyhow::Result<()> {
        let deadline = Instant::now() + patience;
        let mut last = "no answer".to_string();
        while Instant::now() < deadline {
            match self.http.get(format!("{}/health", self.base)).send().await {
                Ok(answer) => {
                    let body: Value = answer.json().await.unwrap_or_default();
                    if body["accepting"] == true {
                        return Ok(());
                    }
                    last = body.to_string();
                }
                Err(error) => last = error.to_string(),
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        bail!("not within {patience:?}: {last}")
    }

    /// Sends a command; `key` is its Idempotency-Key. While the edge says to
    /// try again, it is tried again, with the same key.
    pub(super) async fn post(
        &self,
        path: &str,
        key: Option<&str>,
        body: &Value,
    ) -> anyhow::Result<(StatusCode, Value)> {
        let mut tries = 0;
        loop {
            let mut request = self
                .http
                .post(format!("{}{path}", self.base))
                .bearer_auth(self.token(path, body)?)
                .json(body);
            if let Some(key) = key {
                request = request.header("Idempotency-Key", key);
            }
            let answered = match request.send().await {
                Ok(answer) => {
                    let status = answer.status();
                    (status, answer.json().await.unwrap_or_default())
                }
                Err(error) if key.is_some() && tries < 20 => {
                    tracing::warn!(%error, path, "no answer; trying again with the same key");
                    (StatusCode::SERVICE_UNAVAILABLE, Value::Null)
                }
                Err(error) => return Err(error).with_context(|| format!("POST {path}")),
            };
            if answered.0 != StatusCode::SERVICE_UNAVAILABLE || tries == 20 {
                return Ok(answered);
            }
            tries += 1;
            tokio::time::sleep(Duration::from_millis(100 * tries)).await;
        }
    }

    /// Puts a resource in its place.
    pub(super) async fn put(&self, path: &str, body: &Value) -> anyhow::Result<()> {
        let answer = self
            .http
            .put(format!("{}{path}", self.base))
            .bearer_auth(self.token(path, body)?)
            .json(body)
            .send()
            .await?;
        let status = answer.status();
        if !status.is_success() {
            bail!(
                "PUT {path}: {status}: {}",
                answer.text().await.unwrap_or_default()
            );
        }
        Ok(())
    }

    /// Reads a resource; `None` where there is none.
    pub(super) async fn get(&self, path: &str) -> anyhow::Result<Option<Value>> {
        let answer = self
            .http
            .get(format!("{}{path}", self.base))
            .bearer_auth(self.token(path, &Value::Null)?)
            .send()
            .await?;
        if answer.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        Ok(Some(answer.error_for_status()?.json().await?))
    }

    /// The token of whoever would ask: the member whose money it is, else staff.
    fn token(&self, path: &str, body: &Value) -> anyhow::Result<String> {
        let member = match path {
            "/recharges" | "/payments" => body["member_id"].as_str(),
            "/remittances" => body["sender_id"].as_str(),
            _ => None,
        };
        let who = match member {
            Some(id) => Identity::new(Role::Member, id)?,
            None => Identity::new(Role::Staff, "mypay day")?,
        };
        Ok(self.minter.mint(&who, GOOD_FOR)?)
    }
}
