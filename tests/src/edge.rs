//! A client of the HTTP edge, with the token of whoever would ask.

use std::time::Duration;

use mypay_auth::{Identity, Minter, Role, Sources};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::Value;
use uuid::Uuid;

use crate::wait::eventually;
use crate::world::World;

/// Longer than any test runs.
const GOOD_FOR: Duration = Duration::from_secs(3_600);
/// How long something that must come is waited for.
const LONG: Duration = Duration::from_secs(120);
/// Who our own people are.
const NAME: &str = "kim.minji";

/// A client of the edge.
pub struct Client {
    /// Without a token: [`Client::request`] has one.
    pub http: reqwest::Client,
    /// The edge's URL.
    pub base: String,
    minter: Minter,
}

impl Client {
    /// A client of the world's edge, whether it runs yet or not.
    ///
    /// # Panics
    /// Where the stack has no key for tokens: it was never up.
    pub fn new(world: &World) -> Self {
        let sources = Sources {
            local: Some(world.stack.token_key()),
            ..Sources::default()
        };
        let key = sources.key().expect("the stack has made a key");
        Self {
            http: reqwest::Client::new(),
            base: world.endpoints.api_url.trim_end_matches('/').to_owned(),
            minter: Minter::new(&key).expect("a secret"),
        }
    }

    /// A token for a subject in a role.
    ///
    /// # Panics
    /// Where the subject cannot stand for somebody in the role.
    pub fn token(&self, role: Role, subject: &str) -> String {
        let who = Identity::new(role, subject).expect("a subject of the role");
        self.minter.mint(&who, GOOD_FOR).expect("signed")
    }

    /// A request with the token of whoever makes such requests, as [`who`] has it.
    pub fn request(&self, method: Method, path: &str, body: &Value) -> RequestBuilder {
        let (role, subject) = who(&method, path, body);
        self.request_by(role, &subject, method, path)
    }

    /// A request of this subject in this role.
    pub fn request_by(
        &self,
        role: Role,
        subject: &str,
        method: Method,
        path: &str,
    ) -> RequestBuilder {
        self.http
            .request(method, format!("{}{path}", self.base))
            .bearer_auth(self.token(role, subject))
    }

    /// Sends a body under an `Idempotency-Key`.
    pub async fn post(
        &self,
        path: &str,
        key: &str,
        body: &Value,
    ) -> anyhow::Result<(StatusCode, Value)> {
        let request = self.request(Method::POST, path, body);
        let answer = request
            .header("Idempotency-Key", key)
            .json(body)
            .send()
            .await?;
        Ok((answer.status(), answer.json().await.unwrap_or_default()))
    }

    /// Sends a body by any method; `If-Match` where a version is meant. Gives the
    /// answer with its `ETag`.
    pub async fn send(
        &self,
        method: &str,
        path: &str,
        if_match: Option<&str>,
        body: &Value,
    ) -> anyhow::Result<(StatusCode, Value, Option<String>)> {
        let method = Method::from_bytes(method.as_bytes())?;
        let mut request = self.request(method, path, body).json(body);
        if let Some(version) = if_match {
            request = request.header("If-Match", version);
        }
        let answer = request.send().await?;
        let tag = answer.headers().get("etag");
        let tag = tag.and_then(|tag| Some(tag.to_str().ok()?.to_owned()));
        let status = answer.status();
        Ok((status, answer.json().await.unwrap_or_default(), tag))
    }

    /// Reads something, as an auditor.
    pub async fn get(&self, path: &str) -> anyhow::Result<Value> {
        let request = self.request(Method::GET, path, &Value::Null);
        Ok(request.send().await?.json().await?)
    }

    /// Waits until the edge accepts requests.
    pub async fn accepts(&self) -> anyhow::Result<()> {
        eventually("an edge that accepts", LONG, async || {
            let health = self.get("/health").await.unwrap_or_default();
            Ok((health["accepting"] == true).then_some(()))
        })
        .await
    }

    /// Waits until a request is done; gives what is known of it.
    pub async fn done(&self, id: &str) -> anyhow::Result<Value> {
        eventually("a request that is done", LONG, async || {
            let state = self.get(&format!("/requests/{id}")).await?;
            Ok((state["status"] == "done").then_some(state))
        })
        .await
    }
}

/// Who makes such a request: the member whose money it moves, an operator at the
/// banks, an auditor for what is only read, else staff.
pub fn who(method: &Method, path: &str, body: &Value) -> (Role, String) {
    let member = |field: &str| {
        let named = body[field]
            .as_str()
            .filter(|id| Uuid::try_parse(id).is_ok());
        let id = named.map_or_else(|| Uuid::now_v7().to_string(), str::to_owned);
        (Role::Member, id)
    };
    match path {
        _ if *method == Method::GET => (Role::Auditor, NAME.to_owned()),
        "/recharges" | "/payments" => member("member_id"),
        "/remittances" => member("sender_id"),
        _ if path.starts_with("/firmbankings") => (Role::Operator, NAME.to_owned()),
        _ if path.starts_with("/bank-cases") => (Role::Operator, NAME.to_owned()),
        _ => (Role::Staff, NAME.to_owned()),
    }
}
