//! Starts the real servers as local processes: Kafka, registry, PostgreSQL.
//!
//! `docker-compose.yml` is the one description of the stack. Where no Docker
//! runs, this crate starts the same servers with the same settings and changes
//! paths, ports and host names only (`address.rs`). A stack belongs to a state
//! directory, its *home* (`home.rs`); two homes are two stacks side by side.
//!
//! | file | what |
//! |---|---|
//! | `compose.rs`, `interpolate.rs`, `address.rs` | the description, and its addresses made local |
//! | `kafka.rs`, `broker_config.rs`, `registry.rs`, `postgres.rs`, `initdb.rs`, `pgdata.rs` | what to run for each server |
//! | `java.rs`, `download.rs` | what the machine must have, and what is fetched |
//! | `home.rs`, `ports.rs`, `record.rs` | the state directory |
//! | `process.rs`, `launch.rs`, `probe.rs` | start, find, ask and stop processes |
//! | `stack.rs`, `start.rs`, `programs.rs`, `status.rs`, `endpoints.rs` | what others call |

mod address;
mod broker_config;
mod compose;
mod download;
mod endpoints;
mod error;
mod home;
mod initdb;
mod interpolate;
mod java;
mod kafka;
mod launch;
mod pgdata;
mod ports;
mod postgres;
mod probe;
mod process;
mod programs;
mod record;
mod registry;
mod stack;
mod start;
mod status;
mod token_key;

pub use endpoints::Endpoints;
pub use error::{Result, StackError};
pub use nix::sys::signal::Signal;
pub use process::Condition;
pub use programs::parse_signal;
pub use record::Role;
pub use stack::Stack;
pub use status::ServiceStatus;
