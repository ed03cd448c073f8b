//! Starts processes that outlive us, and stops them.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::path::PathBuf;
use std::process::Stdio;
use std::str::FromStr;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::Signal;
use nix::unistd::User;
use tokio::process::Command;

use crate::error::{AtPath, Result, StackError};
use crate::home::Home;
use crate::process::Identity;
use crate::record::{Record, Role};

/// Time for what is left of a process group after SIGKILL to disappear.
const AFTER_KILL: Duration = Duration::from_secs(10);
/// A log that grew past this is set aside when its service starts again.
const LOG_LIMIT: u64 = 64 * 1024 * 1024;

/// What to start, and how it is to be stopped.
pub(crate) struct Launch {
    pub(crate) name: String,
    pub(crate) role: Role,
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<OsString>,
    pub(crate) env: Vec<(OsString, OsString)>,
    pub(crate) directory: Option<PathBuf>,
    /// Run as this user instead of ours.
    pub(crate) user: Option<User>,
    pub(crate) stop_signal: String,
    pub(crate) grace: Duration,
}

impl Launch {
    /// Starts the process and records it.
    pub(crate) fn start(self, home: &Home) -> Result<Record> {
        if let Some(record) =
            Record::read(home, &self.name).filter(|record| record.identity.is_alive())
        {
            return Err(StackError::Running {
                name: self.name,
                pid: record.identity.pid,
            });
        }
        let log = home.log(&self.name);
        if std::fs::metadata(&log).is_ok_and(|log| log.len() > LOG_LIMIT) {
            std::fs::rename(&log, log.with_extension("log.1")).at(&log)?;
        }
        let output = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log)
            .at(&log)?;
        let mut command = Command::new(&self.program);
        command
            .args(&self.args)
            .envs(self.env)
            .stdin(Stdio::null())
            .stdout(output.try_clone().at(&log)?)
            .stderr(output)
            // A group of its own: Ctrl-C at our terminal is not for it.
            .process_group(0);
        if let Some(directory) = self.directory {
            command.current_dir(directory);
        }
        if let Some(user) = self.user {
            command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
        }
        // Dropping the handle leaves the process alone; tokio reaps it when it
        // ends before we do.
        let child = command.spawn().map_err(|source| StackError::Start {
            program: self.program.clone(),
            source,
        })?;
        let identity = child.id().and_then(|pid| Identity::of(pid as i32));
        let record = Record {
            identity: identity.ok_or_else(|| died(home, &self.name))?,
            name: self.name,
            role: self.role,
            stop_signal: self.stop_signal,
            grace_ms: self.grace.as_millis() as u64,
            program: self.program,
        };
        record.write(home)?;
        Ok(record)
    }
}

/// The error for a service that ended, with the end of its log.
pub(crate) fn died(home: &Home, name: &str) -> StackError {
    StackError::Died {
        name: name.to_owned(),
        log: home.log(name),
        tail: home.log_tail(name, 15),
    }
}

/// Asks a process to stop, waits, and kills what is left of it and of what it
/// started. Then its record goes. True when it had to be killed.
pub(crate) async fn stop(home: &Home, record: &Record, grace: Duration) -> Result<bool> {
    let tree = record.identity.tree();
    let orderly = Signal::from_str(&record.stop_signal).unwrap_or(Signal::SIGTERM);
    send(record, orderly)?;
    // A process paused with SIGSTOP takes its signals only once it runs again.
    for process in &tree {
        let _ = process.signal(Signal::SIGCONT);
    }
    let killed = !record.identity.wait_gone(grace).await;
    if killed {
        tracing::warn!(
            name = record.name,
            pid = record.identity.pid,
            "did not stop in time: killing it"
        );
        send(record, Signal::SIGKILL)?;
    }
    // Children normally end with their parent; a moment, then by force.
    for process in tree {
        if !process.wait_gone(Duration::from_secs(2)).await {
            let _ = process.signal(Signal::SIGKILL);
            process.wait_gone(AFTER_KILL).await;
        }
    }
    Record::remove(home, &record.name)?;
    Ok(killed)
}

/// Sends a signal; that the process is gone already is no error.
pub(crate) fn send(record: &Record, signal: Signal) -> Result<()> {
    match record.identity.signal(signal) {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(source) => Err(StackError::Signal {
            name: record.name.clone(),
            pid: record.identity.pid,
            source,
        }),
    }
}
