//! The commands, one file each.

pub(crate) mod bank;
pub(crate) mod consume;
pub(crate) mod schemas;
pub(crate) mod signals;
pub(crate) mod stack;
pub(crate) mod telemetry;
pub(crate) mod topics;
