//! A live cluster: read, changed, and waited for.

mod change;
mod incremental;
mod read;

use std::sync::Arc;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::metadata::Metadata;

use crate::compare::{Comparison, compare};
use crate::error::ClusterError;
use crate::plan::Plan;

/// How long one request to the cluster may take.
const REQUEST: Duration = Duration::from_secs(20);

/// How long the first answer may take: a wrong address shows soon.
const FIRST_ANSWER: Duration = Duration::from_secs(10);

/// A connection to a cluster.
pub struct Cluster {
    admin: Arc<AdminClient<DefaultClientContext>>,
    bootstrap: String,
}

/// What an [`apply`](Cluster::apply) did.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Applied {
    /// What was found before, and so what was done; refusals were not.
    pub found: Comparison,
    /// Whether anything was changed.
    pub changed: bool,
}

impl Cluster {
    /// A client of the cluster at `bootstrap`. Connects when first used.
    ///
    /// # Errors
    /// [`ClusterError::Client`] where the address cannot be one.
    pub fn new(bootstrap: &str) -> Result<Self, ClusterError> {
        let admin = mypay_kafka::client(bootstrap)
            .set("client.id", "mypay-topics")
            .create()
            .map_err(|source| ClusterError::Client {
                bootstrap: bootstrap.to_owned(),
                source,
            })?;
        Ok(Cluster {
            admin: Arc::new(admin),
            bootstrap: bootstrap.to_owned(),
        })
    }

    /// Compares the plan with the cluster.
    ///
    /// # Errors
    /// [`ClusterError`] where the cluster cannot be read.
    pub async fn compare(&self, plan: &Plan) -> Result<Comparison, ClusterError> {
        Ok(compare(plan, &self.read(plan).await?))
    }

    /// Makes the cluster as planned, but for what is refused, and waits until
    /// every partition has a leader. On a cluster that is as planned it reads only.
    ///
    /// # Errors
    /// [`ClusterError`]; what was done until then stays, and another call goes on.
    pub async fn apply(&self, plan: &Plan) -> Result<Applied, ClusterError> {
        let found = self.compare(plan).await?;
        let created = self.create(plan, &found).await?;
        let set = self.set(&found).await?;
        let grown = self.grow(&found).await?;
        self.wait_for_leaders(plan, &found).await?;
        Ok(Applied {
            found,
            changed: created || set || grown,
        })
    }

    /// Metadata of all topics. Asking for one by name could create it, on a
    /// cluster where `auto.create.topics.enable` is on.
    async fn metadata(&self, timeout: Duration) -> Result<Metadata, ClusterError> {
        let admin = Arc::clone(&self.admin);
        let blocking = move || admin.inner().fetch_metadata(None, timeout);
        let answer = tokio::task::spawn_blocking(blocking).await;
        let error = match answer.map_err(|_| ClusterError::Stopped)? {
            Ok(metadata) => return Ok(metadata),
            Err(error) => error,
        };
        let bootstrap = self.bootstrap.clone();
        let why = tokio::task::spawn_blocking(move || mypay_kafka::why_unreachable(&bootstrap));
        let why = why.await.map_err(|_| ClusterError::Stopped)?;
        Err(ClusterError::Unreachable {
            bootstrap: self.bootstrap.clone(),
            // The error's own text says the same three times.
            reason: why.unwrap_or_else(|| {
                error
                    .rdkafka_error_code()
                    .map_or(error.to_string(), |code| code.to_string())
            }),
        })
    }
}

fn options() -> AdminOptions {
    AdminOptions::new()
        .request_timeout(Some(REQUEST))
        .operation_timeout(Some(REQUEST))
}
