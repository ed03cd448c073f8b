//! What people must look at, counted from the tables for Prometheus: open cases, notices
//! that are missing, numbers that run short, parked messages, and outboxes that nobody
//! relays. `ops/prometheus/alerts.yml` says from when on.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use mypay_decide::limits::korean_day;
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
        workers.metrics.can_contradict(&bank_code);
        workers.metrics.cases_open(bank_code, cases);
    }
    for (bank_code, missing) in missing(&workers.pool).await? {
        workers.metrics.missing(bank_code, missing);
    }
    for (bank_code, used) in numbers(&workers.pool).await? {
        workers.metrics.numbered(bank_code, used);
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

/// Notices that each bank with a contract gave a number and did not give us, of all days
/// for which no case was opened yet.
async fn missing(pool: &PgPool) -> Result<Vec<(String, i64)>, sqlx::Error> {
    sqlx::query_as(
        "SELECT c.bank_code,
                -- However far a bank that lies has counted.
                (SELECT least(coalesce(sum(d.last_number - d.complete_to - here.notices), 0),
                              1000000000)::bigint
                   FROM banking.notice_day d,
                        LATERAL (SELECT count(*) AS notices FROM banking.notice n
                                  WHERE n.bank_code = d.bank_code
                                    AND n.notice_date = d.notice_date
                                    AND n.notice_number > d.complete_to
                                    AND n.notice_number <= d.last_number) here
                  WHERE d.bank_code = c.bank_code AND d.complete_to < d.last_number
                    AND d.given_up_at IS NULL)
           FROM banking.contract c",
    )
    .fetch_all(pool)
    .await
}

/// The transaction numbers that each bank with a contract has used today: at midnight
/// in Korea they begin anew, whether or not a command goes out.
async fn numbers(pool: &PgPool) -> Result<Vec<(String, i64)>, sqlx::Error> {
    sqlx::query_as(
        "SELECT c.bank_code, coalesce(n.last_number, 0)::bigint
           FROM banking.contract c
           LEFT JOIN banking.transaction_number n
                  ON n.bank_code = c.bank_code AND n.business_date = $1",
    )
    .bind(korean_day(Utc::now()))
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
