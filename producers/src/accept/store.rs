//! One commit for many requests: `queue_log` and outbox.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, SubsecRound, Utc};
use mypay_idempotency::outbox;
use mypay_idempotency::queue_log::{self, Known, Outcome, Status, Waiting};
use mypay_idempotency::transaction::Event;
use mypay_schemas::Flow;
use sqlx::{PgConnection, PgPool, Row};
use uuid::Uuid;

use super::{Answer, Submission};

/// What is known of an id.
struct Found {
    flow: Flow,
    known: Known,
}

/// Makes a batch durable; tells what came of each request, in their order.
pub(super) async fn store(
    pool: &PgPool,
    writer: &str,
    batch: &[&Submission],
) -> Result<Vec<Answer>, sqlx::Error> {
    // What is answered now and what is read back later are the same instant.
    let at = Utc::now().trunc_subsecs(6);
    let mut transaction = pool.begin().await?;
    let ids: Vec<Uuid> = batch
        .iter()
        .map(|submission| submission.message_id)
        .collect();
    let mut found = find(&mut transaction, ids).await?;
    // The first of an id in the batch; the later ones are its duplicates.
    let mut firsts = HashSet::with_capacity(batch.len());
    let fresh: Vec<&Submission> = batch
        .iter()
        .copied()
        .filter(|submission| !found.contains_key(&submission.message_id))
        .filter(|submission| firsts.insert(submission.message_id))
        .collect();
    let put = put(&mut transaction, writer, &fresh, at).await?;
    let missed: Vec<Uuid> = fresh
        .iter()
        .map(|submission| submission.message_id)
        .filter(|id| !put.contains(id))
        .collect();
    // Another edge was faster, between the look and the write; its row is
    // committed, or the write would still wait for it.
    found.extend(find(&mut transaction, missed).await?);
    transaction.commit().await?;
    Ok(answers(batch, found, put, at))
}

/// Puts new requests in the queue and in the outbox; tells which were new.
async fn put(
    connection: &mut PgConnection,
    writer: &str,
    fresh: &[&Submission],
    at: DateTime<Utc>,
) -> Result<HashSet<Uuid>, sqlx::Error> {
    if fresh.is_empty() {
        return Ok(HashSet::new());
    }
    let mut waiting: Vec<Waiting> = fresh
        .iter()
        .map(|submission| Waiting {
            consumer: submission.flow.name(),
            message_id: submission.message_id,
            content_hash: submission.content_hash,
            requested_by: submission.requested_by.as_deref(),
        })
        .collect();
    // Two edges that are sent the same two requests wait for each other's rows,
    // but not in a circle.
    waiting.sort_unstable_by_key(|message| (message.message_id, message.consumer));
    let put: HashSet<Uuid> = queue_log::wait(connection, &waiting, at)
        .await?
        .into_iter()
        .map(|(_, id)| id)
        .collect();
    // In the order in which they came: an account's requests keep theirs.
    let events: Vec<Event> = fresh
        .iter()
        .filter(|submission| put.contains(&submission.message_id))
        .map(|submission| submission.event.clone())
        .collect();
    outbox::write(connection, writer, &events, at).await?;
    Ok(put)
}

/// What is known of these ids in any flow: an id that one flow has is not new
/// to another.
///
/// Two edges that are given one id for two flows in the same instant do not see
/// each other's rows. Each of the two requests is then a request of its own, as
/// it is for a client that writes to the topics.
async fn find(
    connection: &mut PgConnection,
    mut ids: Vec<Uuid>,
) -> Result<HashMap<Uuid, Found>, sqlx::Error> {
    // Reads the key alone: most often there is nothing to find.
    const FIND: &str = "
        SELECT q.consumer, q.message_id
          FROM unnest($1::uuid[]) AS m(id)
          JOIN queue_log q ON q.consumer = ANY($2) AND q.message_id = m.id";
    let mut found = HashMap::new();
    if ids.is_empty() {
        return Ok(found);
    }
    ids.sort_unstable();
    ids.dedup();
    let rows = sqlx::query(FIND)
        .bind(ids)
        .bind(Flow::ALL.map(Flow::name).to_vec())
        .fetch_all(&mut *connection)
        .await?;
    let mut by_consumer: HashMap<String, Vec<Uuid>> = HashMap::new();
    for row in &rows {
        by_consumer
            .entry(row.try_get(0)?)
            .or_default()
            .push(row.try_get(1)?);
    }
    for flow in Flow::ALL {
        let Some(ids) = by_consumer.get(flow.name()) else {
            continue;
        };
        for (id, known) in queue_log::known(connection, flow.name(), ids).await? {
            found.insert(id, Found { flow, known });
        }
    }
    Ok(found)
}

