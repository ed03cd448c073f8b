//! The queues of parked keys.

use std::collections::{BTreeMap, HashSet};
use std::str::FromStr;

use mypay_schemas::Flow;
use sqlx::{PgPool, Row};
use uuid::Uuid;

use super::topic_of;
use crate::at::At;
use crate::error::AuditError;

/// A message in the queue of its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Parked {
    /// The message.
    pub(super) id: Uuid,
    /// Where it first arrived.
    pub(super) of: At<'static>,
    /// Hash of its content, where that was kept.
    pub(super) content: Option<[u8; 16]>,
}

/// The queues by consumer and key, each in its order.
pub(super) type Queues = BTreeMap<(Flow, String), Vec<Parked>>;

/// All queues: there are hardly ever any.
pub(super) async fn queues(pool: &PgPool) -> Result<Queues, AuditError> {
    // The order in which the consumer lets them pass.
    let rows = sqlx::query(
        r#"SELECT consumer, key, message_id, topic, partition, "offset", content_hash
             FROM parked ORDER BY consumer, key, parked_at, topic, partition, "offset""#,
    )
    .fetch_all(pool)
    .await?;
    let mut queues = Queues::new();
    for row in rows {
        let Ok(flow) = Flow::from_str(row.try_get(0)?) else {
            continue;
        };
        let Some(topic) = topic_of(flow, row.try_get(3)?) else {
            continue;
        };
        let content: Option<Vec<u8>> = row.try_get(6)?;
        let parked = Parked {
            id: row.try_get(2)?,
            of: At {
                topic,
                partition: row.try_get(4)?,
                offset: row.try_get(5)?,
            },
            content: content.and_then(|hash| hash.try_into().ok()),
        };
        queues
            .entry((flow, row.try_get(1)?))
            .or_default()
            .push(parked);
    }
    Ok(queues)
}

/// The messages that wait in a queue.
pub(super) fn members(queues: &Queues) -> HashSet<(Flow, Uuid)> {
    let members = queues.iter().flat_map(|((flow, _), queue)| {
        let flow = *flow;
        queue.iter().map(move |parked| (flow, parked.id))
    });
    members.collect()
}
