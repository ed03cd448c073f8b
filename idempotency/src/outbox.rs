//! The outbox: messages of those who have no input offset to hang on.
//!
//! A message is written in the transaction that makes it true. Its number in
//! the writer's sequence is given out under the lock of the writer's row, which
//! is held to the commit: so whoever reads up to a number misses none below it.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, Row};

use crate::transaction::Event;

/// Writes messages into a writer's outbox, in this order.
pub async fn write(
    connection: &mut PgConnection,
    writer: &str,
    events: &[Event],
    at: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    if events.is_empty() {
        return Ok(());
    }
    let after: i64 = sqlx::query(
        "INSERT INTO outbox_writer AS w (writer, next_seq) VALUES ($1, $2)
         ON CONFLICT (writer) DO UPDATE SET next_seq = w.next_seq + $2
         RETURNING next_seq",
    )
    .bind(writer)
    .bind(events.len() as i64)
    .fetch_one(&mut *connection)
    .await?
    .try_get(0)?;
    sqlx::query(
        "INSERT INTO outbox (writer, seq, topic, key, payload, traceparent, created_at)
         SELECT $1, $2 + m.place - 1, m.topic, m.key, m.payload, m.traceparent, $7
           FROM unnest($3::text[], $4::bytea[], $5::bytea[], $6::text[])
                WITH ORDINALITY AS m(topic, key, payload, traceparent, place)",
    )
    .bind(writer)
    .bind(after - events.len() as i64)
    .bind(events.iter().map(|event| event.topic).collect::<Vec<_>>())
    .bind(
        events
            .iter()
            .map(|event| &event.key[..])
            .collect::<Vec<_>>(),
    )
    .bind(
        events
            .iter()
            .map(|event| &event.payload[..])
            .collect::<Vec<_>>(),
    )
    .bind(
        events
            .iter()
            .map(|event| event.traceparent.as_deref())
            .collect::<Vec<_>>(),
    )
    .bind(at)
    .execute(connection)
    .await?;
    Ok(())
}

/// Reads a writer's messages from a number on; `(number, message)` in order.
pub async fn read(
    connection: &mut PgConnection,
    writer: &str,
    from: i64,
    limit: i64,
) -> Result<Vec<(i64, Event)>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT seq, topic, key, payload, traceparent FROM outbox
          WHERE writer = $1 AND seq >= $2 ORDER BY seq LIMIT $3",
    )
    .bind(writer)
    .bind(from)
    .bind(limit)
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            let topic: &str = row.try_get(1)?;
            let topic = mypay_schemas::Subject::of_topic(topic)
                .ok_or_else(|| {
                    sqlx::Error::Decode(format!("'{topic}' is no topic of ours").into())
                })?
                .topic;
            let event = Event {
                topic,
                key: row.try_get(2)?,
                payload: row.try_get(3)?,
                traceparent: row.try_get(4)?,
                headers: Vec::new(),
            };
            Ok((row.try_get(0)?, event))
        })
        .collect()
}

/// Forgets a writer's messages below a number: they are in Kafka.
pub async fn forget(
    connection: &mut PgConnection,
    writer: &str,
    below: i64,
) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM outbox WHERE writer = $1 AND seq < $2")
        .bind(writer)
        .bind(below)
        .execute(connection)
        .await?;
    Ok(())
}
