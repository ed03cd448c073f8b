//! The outbox of a writer that is gone.
//!
//! A process that dies leaves what it accepted in its outbox. The next one that
//! takes its slot sends it on; but where the others go on and none is started,
//! nobody would. So whoever runs looks now and then for outboxes whose slot is
//! free, takes that very slot, and runs a relay until the outbox is empty.

use std::sync::Arc;
use std::time::Duration;

use mypay_idempotency::relay::Relay;
use mypay_idempotency::slot::{Slot, until_lost};
use sqlx::{PgPool, Row};
use tokio::sync::Notify;

/// The roles that accept requests.
pub const ROLES: [&str; 2] = ["edge", "producer"];

const EVERY: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(250);
/// Then the slot is given back: with Kafka down, a process that is started and
/// wants a slot shall have it.
const PATIENCE: Duration = Duration::from_secs(60);

/// Looks for ever, as `own` does its own.
pub async fn run(pool: PgPool, kafka_bootstrap: String, own: String) {
    loop {
        tokio::time::sleep(EVERY).await;
        if let Err(error) = round(&pool, &kafka_bootstrap, &own).await {
            tracing::warn!(%error, "the outboxes of others could not be looked at");
        }
    }
}

async fn round(pool: &PgPool, kafka_bootstrap: &str, own: &str) -> Result<(), sqlx::Error> {
    for writer in unsent(pool).await? {
        let Some((role, number)) = slot_of(&writer).filter(|_| writer != own) else {
            continue;
        };
        if let Some(slot) = Slot::take_number(pool, role, number).await? {
            tracing::info!(writer, "sending on what a process left that is gone");
            let sent = send_on(pool, kafka_bootstrap, &writer, &slot).await;
            slot.give_back().await?;
            sent?;
        }
    }
    Ok(())
}

/// Runs a relay for the writer until its outbox is empty.
async fn send_on(
    pool: &PgPool,
    kafka_bootstrap: &str,
    writer: &str,
    slot: &Slot,
) -> Result<(), sqlx::Error> {
    let relay = Relay::new(pool.clone(), kafka_bootstrap, writer, Arc::new(Notify::new()));
    let relay = tokio::spawn(relay.run());
    let emptied = async {
        while unsent(pool).await?.iter().any(|left| left == writer) {
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    };
    let outcome = tokio::select! {
        emptied = emptied => emptied,
        () = until_lost(slot.lost()) => Ok(()),
        () = tokio::time::sleep(PATIENCE) => Ok(()),
    };
    // A transaction in flight goes on to its end in its own thread; the next
    // relay of this writer waits for that or ends it.
    relay.abort();
    outcome
}

/// The writers with something in their outbox: one look a writer, whatever lies
/// there.
async fn unsent(pool: &PgPool) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query(
        "SELECT w.writer FROM outbox_writer w
          WHERE EXISTS (SELECT 1 FROM outbox o WHERE o.writer = w.writer)",
    )
    .fetch_all(pool)
    .await?
    .iter()
    .map(|row| row.try_get(0))
    .collect()
}

/// The role and number of a writer, where it is one that accepts requests.
fn slot_of(writer: &str) -> Option<(&'static str, i32)> {
    let (role, number) = writer.rsplit_once('-')?;
    let role = ROLES.into_iter().find(|known| *known == role)?;
    Some((role, number.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_writers_that_accept_requests_are_adopted() {
        assert_eq!(slot_of("edge-0"), Some(("edge", 0)));
        assert_eq!(slot_of("producer-12"), Some(("producer", 12)));
        for other in ["bank-worker-0", "edge", "edge-x", "edge-0-1", ""] {
            assert_eq!(slot_of(other), None, "{other}");
        }
    }
}
