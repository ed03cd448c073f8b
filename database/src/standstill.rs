//! Sessions whose client stands still in the midst of a statement.
//!
//! A process that is stopped (SIGSTOP, a frozen virtual machine) keeps its
//! connections: its kernel goes on acknowledging. Between two statements
//! `idle_in_transaction_session_timeout` ends its transaction. But in the midst
//! of one, as between the beginning of a `COPY` and its data, the session counts
//! as active, and no time-out of PostgreSQL's looks at it: not
//! `statement_timeout` and not `transaction_timeout`, since a server that reads
//! the data of a statement heeds nothing but its own termination. What such a
//! session has locked would stay locked for as long as its client stands still.
//!
//! So the living look after the frozen, and end their sessions. That is always
//! safe: to the one that wakes it is a broken connection, at an instant at which
//! it may break anyway.

use sqlx::{PgPool, Row};

use crate::APPLICATION;

/// Seconds that a statement may wait for its client, or for its client to read.
/// Ours take milliseconds; `lock_timeout` is twice as long, so that whoever
/// waits for the locks meanwhile mostly gets them at the first attempt.
const PATIENCE_SECONDS: f64 = 10.0;

/// Ends the sessions of [`pool`](crate::pool)s, of whichever process, that have
/// locked or written something and whose statement has waited for its client for
/// more than ten seconds. Gives their number.
///
/// It needs no right beyond that of ending sessions of the same role.
pub async fn end(pool: &PgPool) -> Result<i64, sqlx::Error> {
    sqlx::query(
        "SELECT count(*) FILTER (WHERE pg_terminate_backend(pid))
           FROM pg_stat_activity
          WHERE application_name = $1 AND usename = current_user AND datname = current_database()
            AND state = 'active' AND wait_event_type = 'Client' AND backend_xid IS NOT NULL
            AND query_start < clock_timestamp() - make_interval(secs => $2)",
    )
    .bind(APPLICATION)
    .bind(PATIENCE_SECONDS)
    .fetch_one(pool)
    .await?
    .try_get(0)
}
