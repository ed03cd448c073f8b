//! `queue_log`, the lanes and the outbox, as they were at the snapshot.

use std::collections::HashSet;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use mypay_idempotency::horizon;
use mypay_schemas::Flow;
use sqlx::{PgConnection, PgExecutor, Row as _};
use uuid::Uuid;

use crate::copy;
use crate::data::Data;
use crate::error::AuditError;
use crate::interned::Interned;
use crate::outbox::{self, Outbox};
use crate::rows::{Lane, Place, Row, Source, Status};
use crate::sorted;

/// What was loaded: rows and lanes by the flow's number.
#[derive(Default)]
pub(crate) struct Loaded {
    rows: [Vec<Row>; Flow::ALL.len()],
    lanes: Vec<(Flow, (Source, i32), Lane)>,
    outbox: Outbox,
    given_up: HashSet<(Flow, Uuid)>,
    now: i64,
    horizon: i64,
    foreign: u64,
}

/// Loads everything but the ledger.
pub(crate) async fn load(
    connection: &mut PgConnection,
    registry_url: &str,
    reasons: &Interned,
) -> Result<Loaded, AuditError> {
    let mut loaded = Loaded {
        now: now(connection).await?,
        horizon: horizon::oldest(connection).await?,
        ..Loaded::default()
    };
    rows(connection, reasons, &mut loaded).await?;
    lanes(connection, &mut loaded).await?;
    loaded.given_up = given_up(&mut *connection).await?;
    loaded.outbox = outbox::load(connection, registry_url).await?;
    for rows in &mut loaded.rows {
        sorted::sort(rows);
    }
    Ok(loaded)
}

impl Loaded {
    /// Puts what was loaded where the checks look for it.
    pub(crate) fn put(self, data: &mut Data) {
        (data.now, data.horizon) = (self.now, self.horizon);
        for (flow, rows) in Flow::ALL.into_iter().zip(self.rows) {
            data.flow_mut(flow).rows = rows;
        }
        for (flow, key, lane) in self.lanes {
            data.flow_mut(flow).lanes.insert(key, lane);
        }
        for (flow, id) in self.given_up {
            data.flow_mut(flow).given_up.insert(id.as_u128());
        }
        for (flow, id) in self.outbox.requests {
            data.flow_mut(flow).outbox_requests.push(id);
        }
        for (flow, id) in self.outbox.results {
            data.flow_mut(flow).outbox_results.push(id);
        }
        data.flow_mut(Flow::Firmbanking).outbox_reversals = self.outbox.reversals;
        for flow in &mut data.flows {
            flow.outbox_requests.sort_unstable();
            flow.outbox_results.sort_unstable();
            flow.outbox_reversals.sort_unstable();
        }
        if self.foreign > 0 {
            tracing::warn!(
                rows = self.foreign,
                "queue_log has rows of consumers that are not ours"
            );
        }
    }
}

async fn rows(
    connection: &mut PgConnection,
    reasons: &Interned,
    loaded: &mut Loaded,
) -> Result<(), AuditError> {
    const QUERY: &str = r#"
        SELECT consumer, message_id, content_hash, processed_timestamp, topic, partition, "offset",
               reason, status, processed_status
          FROM queue_log"#;
    copy::rows(connection, QUERY, |fields| {
        let Some(flow) = fields.text()?.and_then(|name| Flow::from_str(name).ok()) else {
            loaded.foreign += 1;
            return Ok(());
        };
        let (id, content, processed_at) = (fields.id()?, fields.hash()?, fields.millis()?);
        let topic = fields.text()?;
        let (partition, offset) = (fields.i32()?, fields.i64()?);
        let place = topic.zip(partition).map(|(topic, partition)| Place {
            source: Source::of(flow, topic),
            partition,
            offset,
        });
        let row = Row {
            id,
            content,
            processed_at,
            place,
            reason: reasons.optional(fields.text()?),
            status: match fields.text()? {
                Some("waiting") => Status::Waiting,
                Some("processing") => Status::Processing,
                _ => Status::Done,
            },
            success: fields.text()? == Some("success"),
        };
        loaded.rows[flow as usize].push(row);
        Ok(())
    })
    .await?;
    Ok(())
}

async fn lanes(connection: &mut PgConnection, loaded: &mut Loaded) -> Result<(), AuditError> {
    let rows =
        sqlx::query("SELECT consumer, topic, partition, next_offset, emitted_offset FROM lane")
            .fetch_all(connection)
            .await?;
    for row in rows {
        let Ok(flow) = Flow::from_str(row.try_get(0)?) else {
            continue;
        };
        let lane = Lane {
            next_offset: row.try_get(3)?,
            emitted_offset: row.try_get(4)?,
        };
        loaded.lanes.push((
            flow,
            (Source::of(flow, row.try_get(1)?), row.try_get(2)?),
            lane,
        ));
    }
    Ok(())
}

/// The messages that people have given up.
pub(crate) async fn given_up(
    database: impl PgExecutor<'_>,
) -> Result<HashSet<(Flow, Uuid)>, AuditError> {
    let rows = sqlx::query("SELECT consumer, message_id FROM parked_release")
        .fetch_all(database)
        .await?;
    let mut given_up = HashSet::with_capacity(rows.len());
    for row in rows {
        if let Ok(flow) = Flow::from_str(row.try_get(0)?) {
            given_up.insert((flow, row.try_get(1)?));
        }
    }
    Ok(given_up)
}

/// The snapshot's instant by the database's clock, milliseconds.
async fn now(connection: &mut PgConnection) -> Result<i64, AuditError> {
    let now = sqlx::query("SELECT now()").fetch_one(connection).await?;
    Ok(now.try_get::<DateTime<Utc>, _>(0)?.timestamp_millis())
}
