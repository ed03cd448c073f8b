//! The servers of a measurement.

use std::sync::Arc;

use anyhow::Context;
use mypay_schemas::encoders::Encoders;
use mypay_stack::{Endpoints, Stack};
use sqlx::PgPool;

/// A running stack, with topics, schemas and tables.
pub struct World {
    /// The stack.
    pub stack: Stack,
    /// Its addresses.
    pub endpoints: Endpoints,
    /// Its database, for questions over whole tables.
    pub pool: PgPool,
    /// Writes requests.
    pub encoders: Arc<Encoders>,
}

impl World {
    /// Connects to a stack that is up and prepared.
    pub async fn connect(stack: Stack, endpoints: Endpoints) -> anyhow::Result<Self> {
        let pool = mypay_database::reporting_pool(&endpoints.database_url, 6)?;
        let encoders = Encoders::look_up(&endpoints.registry_url)
            .await
            .context("the schemas")?;
        Ok(Self {
            stack,
            endpoints,
            pool,
            encoders: Arc::new(encoders),
        })
    }
}
