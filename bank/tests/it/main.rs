//! The bank's tests against real sockets and a real PostgreSQL.

#![allow(clippy::unwrap_used, missing_docs)]

mod client_failures;
mod faults;
mod money;
mod requests;
mod toy_server;
mod with_bank;
