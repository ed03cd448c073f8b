//! Measures the pipeline on real servers, and what it is measured against.
//!
//! | file | what |
//! |---|---|
//! | `drain.rs` | a backlog, and how long it takes to be worked off |
//! | `paced.rs` | requests at a steady pace, and how long each waits |
//! | `firmbanking.rs` | commands to a bank, and how many a second come back |
//! | `edge.rs` | durable acceptances over HTTP at a steady pace |
//! | `town.rs`, `requests.rs` | members, and what they ask for |
//! | `older_rows.rs` | what `queue_log` holds before it begins |
//! | `results.rs`, `money.rs` | that each request has one result, and the money is right |
//! | `consumer.rs`, `usage.rs` | the program under measurement, and what it uses |
//! | `naive.rs`, `postgres_alone.rs` | what it is measured against |
//!
//! A measurement whose outcome is wrong is an error and gives no figure.

pub mod consumer;
pub mod drain;
pub mod edge;
pub mod firmbanking;
pub mod money;
pub mod naive;
pub mod older_rows;
pub mod paced;
pub mod postgres_alone;
pub mod requests;
pub mod results;
pub mod settlement;
pub mod town;
pub mod usage;
pub mod world;
