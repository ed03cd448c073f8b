//! Why brokers are not reached.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// For so long it is tried.
const PATIENCE: Duration = Duration::from_secs(3);

/// The first reason that a broker's connection gave.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Option<String>>>);

impl Heard {
    fn reason(&self) -> Option<String> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl ClientContext for Heard {
    fn error(&self, error: KafkaError, reason: &str) {
        // That all are down is the consequence, and not the reason.
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::AllBrokersDown) {
            let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            heard.get_or_insert_with(|| reason.to_owned());
        }
    }
}

impl ConsumerContext for Heard {}

/// Asks brokers once more who have not answered, to hear why: a refused password, a
/// certificate that is not believed, a port that speaks TLS. A client that asks for
/// metadata is told no more than that nobody answered.
///
/// Blocks, three seconds at the most.
pub fn why_unreachable(bootstrap: &str) -> Option<String> {
    let heard = Heard::default();
    let consumer: BaseConsumer<Heard> = crate::client(bootstrap)
        .create_with_context(heard.clone())
        .ok()?;
    let began = Instant::now();
    while heard.reason().is_none() && began.elapsed() < PATIENCE {
        // It is the attempt that counts; reasons are heard by polling.
        let _ = consumer.fetch_metadata(None, Duration::from_millis(300));
        let _ = consumer.poll(Duration::from_millis(50));
    }
    heard.reason()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_at_which_nobody_listens_is_told() {
        let told = why_unreachable("127.0.0.1:1").expect("a reason");
        assert!(told.contains("Connection refused"), "{told}");
    }
}
