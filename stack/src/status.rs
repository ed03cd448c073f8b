//! What runs, where, and whether it answers.

use serde::Serialize;

use crate::compose::Compose;
use crate::error::Result;
use crate::ports::Ports;
use crate::process::Condition;
use crate::record::{Record, Role};
use crate::stack::Stack;
use crate::start::{probe, servers};

/// One service of a home.
#[derive(Debug, Clone, Serialize)]
pub struct ServiceStatus {
    /// Its name.
    pub name: String,
    /// What it is; absent for a server that was never started.
    pub role: Option<Role>,
    /// Its process, if that lives.
    pub pid: Option<i32>,
    /// The port by which clients reach it.
    pub port: Option<u16>,
    /// What its process is doing.
    pub condition: Condition,
    /// Whether it answers in its protocol; absent where we cannot ask.
    pub ready: Option<bool>,
}

impl Stack {
    /// The servers of the compose file and whatever else was started here.
    ///
    /// # Errors
    /// Only when the compose file is not what it should be.
    pub async fn status(&self) -> Result<Vec<ServiceStatus>> {
        let compose = Compose::embedded()?;
        let ports = Ports::recorded(self.state());
        let known = servers(&compose)?;
        let mut records = Record::all(self.state());
        records.sort_by_key(|record| std::cmp::Reverse(record.role));
        let started: Vec<String> = records.into_iter().map(|record| record.name).collect();
        let programs = started.into_iter().filter(|name| !known.contains(name));
        let mut all = Vec::new();
        for name in known.iter().cloned().chain(programs) {
            let record = Record::read(self.state(), &name);
            let condition = record
                .as_ref()
                .map_or(Condition::Gone, |record| record.identity.condition());
            let ready = match ports {
                Some(ports) if known.contains(&name) => {
                    Some(condition.is_running() && probe(&compose, ports, &name)?.ready().await)
                }
                _ => None,
            };
            all.push(ServiceStatus {
                role: record.as_ref().map(|record| record.role),
                pid: record
                    .filter(|_| condition != Condition::Gone)
                    .map(|record| record.identity.pid),
                port: ports.and_then(|ports| ports.of(&name)),
                condition,
                ready,
                name,
            });
        }
        Ok(all)
    }
}
