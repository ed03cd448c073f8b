//! The outbox of a writer that is gone.
//!
//! A process that dies leaves what it accepted in its outbox. The next one that
//! takes its slot sends it on; but where the others go on and none is started,
//! nobody would. So whoever runs looks now and then for outboxes whose slot is
//! free, takes that very slot, and runs a relay until the outbox is empty.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use mypay_idempotency::relay::Relay;
use mypay_idempotency::slot::{BANK_WORKERS, Slot, until_lost};
use sqlx::{PgPool, Row};
use tokio::sync::Notify;
use tokio::task::JoinSet;

/// The roles that write into outboxes: who accepts requests, and who works at
/// the banks.
pub const ROLES: [&str; 3] = ["edge", "producer", BANK_WORKERS];

const EVERY: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(250);
/// Then the slot is given back: with Kafka down, a process that is started and
/// wants a slot shall have it.
const PATIENCE: Duration = Duration::from_secs(60);

/// The last signs of life of the slots that were free at a look.
type Silent = HashMap<String, String>;

/// Looks for ever, on behalf of the writer `own`.
pub async fn run(pool: PgPool, kafka_bootstrap: String, own: String) {
    let mut silent = Silent::new();
    loop {
        tokio::time::sleep(EVERY).await;
        match round(&pool, &kafka_bootstrap, &own, &silent).await {
            Ok(now_silent) => silent = now_silent,
            Err(error) => tracing::warn!(%error, "the outboxes of others could not be looked at"),
        }
    }
}

/// Adopts the outboxes whose slots are as silent as they were `before`.
///
/// One look is not enough: after an outage of the database every slot looks
/// silent, until its owner's next heartbeat.
async fn round(
    pool: &PgPool,
    kafka_bootstrap: &str,
    own: &str,
    before: &Silent,
) -> Result<Silent, sqlx::Error> {
    let mut silent = Silent::new();
    for writer in unsent(pool).await? {
        let Some((role, number)) = slot_of(&writer).filter(|_| writer != own) else {
            continue;
        };
        let Some(sign) = sign_of_life(pool, role, number).await? else {
            continue;
        };
        if before.get(&writer) != Some(&sign) {
            silent.insert(writer, sign);
        } else if let Some(slot) = Slot::take_number(pool, role, number).await? {
            tracing::info!(writer, "sending on what a process left that is gone");
            let sent = send_on(pool, kafka_bootstrap, &writer, &slot).await;
            slot.give_back().await?;
            sent?;
        }
    }
    Ok(silent)
}

/// When the slot's owner was heard of, as text: it is only compared.
async fn sign_of_life(
    pool: &PgPool,
    role: &str,
    number: i32,
) -> Result<Option<String>, sqlx::Error> {
    sqlx::query(
        "SELECT owner::text || ' ' || seen_at::text FROM slot WHERE role = $1 AND slot = $2",
    )
    .bind(role)
    .bind(number)
    .fetch_optional(pool)
    .await?
    .map(|row| row.try_get(0))
    .transpose()
}

/// Runs a relay for the writer until its outbox is empty.
async fn send_on(
    pool: &PgPool,
    kafka_bootstrap: &str,
    writer: &str,
    slot: &Slot,
) -> Result<(), sqlx::Error> {
    let relay = Relay::new(
        pool.clone(),
        kafka_bootstrap,
        writer,
        Arc::new(Notify::new()),
    );
    // Dropped at the end, and the relay with it. A transaction in flight goes on
    // to its end in its own thread; the next relay of this writer waits for that
    // or ends it.
    let mut relaying = JoinSet::new();
    relaying.spawn(relay.run());
    let emptied = async {
        while unsent(pool).await?.iter().any(|left| left == writer) {
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    };
    tokio::select! {
        emptied = emptied => emptied,
        () = until_lost(slot.lost()) => Ok(()),
        () = tokio::time::sleep(PATIENCE) => Ok(()),
    }
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
