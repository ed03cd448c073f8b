//! Everything that the database knows of one message, in the order of time.
//!
//! First the ids: what brought the message about, what it brought about, and the ids
//! that we derive from these. Then every row under one of them. All is found by keys
//! and indexes: `queue_log` is never gone through.

mod derived;
mod family;
mod rows;
mod words;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use crate::Servers;
use crate::error::AuditError;

/// A message and all that belongs to it.
#[derive(Debug, Clone, Serialize)]
pub struct Trace {
    /// The message.
    pub message_id: Uuid,
    /// It and the others of its family, and what they are to each other.
    pub ids: Vec<Member>,
    /// What happened, the first first.
    pub steps: Vec<Step>,
}

/// An id of the family.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Member {
    /// The id.
    pub id: Uuid,
    /// What has it, as in `command of the recharge`.
    pub what: String,
}

/// Something that happened, by a row.
#[derive(Debug, Clone, Serialize)]
pub struct Step {
    /// When.
    pub at: DateTime<Utc>,
    /// The row's table.
    pub table: &'static str,
    /// Which of the ids it has.
    pub id: Uuid,
    /// What that is.
    pub of: String,
    /// What happened, for people.
    pub what: String,
    /// The row.
    pub row: Value,
}

/// Traces a message; `None`: the database knows nothing of it.
///
/// # Errors
/// [`AuditError::Database`] where it does not answer.
pub async fn trace(servers: &Servers, message_id: Uuid) -> Result<Option<Trace>, AuditError> {
    // Its plans take indexes wherever there are any.
    let pool = mypay_database::pool(&servers.database_url, 1)?;
    let mut connection = pool.acquire().await?;
    let ids = family::of(&mut connection, message_id).await?;
    let steps = rows::steps(&mut connection, &ids).await?;
    Ok((!steps.is_empty()).then_some(Trace {
        message_id,
        ids,
        steps,
    }))
}
