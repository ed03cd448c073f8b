//! The tests against the real servers: one binary, a module a subject.
//!
//! `tests/README.md` says how to run them and how to write one.

mod access;
mod bad_input;
mod bank_rules;
mod breaker;
mod broker;
mod cases;
mod codecs;
mod contracts;
mod cost;
mod database;
mod day;
mod dlq;
mod faults;
mod holders;
mod kills;
mod members;
mod model;
mod offsets;
mod outside_client;
mod over_http;
mod purge;
mod redelivery;
mod registry;
mod reversals;
mod settle;
mod topup;
mod zombie;
