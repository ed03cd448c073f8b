//! The way of a message through a consumer.
//!
//! ```text
//! fetch (thread)       database (tasks)                          emit (thread)
//! poll -> decode  ->   fence, claim, load, decide, write,   ->   results + offsets
//!                      all of a batch in one commit              in one Kafka transaction
//! ```
//!
//! The queues between are bounded, so that batch k is sent while k+1 is written
//! and a slow stage holds up the ones before it, not the memory.

pub mod batch;
pub mod dead_letter;
pub mod emit;
mod fate;
pub mod fetch;
pub mod handler;
pub mod intake;
mod lag;
pub mod metrics;
pub mod pipeline;
mod queues;
pub mod recent;
