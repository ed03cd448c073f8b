//! What identifies a request, as a client writes it.

use chrono::{DateTime, Utc};
use mypay_decide::Reason;
use mypay_idempotency::horizon::{Beyond, Horizon};
use mypay_schemas::identity::{self, BadId};
use uuid::Uuid;

use crate::request::Refusal;

/// A request's id: a UUID version 7 from a time that is remembered.
pub fn message_id(written: &str, horizon: &Horizon, now: DateTime<Utc>) -> Result<Uuid, Refusal> {
    let id = well_formed(written)?;
    match horizon.check(id, now, now, false) {
        Ok(()) => Ok(id),
        Err(Beyond::Past) => Err(Refusal::of_id(
            Reason::PastHorizon.code(),
            "the id's time is older than what is remembered: whether it was handled before cannot be known",
        )),
        Err(Beyond::Future) => Err(Refusal::of_id(
            Reason::IdFromTheFuture.code(),
            "the id's time lies in the future: check the clock of whoever made it",
        )),
    }
}

/// A UUID version 7 in its text form.
///
/// Version 8 is kept for ids that we derive. A client that guessed the id of a
/// command to come would take its place in `queue_log`, and the command itself
/// would be a conflict.
fn well_formed(written: &str) -> Result<Uuid, Refusal> {
    match identity::parse(written) {
        Ok(id) if id.get_version_num() == 7 => Ok(id),
        Ok(_) => Err(Refusal::of_id(
            "id_reserved",
            "UUID version 8 is kept for ids that my-pay derives: use version 7",
        )),
        Err(BadId::NoTime) => Err(Refusal::of_id(
            Reason::IdWithoutTime.code(),
            "the id carries no time: use UUID version 7",
        )),
        Err(BadId::NotUuid) => Err(Refusal::of_id(
            "invalid_id",
            "the id is not a UUID in its text form: use UUID version 7",
        )),
    }
}

/// A correlation id, where what the client sent is one.
///
/// Anything else is left out and not refused: whoever proxies a request may
/// put a trace id of its own form there, and the money must move all the same.
pub fn correlation_id(written: &str) -> Option<Uuid> {
    (written.len() == 36).then(|| Uuid::try_parse(written).ok())?
}

pub use mypay_schemas::trace::traceparent;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_version_7_is_a_clients() {
        let id = Uuid::now_v7();
        assert_eq!(well_formed(&id.to_string()), Ok(id));
        let reason = |written: &str| well_formed(written).unwrap_err().reason;
        assert_eq!(
            reason("4cbb2d2c-1c12-4b3e-9d3a-3f4f5f6f7f8f"),
            "id_without_time"
        );
        assert_eq!(reason("not-an-id"), "invalid_id");
        assert_eq!(
            reason(&identity::derive(id, "firmbanking").to_string()),
            "id_reserved"
        );
    }

    #[test]
    fn a_traceparent_is_taken_as_it_is_or_not_at_all() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(traceparent(good).as_deref(), Some(good));
        for bad in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
        ] {
            assert_eq!(traceparent(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_correlation_id_that_is_no_uuid_is_left_out() {
        let id = Uuid::now_v7();
        assert_eq!(correlation_id(&id.to_string()), Some(id));
        assert_eq!(correlation_id("trace-42"), None);
    }
}
