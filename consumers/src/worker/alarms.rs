//! What people must look at, counted for Prometheus: open cases, parked messages, and
//! outboxes that nobody relays. `ops/prometheus/alerts.yml` says from when on.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use mypay_schemas::Flow;
use sqlx::PgPool;
use tokio::sync::watch;

use super::Workers;

/// How often it is counted.
const LOOK: Duration = Duration::from_secs(5);

/// Counts until `stop` turns true.
pub(super) async fn run(workers: Arc<Workers>, mut stop: watch::Receiver<bool>) {
    while !*stop.borrow() {
        if let Err(error) = count(&workers).await {
            tracing::warn!(%error, "what people must look at could not be counted");
        }
        // Either ends the wait; the loop looks which it was.
        let _ = tokio::time::timeout(LOOK, stop.wait_for(|stop| *stop)).await;
    }
}

async fn count(workers: &Workers) -> Result<(), sqlx::Error> {
    for (bank_code, cases) in cases(&workers.pool).await? {
        workers.metrics.cases_open(bank_code, cases);
    }
    let behind = outbox_age(&workers.pool).await?;
    workers.metrics.outbox_is_behind(behind);
    let parked = parked(&workers.pool).await?;
    for flow in Flow::ALL {
        let messages = parked.get(flow.name()).copied().unwrap_or(0);
        workers.metrics.parked(flow.name(), messages);
    }
    Ok(())
}

/// Open cases of each bank with a contract; 0 where there are none.
async fn cases(pool: &PgPool) -> Result<Vec<(String, i64)>, sqlx::Error> {
    sqlx::query_as(
        "SELECT c.bank_code,
                (SELECT count(*) FROM banking.firmbanking f
                  WHERE f.from_bank = c.bank_code AND f.state = 'manual')
                + (SELECT count(*) FROM banking.notice n
                    WHERE n.bank_code = c.bank_code AND n.state = 'case')
           FROM banking.contract c",
    )
    .fetch_all(pool)
    .await
}

/// How long the oldest message of any outbox has waited, in seconds.
async fn outbox_age(pool: &PgPool) -> Result<f64, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT coalesce(max(greatest(extract(epoch FROM now() - o.created_at), 0)), 0)::float8
           FROM outbox_writer w,
                LATERAL (SELECT created_at FROM outbox
                          WHERE writer = w.writer ORDER BY seq LIMIT 1) o",
    )
    .fetch_one(pool)
    .await
}

/// How many messages wait in dead letters, by consumer.
async fn parked(pool: &PgPool) -> Result<HashMap<String, i64>, sqlx::Error> {
    let rows: Vec<(String, i64)> =
        sqlx::query_as("SELECT consumer, count(*) FROM parked GROUP BY consumer")
            .fetch_all(pool)
            .await?;
    Ok(rows.into_iter().collect())
}
