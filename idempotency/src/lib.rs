//! Exactly once: `queue_log`, lanes, outbox and relay.
//!
//! - [`queue_log`]: the claim on a message, with its outcome, in one statement.
//! - [`lane`]: the fence that keeps a process that lost its partition from
//!   changing anything, and the count of what was handled.
//! - [`horizon`]: how far back an id is remembered.
//! - [`slot`]: the stable name of a process among its like.
//! - [`transaction`]: a transactional producer that is thrown away when in doubt.
//! - [`outbox`] and [`relay`]: the way to Kafka for what has no input offset.
//! - [`parked`]: accounts that wait behind a message our code could not handle.

pub mod horizon;
pub mod lane;
pub mod outbox;
pub mod parked;
pub mod queue_log;
pub mod relay;
pub mod slot;
pub mod transaction;

/// Whether a database error will pass: the connection, a deadlock, a full
/// disk, a shutdown. Everything else says that the statement or its data are
/// wrong, and trying again changes nothing.
pub fn is_transient(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(database) => database.code().is_some_and(|state| {
            // Classes of SQLSTATE: connection, transaction rollback, resources,
            // object state, operator intervention, system error.
            ["08", "40", "53", "55", "57", "58"]
                .iter()
                .any(|class| state.starts_with(class))
                // A plan of a prepared statement met changed tables.
                || state == "0A000"
        }),
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::BeginFailed => true,
        _ => false,
    }
}
