//! What goes with the settlement consumer: the relay of its outbox.

use std::sync::Arc;
use std::time::Duration;

use mypay_consumers::settlement::WRITER;
use mypay_idempotency::relay::Relay;
use mypay_idempotency::slot::{Slot, until_lost};
use sqlx::PgPool;
use tokio::sync::{Notify, watch};

/// Whoever has the first slot of this role relays; the others stand by.
const ROLE: &str = "settlement-relay";
const STAND_BY: Duration = Duration::from_secs(1);

/// Sends on what settlement runs and the schedule put in their outbox, as long as
/// no other process does.
pub(super) async fn relay(pool: PgPool, bootstrap: String, mut stop: watch::Receiver<bool>) {
    while !*stop.borrow() {
        match Slot::take(&pool, ROLE).await {
            Ok(slot) if slot.name() == format!("{ROLE}-0") => {
                let bell = Arc::new(Notify::new());
                let relay = Relay::new(pool.clone(), &bootstrap, WRITER, bell);
                let relay = tokio::spawn(relay.run());
                tokio::select! {
                    _ = stop.wait_for(|stop| *stop) => {}
                    () = until_lost(slot.lost()) => {}
                }
                if *stop.borrow() {
                    super::until_sent(&pool, WRITER).await;
                }
                relay.abort();
                give_back(slot).await;
            }
            Ok(slot) => give_back(slot).await,
            Err(error) => tracing::warn!(%error, "no slot for the settlements' relay yet"),
        }
        // Either ends the wait; the loop looks which it was.
        let _ = tokio::time::timeout(STAND_BY, stop.wait_for(|stop| *stop)).await;
    }
}

async fn give_back(slot: Slot) {
    if let Err(error) = slot.give_back().await {
        tracing::warn!(%error, "the settlements' relay did not give its slot back");
    }
}
