//! The commands, one file each.

pub(crate) mod audit;
pub(crate) mod bank;
pub(crate) mod bench;
pub(crate) mod close;
pub(crate) mod consume;
pub(crate) mod day;
pub(crate) mod dlq;
pub(crate) mod limits;
pub(crate) mod metrics;
pub(crate) mod produce;
pub(crate) mod purge;
pub(crate) mod replay;
pub(crate) mod schemas;
pub(crate) mod serve;
pub(crate) mod settle;
pub(crate) mod signals;
pub(crate) mod stack;
pub(crate) mod telemetry;
pub(crate) mod token;
pub(crate) mod topics;
pub(crate) mod trace;
