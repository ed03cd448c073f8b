//! The dead letters of one fingerprint, one by one.

use chrono::{DateTime, Utc};
use mypay_idempotency::queue_log::Status;
use serde::Serialize;
use uuid::Uuid;

use super::{known, parked, read};
use crate::Servers;
use crate::error::AuditError;
use crate::queue_log::given_up;

/// The letters of a fingerprint.
#[derive(Debug, Clone, Serialize)]
pub struct Show {
    /// How many there are.
    pub letters: u64,
    /// The first of them, the oldest first.
    pub shown: Vec<Shown>,
}

/// A dead letter.
#[derive(Debug, Clone, Serialize)]
pub struct Shown {
    /// Where it lies.
    pub letter: String,
    /// Since when.
    pub at: DateTime<Utc>,
    /// Whose consumer put it there.
    pub flow: String,
    /// Where its message lies: the topic,
    pub topic: &'static str,
    /// the partition,
    pub partition: i32,
    /// and the offset.
    pub offset: i64,
    /// The message's id, where it can be read.
    pub message_id: Option<Uuid>,
    /// The message's key.
    pub key: Option<String>,
    /// The code of the reason.
    pub reason: String,
    /// What exactly.
    pub detail: String,
    /// How far `queue_log` has the id: `waiting`, `processing`, `done`, or nothing.
    pub queue_log: Option<&'static str>,
    /// Whether it waits in the queue of its key.
    pub parked: bool,
    /// Whether people have given it up.
    pub given_up: bool,
}

/// The letters of a fingerprint, at most `limit` of them.
///
/// # Errors
/// [`AuditError::NoSuchLetter`] where there is none, others where a server could not
/// be read.
pub async fn show(servers: &Servers, fingerprint: &str, limit: usize) -> Result<Show, AuditError> {
    let mut letters = read::letters(servers, None).await?;
    letters.retain(|letter| letter.fingerprint == fingerprint);
    if letters.is_empty() {
        return Err(AuditError::NoSuchLetter(format!(
            "has the fingerprint '{fingerprint}'"
        )));
    }
    let count = letters.len() as u64;
    letters.truncate(limit);
    let pool = mypay_database::pool(&servers.database_url, 1)?;
    let ids = letters
        .iter()
        .filter_map(|letter| Some((letter.flow, letter.named()?.id)));
    let known = known(&pool, ids).await?;
    let waiting = parked::members(&parked::queues(&pool).await?);
    let given_up = given_up(&pool).await?;
    let shown = letters.into_iter().map(|letter| {
        let message = letter.named().map(|message| (letter.flow, message.id));
        Shown {
            letter: letter.place.to_string(),
            at: letter.at,
            flow: letter.flow.to_string(),
            topic: letter.of.topic,
            partition: letter.of.partition,
            offset: letter.of.offset,
            message_id: message.map(|(_, id)| id),
            queue_log: message
                .and_then(|message| known.get(&message))
                .map(|known| word(known.status)),
            parked: message.is_some_and(|message| waiting.contains(&message)),
            given_up: message.is_some_and(|message| given_up.contains(&message)),
            key: letter.key,
            reason: letter.reason,
            detail: letter.detail,
        }
    });
    Ok(Show {
        letters: count,
        shown: shown.collect(),
    })
}

fn word(status: Status) -> &'static str {
    match status {
        Status::Waiting => "waiting",
        Status::Processing => "processing",
        Status::Done => "done",
    }
}
