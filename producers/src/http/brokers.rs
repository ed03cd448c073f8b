//! Whether Kafka is there at all.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;

use super::App;

const EVERY: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(1);

/// Looks for ever whether any broker takes a connection.
///
/// The relay notices brokers that are gone only when it has something to send,
/// and then after its producer has lost patience: too late for whoever asks why
/// a request still waits.
pub(crate) async fn watch(app: Arc<App>) {
    loop {
        app.found_brokers(any(&app.kafka_bootstrap).await);
        tokio::time::sleep(EVERY).await;
    }
}

async fn any(bootstrap: &str) -> bool {
    for broker in bootstrap.split(',') {
        let connected = TcpStream::connect(broker.trim());
        if matches!(tokio::time::timeout(PATIENCE, connected).await, Ok(Ok(_))) {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_broker_is_enough() {
        let broker = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = broker.local_addr().unwrap();
        assert!(any(&format!("127.0.0.1:1, {address}")).await);
        assert!(!any("127.0.0.1:1").await);
    }
}