/// The answer to each request of a batch.
fn answers(
    batch: &[&Submission],
    mut found: HashMap<Uuid, Found>,
    mut put: HashSet<Uuid>,
    at: DateTime<Utc>,
) -> Vec<Answer> {
    batch
        .iter()
        .map(|submission| {
            if put.remove(&submission.message_id) {
                found.insert(submission.message_id, just_put(submission, at));
                return Answer::Accepted { at };
            }
            match found.get(&submission.message_id) {
                Some(Found { flow, known })
                    if *flow == submission.flow
                        && known.content_hash == submission.content_hash =>
                {
                    Answer::Known(known.clone())
                }
                Some(Found { flow, .. }) => Answer::Conflict { flow: *flow },
                // Its row was purged between the write that met it and the look:
                // so old an id is refused before it comes here.
                None => Answer::Conflict {
                    flow: submission.flow,
                },
            }
        })
        .collect()
}

/// What is known of a request that this batch has put in the queue.
fn just_put(submission: &Submission, at: DateTime<Utc>) -> Found {
    Found {
        flow: submission.flow,
        known: Known {
            status: Status::Waiting,
            content_hash: submission.content_hash.to_vec(),
            place: None,
            created_at: at,
            outcome: Outcome::processing(at),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn submission(flow: Flow, id: Uuid, content: u8) -> Submission {
        Submission {
            flow,
            message_id: id,
            content_hash: [content; 16],
            requested_by: None,
            event: Event {
                topic: flow.request_topic(),
                key: Vec::new(),
                payload: Vec::new(),
                traceparent: None,
                headers: Vec::new(),
            },
        }
    }

    #[test]
    fn one_id_in_a_batch_is_accepted_once() {
        let id = Uuid::now_v7();
        let batch = [
            submission(Flow::Recharge, id, 1),
            submission(Flow::Recharge, id, 1),
            submission(Flow::Recharge, id, 2),
            submission(Flow::Payment, id, 1),
        ];
        let batch: Vec<&Submission> = batch.iter().collect();
        let answers = answers(&batch, HashMap::new(), HashSet::from([id]), Utc::now());
        assert!(matches!(answers[0], Answer::Accepted { .. }));
        assert!(matches!(&answers[1], Answer::Known(known) if known.status == Status::Waiting));
        assert!(matches!(
            answers[2],
            Answer::Conflict {
                flow: Flow::Recharge
            }
        ));
        assert!(matches!(
            answers[3],
            Answer::Conflict {
                flow: Flow::Recharge
            }
        ));
    }

    #[test]
    fn what_is_known_is_told_and_other_content_is_a_conflict() {
        let id = Uuid::now_v7();
        let here = submission(Flow::Payment, id, 1);
        let found = || HashMap::from([(id, just_put(&here, Utc::now()))]);
        let answer =
            |submission| answers(&[&submission], found(), HashSet::new(), Utc::now()).remove(0);
        assert!(matches!(
            answer(submission(Flow::Payment, id, 1)),
            Answer::Known(_)
        ));
        assert!(matches!(
            answer(submission(Flow::Payment, id, 2)),
            Answer::Conflict { .. }
        ));
        let other_flow = answer(submission(Flow::Recharge, id, 1));
        assert!(matches!(
            other_flow,
            Answer::Conflict {
                flow: Flow::Payment
            }
        ));
    }
}
