//! The tests against the real servers: one binary, a module a subject.
//!
//! `tests/README.md` says how to run them and how to write one.

mod access;
mod bad_input;
mod bank_counts;
mod bank_rules;
mod breaker;
mod broker;
mod cancel_pages;
mod cases;
mod codecs;
mod contracts;
mod cost;
mod database;
mod day;
mod dlq;
mod encrypted;
mod faults;
mod holders;
mod kills;
mod limits;
mod members;
mod model;
mod near_the_cap;
mod offsets;
mod outside_client;
mod over_http;
mod purge;
mod redelivery;
mod registrations;
mod registry;
mod remittances;
mod reversals;
mod reversed_later;
mod settle;
mod statement;
mod topup;
mod undo;
mod zombie;
