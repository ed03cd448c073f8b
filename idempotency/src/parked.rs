//! Keys that wait behind a message which our own code could not handle.
//!
//! Such a message (a broken invariant, a panic) goes to the dead letters; what
//! comes later for the same key goes there behind it, in order, since it was
//! asked for in the belief that the earlier one was handled. What merely cannot
//! be decoded parks nobody: else anyone could freeze an account with garbage.
//!
//! Each of them has a row: they are the queue of their key, in the order in which
//! they first arrived. A message of a parked key is handled only as the head of
//! its queue, and leaves it in the same commit. So dead letters can be put through
//! again in any order and any number of times, and what arrives meanwhile does not
//! overtake them.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use crate::lane::Lane;

/// A key as it is kept: short enough for an index, and without zero bytes,
/// which PostgreSQL's text cannot hold. Keys of accounts are far shorter.
pub fn shortened(key: &str) -> String {
    key.chars()
        .filter(|character| *character != '\0')
        .take(100)
        .collect()
}

/// A message in the queue of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Queued {
    /// The message.
    pub message_id: Uuid,
    /// Hash of its canonical content; `None` of one that was parked before that
    /// was kept.
    pub content_hash: Option<[u8; 16]>,
}

/// A message that joins or leaves the queue of its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The key, [`shortened`].
    pub key: String,
    /// The message.
    pub message_id: Uuid,
    /// Hash of its canonical content.
    pub content_hash: [u8; 16],
    /// Where in its lane it arrived.
    pub offset: i64,
}

/// The heads of some keys' queues, of each so many, the first first. Whoever is to
/// handle so many messages of a key needs no more: each lets one go at the most.
///
/// They stay locked until the transaction ends: nobody gives up (`mypay dlq release`)
/// what is about to be handled. Keys are to be given in their order.
pub async fn heads(
    connection: &mut PgConnection,
    consumer: &str,
    wanted: &[(&str, i64)],
) -> Result<Vec<(String, Queued)>, sqlx::Error> {
    const HEADS: &str = r#"
        SELECT w.key, q.message_id, q.content_hash
          FROM unnest($2::text[], $3::bigint[]) AS w(key, most)
         CROSS JOIN LATERAL (
               SELECT p.message_id, p.content_hash, p.parked_at, p.topic, p.partition, p."offset"
                 FROM parked p
                WHERE p.consumer = $1 AND p.key = w.key
                ORDER BY p.parked_at, p.topic, p.partition, p."offset"
                LIMIT w.most
                  FOR UPDATE) q
         ORDER BY q.parked_at, q.topic, q.partition, q."offset""#;
    let rows = sqlx::query(HEADS)
        .bind(consumer)
        .bind(wanted.iter().map(|(key, _)| *key).collect::<Vec<_>>())
        .bind(wanted.iter().map(|(_, most)| *most).collect::<Vec<_>>())
        .fetch_all(connection)
        .await?;
    rows.iter()
        .map(|row| {
            let hash: Option<Vec<u8>> = row.try_get(2)?;
            let queued = Queued {
                message_id: row.try_get(1)?,
                content_hash: hash.and_then(|hash| hash.try_into().ok()),
            };
            Ok((row.try_get(0)?, queued))
        })
        .collect()
}

/// Puts messages at the ends of their keys' queues, with why; one that is in its
/// queue keeps its place.
pub async fn join(
    connection: &mut PgConnection,
    lane: &Lane,
    joining: &[(Member, String)],
    at: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    const JOIN: &str = r#"
        INSERT INTO parked (consumer, key, message_id, topic, partition, "offset", reason,
                            parked_at, content_hash)
        SELECT $1, m.key, m.id, $2, $3, m.ofs, m.reason, $4, m.hash
          FROM unnest($5::text[], $6::uuid[], $7::bigint[], $8::text[], $9::bytea[])
               AS m(key, id, ofs, reason, hash)
        ON CONFLICT (consumer, key, message_id) DO NOTHING"#;
    if joining.is_empty() {
        return Ok(());
    }
    let joining = in_order(joining, |(member, _)| member);
    sqlx::query(JOIN)
        .bind(lane.consumer)
        .bind(&lane.topic)
        .bind(lane.partition)
        .bind(at)
        .bind(joining.iter().map(|(it, _)| &*it.key).collect::<Vec<_>>())
        .bind(
            joining
                .iter()
                .map(|(it, _)| it.message_id)
                .collect::<Vec<_>>(),
        )
        .bind(joining.iter().map(|(it, _)| it.offset).collect::<Vec<_>>())
        // PostgreSQL's text cannot hold zero bytes; a panic's words might.
        .bind(
            joining
                .iter()
                .map(|(_, why)| why.replace('\0', ""))
                .collect::<Vec<_>>(),
        )
        .bind(
            joining
                .iter()
                .map(|(it, _)| &it.content_hash[..])
                .collect::<Vec<_>>(),
        )
        .execute(connection)
        .await?;
    Ok(())
}

/// Takes messages out of their keys' queues, wherever they stand: they have their
/// answer.
pub async fn leave(
    connection: &mut PgConnection,
    consumer: &str,
    leaving: &[Member],
) -> Result<(), sqlx::Error> {
    // The id alone does not name a message: another may have it, with other content.
    const LEAVE: &str = "
        DELETE FROM parked p
         USING unnest($2::text[], $3::uuid[], $4::bytea[]) AS m(key, id, hash)
         WHERE p.consumer = $1 AND p.key = m.key AND p.message_id = m.id
           AND (p.content_hash IS NULL OR p.content_hash = m.hash)";
    if leaving.is_empty() {
        return Ok(());
    }
    let leaving = in_order(leaving, |member| member);
    sqlx::query(LEAVE)
        .bind(consumer)
        .bind(leaving.iter().map(|it| &*it.key).collect::<Vec<_>>())
        .bind(leaving.iter().map(|it| it.message_id).collect::<Vec<_>>())
        .bind(
            leaving
                .iter()
                .map(|it| &it.content_hash[..])
                .collect::<Vec<_>>(),
        )
        .execute(connection)
        .await?;
    Ok(())
}

/// By key and id: two lanes that write the same rows must not do so in two orders.
fn in_order<T>(members: &[T], member: impl Fn(&T) -> &Member) -> Vec<&T> {
    let mut members: Vec<&T> = members.iter().collect();
    members.sort_by(|a, b| {
        let (a, b) = (member(a), member(b));
        (&a.key, a.message_id).cmp(&(&b.key, b.message_id))
    });
    members
}
