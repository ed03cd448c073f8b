//! The dead letters: by what they died of, one by one, put through again, given up.
//!
//! A letter says where its message lies, and that message is what is put through
//! again: topics keep it longer than the letter, and it has all of its bytes. As with
//! a replay, only the consumer decides what comes of it, under its lane's lock: what
//! is done meanwhile is a duplicate there. So a redrive can be repeated, or break off,
//! without harm.
//!
//! Where the key of a letter is parked, all that is parked of the key goes through, in
//! the order of its queue, since the consumer lets only the first one of it pass
//! (`idempotency/src/parked.rs`).

mod choose;
mod groups;
mod judge;
mod letter;
mod named;
mod originals;
mod parked;
mod read;
mod redrive;
mod release;
mod show;

use std::collections::HashMap;

use mypay_idempotency::queue_log::{self, Known};
use mypay_schemas::Flow;
use sqlx::PgPool;
use uuid::Uuid;

pub use groups::{Group, groups};
pub use redrive::{LeftOut, Plan, Put, Queue, Report, Selector, redrive};
pub use release::{GivenUp, Released, ReleasedKey, release, release_key};
pub use show::{Show, Shown, show};

use crate::error::AuditError;

/// How many ids are looked up at a time.
const LOOK_UP: usize = 5_000;

/// What `queue_log` knows of messages, by the consumer and the id.
async fn known(
    pool: &PgPool,
    messages: impl Iterator<Item = (Flow, Uuid)>,
) -> Result<HashMap<(Flow, Uuid), Known>, AuditError> {
    let mut by_flow: HashMap<Flow, Vec<Uuid>> = HashMap::new();
    for (flow, id) in messages {
        by_flow.entry(flow).or_default().push(id);
    }
    let mut connection = pool.acquire().await?;
    let mut all = HashMap::new();
    for (flow, mut ids) in by_flow {
        ids.sort_unstable();
        ids.dedup();
        for some in ids.chunks(LOOK_UP) {
            let known = queue_log::known(&mut connection, flow.name(), some).await?;
            all.extend(known.into_iter().map(|(id, known)| ((flow, id), known)));
        }
    }
    Ok(all)
}

/// A topic of those that a flow's consumer reads, by its name.
fn topic_of(flow: Flow, name: &str) -> Option<&'static str> {
    let topics = crate::kafka::read_by(flow);
    topics.into_iter().find(|topic| *topic == name)
}
