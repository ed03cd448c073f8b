//! `run/<name>.json`: what was started, so that another process can find and
//! stop it.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{AtPath, Result};
use crate::home::{Home, write_whole};
use crate::process::Identity;

/// Who a process belongs to, in the order of stopping: what uses a server
/// stops before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// One of our own: edge, consumers, bank.
    Program,
    /// The schema registry.
    Registry,
    /// A Kafka broker.
    Broker,
    /// PostgreSQL.
    Database,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) name: String,
    pub(crate) role: Role,
    #[serde(flatten)]
    pub(crate) identity: Identity,
    /// Signal of an orderly stop (`SIGTERM`).
    pub(crate) stop_signal: String,
    pub(crate) grace_ms: u64,
    /// For people who look into the file.
    pub(crate) program: PathBuf,
}

impl Record {
    pub(crate) fn read(home: &Home, name: &str) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(home.record(name)).ok()?).ok()
    }

    /// All records of a home, in order of name.
    pub(crate) fn all(home: &Home) -> Vec<Self> {
        let entries = std::fs::read_dir(home.records())
            .into_iter()
            .flatten()
            .flatten();
        let mut all: Vec<Self> = entries
            .filter_map(|entry| {
                Self::read(home, entry.file_name().to_str()?.strip_suffix(".json")?)
            })
            .collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    pub(crate) fn write(&self, home: &Home) -> Result<()> {
        write_whole(
            &home.record(&self.name),
            &serde_json::to_vec_pretty(self).unwrap_or_default(),
        )
    }

    pub(crate) fn remove(home: &Home, name: &str) -> Result<()> {
        match std::fs::remove_file(home.record(name)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).at(home.record(name))
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn grace(&self) -> Duration {
        Duration::from_millis(self.grace_ms)
    }
}
