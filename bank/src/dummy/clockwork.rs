//! What the bank does on its own: decides what is in progress, takes back what
//! is to be reversed.

use std::time::Duration;

use chrono::NaiveDate;
use sqlx::PgPool;

use super::transfer::TransferKey;
use super::writer::{self, NotCommitted, Task, Writer};

const TICK: Duration = Duration::from_millis(100);

#[derive(Debug, thiserror::Error)]
enum TickError {
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    #[error(transparent)]
    NotCommitted(#[from] NotCommitted),
}

/// Runs until it is dropped. What is due is in the tables, so a restart loses nothing.
pub(super) async fn run(pool: PgPool, writer: Writer) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(error) = tick(&pool, &writer).await {
            tracing::warn!(%error, "the dummy bank could not do what was due; it tries again");
        }
    }
}

async fn tick(pool: &PgPool, writer: &Writer) -> Result<(), TickError> {
    let settle = due(
        pool,
        "SELECT bank_code, business_date, number FROM dummy_bank.transfer
          WHERE due_at <= $1 ORDER BY due_at LIMIT 250",
    )
    .await?;
    let reverse = due(
        pool,
        "SELECT bank_code, business_date, number FROM dummy_bank.transfer
          WHERE reverse_at <= $1 AND status = 'done' ORDER BY reverse_at LIMIT 250",
    )
    .await?;
    let tasks = settle
        .into_iter()
        .map(Task::Settle)
        .chain(reverse.into_iter().map(Task::Reverse));
    // All at once, so that they share a commit; all awaited, so that none is due twice.
    let waiting: Vec<_> = tasks
        .map(|task| {
            let writer = writer.clone();
            tokio::spawn(async move { writer.submit(task).await })
        })
        .collect();
    for handed_in in waiting {
        handed_in.await.unwrap_or(Err(NotCommitted))?;
    }
    Ok(())
}

async fn due(pool: &PgPool, sql: &'static str) -> Result<Vec<TransferKey>, sqlx::Error> {
    let rows = sqlx::query_as::<_, (String, NaiveDate, i32)>(sql)
        .bind(writer::now())
        .fetch_all(pool)
        .await?;
    let key = |(bank_code, business_date, number): (String, NaiveDate, i32)| TransferKey {
        bank_code,
        business_date,
        number: number.unsigned_abs(),
    };
    Ok(rows.into_iter().map(key).collect())
}
