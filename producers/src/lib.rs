//! The HTTP edge and the way of a request into its topic.
//!
//! A request becomes durable in one PostgreSQL commit, together with the
//! message that a relay then sends to Kafka; that commit is the acceptance.
//! So nothing is lost while Kafka is down, and nothing counts as sent that
//! was not acknowledged.
//!
//! | file | what |
//! |---|---|
//! | `recharge.rs`, `remittance.rs`, `payment.rs`, `settlement.rs`, `firmbanking.rs`, `closing.rs` | what a client sends for each flow, and what is wrong with it |
//! | `request.rs` | what these have in common |
//! | `written.rs` | texts in any script, e-mail addresses, dates |
//! | `line.rs` | the same as a line of a file |
//! | `accept.rs`, `accept/` | many requests, one commit |
//! | `producer.rs` | all that accepting needs: a slot, the schema ids, the relay |
//! | `adopt.rs` | the outbox of an edge that is gone |
//! | `edge.rs`, `http/` | the same over HTTP, and the queries; one file a resource |
//! | `connections.rs` | how many clients are connected, and how long each may take |
//! | `schedule.rs` | settlement runs by the clock |
//! | `metrics.rs` | what is counted |

pub mod accept;
pub mod adopt;
pub mod closing;
mod connections;
pub mod edge;
pub mod firmbanking;
mod http;
pub mod line;
pub mod metrics;
pub mod payment;
pub mod producer;
pub mod recharge;
pub mod remittance;
pub mod request;
pub mod schedule;
pub mod settlement;
mod written;

pub use accept::{Acceptance, Answer, Envelope, Submission};
pub use producer::Producer;
pub use request::Refusal;
