//! Exactly once: `queue_log`, lanes, outbox and relay.
//!
//! - [`queue_log`]: the claim on a message, with its outcome, in one statement.
//! - [`lane`]: the fence that keeps a process that lost its partition from
//!   changing anything, and the count of what was handled.
//! - [`horizon`]: how far back an id is remembered.
//! - [`slot`]: the stable name of a process among its like.
//! - [`transaction`]: a transactional producer that is thrown away when in doubt.
//! - [`outbox`] and [`relay`]: the way to Kafka for what has no input offset.
//! - [`parked`]: the queues of keys that wait behind a message our code could not handle.

pub mod horizon;
pub mod lane;
pub mod outbox;
pub mod parked;
pub mod queue_log;
pub mod relay;
pub mod requests;
pub mod slot;
pub mod transaction;

/// Whether a database error will pass.
///
/// Only what says that a value or our statement is wrong does not: data
/// exceptions (class 22), constraints (23), limits of a statement (54), and
/// values that we cannot read. All the rest is the database's own trouble - a
/// failover, a standby that is read-only, a password being rotated, a session
/// that was ended - and an outage must never turn messages into dead letters.
pub fn is_transient(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(database) => {
            let state = database.code().unwrap_or_default();
            // "No partition for the row" is a check violation that names no
            // constraint: the partitions will be made.
            let no_partition = state == "23514" && database.constraint().is_none();
            no_partition
                || !["22", "23", "54"]
                    .iter()
                    .any(|class| state.starts_with(class))
        }
        sqlx::Error::ColumnDecode { .. }
        | sqlx::Error::Decode(_)
        | sqlx::Error::Encode(_)
        | sqlx::Error::ColumnNotFound(_)
        | sqlx::Error::ColumnIndexOutOfBounds { .. }
        | sqlx::Error::TypeNotFound { .. }
        | sqlx::Error::RowNotFound => false,
        _ => true,
    }
}
