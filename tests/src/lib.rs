//! What the tests against the real servers are made of.
//!
//! A test takes the [`World`]: the stack, up and in good order, for itself
//! alone. It starts programs of ours in it, sends messages, breaks things, and
//! at the end compares what an independent reader finds with what must be.
//!
//! | module | what |
//! |---|---|
//! | [`world`] | the stack that the tests share, one test at a time |
//! | [`programs`] | consumers, bank and edge as processes: start, kill, pause |
//! | [`banks`] | banks with contracts, accounts, faults, and commands to them |
//! | [`edge`] | a client of the HTTP edge, with the token of whoever would ask |
//! | [`encrypted`] | servers that ask for TLS and a password |
//! | [`top_ups`] | members with bank accounts to top up from |
//! | [`members`], [`leavers`] | members with money, franchises; members who leave |
//! | [`requests`] | requests, and their way to the topics |
//! | [`topic`] | everything in a topic that a `read_committed` reader sees |
//! | [`results`], [`dead_letters`] | what was read, decoded |
//! | [`progress`], [`wait`] | waiting for something with a deadline |
//! | [`exactly_once`] | one answer for each request, none missing, none twice |
//! | [`money`] | balances, postings, and what they must add up to |
//! | [`statements`] | what goes by on the way to PostgreSQL, counted |
//! | [`audit`] | the verdict of `mypay audit` |
//! | [`model`] | a second ledger, written apart from the code under test |

pub mod audit;
pub mod banks;
pub mod dead_letters;
pub mod edge;
pub mod encrypted;
pub mod exactly_once;
pub mod leavers;
pub mod members;
pub mod model;
pub mod money;
pub mod programs;
pub mod progress;
pub mod requests;
pub mod results;
pub mod statements;
pub mod top_ups;
pub mod topic;
pub mod wait;
pub mod world;

pub use programs::Program;
pub use wait::eventually;
pub use world::World;
