//! The lane: a partition of a topic as one consumer works through it.
//!
//! A process that is given a partition raises the lane's epoch. Every batch
//! begins with an update of the lane's row under the epoch it was given: where
//! another has raised it meanwhile, no row is found, and the batch ends there
//! without any effect. The row's lock also puts the batches of a lane in order.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgPool, Row};

/// A lane's name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Lane {
    /// The consumer (its group).
    pub consumer: &'static str,
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
}

/// What a lane looked like before a batch.
#[derive(Debug, Clone, Copy)]
pub struct Before {
    /// Offsets below this were handled before.
    pub next_offset: i64,
    /// Results of offsets below this are in Kafka for certain.
    pub emitted_offset: i64,
    /// The instant of the batch: now, but never before the lane's last.
    pub at: DateTime<Utc>,
    /// Whether any message of the consumer is parked.
    pub parked: bool,
}

/// Raises the lane's epoch, so that whoever had it before is fenced off.
///
/// `first_offset` is the first offset that Kafka gave out: the group's
/// committed position, so everything below it is answered in Kafka.
pub async fn raise(pool: &PgPool, lane: &Lane, first_offset: i64) -> Result<i64, sqlx::Error> {
    let row = sqlx::query(
        "INSERT INTO lane AS l (consumer, topic, partition, epoch, emitted_offset)
         VALUES ($1, $2, $3, 1, $4)
         ON CONFLICT (consumer, topic, partition) DO UPDATE
            SET epoch = l.epoch + 1,
                emitted_offset = greatest(l.emitted_offset, EXCLUDED.emitted_offset)
         RETURNING epoch",
    )
    .bind(lane.consumer)
    .bind(&lane.topic)
    .bind(lane.partition)
    .bind(first_offset)
    .fetch_one(pool)
    .await?;
    row.try_get(0)
}

/// Begins a batch: fences, and moves the lane on. `None`: another has the lane.
///
/// `emitted` is what this process knows to be in Kafka by now.
pub async fn advance(
    connection: &mut PgConnection,
    lane: &Lane,
    epoch: i64,
    next_offset: i64,
    emitted: i64,
) -> Result<Option<Before>, sqlx::Error> {
    // clock_timestamp() is read once the row is locked, so that whoever locks
    // it later also sees a later instant: a settlement relies on it.
    let row = sqlx::query(
        "WITH before AS (
             SELECT next_offset, emitted_offset, last_at FROM lane
              WHERE consumer = $1 AND topic = $2 AND partition = $3 AND epoch = $4
                FOR UPDATE
         )
         UPDATE lane l
            SET next_offset = greatest(l.next_offset, $5),
                emitted_offset = greatest(l.emitted_offset, $6),
                last_at = greatest(l.last_at, date_trunc('milliseconds', clock_timestamp()))
           FROM before b
          WHERE l.consumer = $1 AND l.topic = $2 AND l.partition = $3 AND l.epoch = $4
         RETURNING b.next_offset, greatest(b.emitted_offset, $6), l.last_at,
                   EXISTS (SELECT FROM parked WHERE consumer = $1)",
    )
    .bind(lane.consumer)
    .bind(&lane.topic)
    .bind(lane.partition)
    .bind(epoch)
    .bind(next_offset)
    .bind(emitted)
    .fetch_optional(connection)
    .await?;
    row.map(|row| {
        Ok(Before {
            next_offset: row.try_get(0)?,
            emitted_offset: row.try_get(1)?,
            at: row.try_get(2)?,
            parked: row.try_get(3)?,
        })
    })
    .transpose()
}

/// What a batch did, for the lane's counts.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counts {
    /// Messages handled for the first time.
    pub handled: i64,
    /// Messages that were known already.
    pub duplicates: i64,
    /// Messages that went to the dead letters.
    pub dead_letters: i64,
}

/// Adds to the lane's counts, at the end of a batch.
pub async fn count(
    connection: &mut PgConnection,
    lane: &Lane,
    counts: Counts,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE lane SET handled = handled + $4, duplicates = duplicates + $5,
                         dead_letters = dead_letters + $6
          WHERE consumer = $1 AND topic = $2 AND partition = $3",
    )
    .bind(lane.consumer)
    .bind(&lane.topic)
    .bind(lane.partition)
    .bind(counts.handled)
    .bind(counts.duplicates)
    .bind(counts.dead_letters)
    .execute(connection)
    .await?;
    Ok(())
}

/// Notes what is in Kafka for certain, while a lane is idle.
pub async fn note_emitted(
    pool: &PgPool,
    lane: &Lane,
    epoch: i64,
    emitted: i64,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE lane SET emitted_offset = greatest(emitted_offset, $5)
          WHERE consumer = $1 AND topic = $2 AND partition = $3 AND epoch = $4",
    )
    .bind(lane.consumer)
    .bind(&lane.topic)
    .bind(lane.partition)
    .bind(epoch)
    .bind(emitted)
    .execute(pool)
    .await?;
    Ok(())
}
