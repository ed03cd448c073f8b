//! Single processes of a stack: start, stop, signal.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::error::{Result, StackError};
use crate::launch::{Launch, send, stop};
use crate::record::{Record, Role};
use crate::stack::Stack;

/// Time that a program of ours gets to stop when `down` asks it to.
const PROGRAM_GRACE: Duration = Duration::from_secs(20);

impl Stack {
    /// Starts a program of ours under a name, detached from this process: its
    /// output is appended to `logs/<name>.log`, and `down` stops it before the
    /// servers. Returns its pid at once, without waiting for it to be ready.
    ///
    /// # Errors
    /// [`StackError::Running`] if that name runs already.
    pub fn spawn<A, E, K, V>(&self, name: &str, program: &Path, args: A, env: E) -> Result<i32>
    where
        A: IntoIterator,
        A::Item: AsRef<OsStr>,
        E: IntoIterator<Item = (K, V)>,
        K: AsRef<OsStr>,
        V: AsRef<OsStr>,
    {
        self.state().create()?;
        let own = |text: &OsStr| -> OsString { text.to_owned() };
        let mut all: Vec<_> = env
            .into_iter()
            .map(|(key, value)| (own(key.as_ref()), own(value.as_ref())))
            .collect();
        all.push(("MYPAY_HOME".into(), self.home().into()));
        let launch = Launch {
            name: file_name(name)?,
            role: Role::Program,
            program: program.to_owned(),
            args: args.into_iter().map(|arg| own(arg.as_ref())).collect(),
            env: all,
            directory: None,
            user: None,
            stop_signal: "SIGTERM".to_owned(),
            grace: PROGRAM_GRACE,
        };
        launch.start(self.state()).map(|record| record.identity.pid)
    }

    /// Asks a service to stop, and kills it after `grace`. One that does not
    /// run is stopped already.
    ///
    /// # Errors
    /// When it cannot be signalled.
    pub async fn stop(&self, name: &str, grace: Duration) -> Result<()> {
        match Record::read(self.state(), name) {
            Some(record) => stop(self.state(), &record, grace).await.map(drop),
            None => Ok(()),
        }
    }

    /// Is there a live process under this name? A paused one counts.
    pub fn is_running(&self, name: &str) -> bool {
        Record::read(self.state(), name).is_some_and(|record| record.identity.is_alive())
    }

    /// The pid of a live service.
    pub fn pid(&self, name: &str) -> Option<i32> {
        Record::read(self.state(), name)
            .filter(|record| record.identity.is_alive())
            .map(|record| record.identity.pid)
    }

    /// Sends a signal to a service and looks no further: for trying out what
    /// happens when it dies (`KILL`) or hangs (`STOP`, until `CONT`).
    ///
    /// # Errors
    /// [`StackError::Unknown`] when nothing of that name runs.
    pub fn kill(&self, name: &str, signal: Signal) -> Result<()> {
        let alive = |record: &Record| record.identity.is_alive();
        let Some(record) = Record::read(self.state(), name).filter(alive) else {
            let running = Record::all(self.state())
                .into_iter()
                .filter(alive)
                .map(|record| record.name);
            let known = running.collect::<Vec<_>>().join(", ");
            return Err(StackError::Unknown {
                name: name.to_owned(),
                known,
            });
        };
        // A server that forks hangs only if its children do, too.
        if matches!(signal, Signal::SIGSTOP | Signal::SIGCONT) {
            for process in record.identity.tree().into_iter().skip(1) {
                let _ = process.signal(signal);
            }
        }
        send(&record, signal)
    }
}

/// `KILL`, `SIGKILL`, `kill` -> the signal.
///
/// # Errors
/// When there is no such signal.
pub fn parse_signal(text: &str) -> Result<Signal, String> {
    let upper = text.to_uppercase();
    let full = if upper.starts_with("SIG") {
        upper
    } else {
        format!("SIG{upper}")
    };
    Signal::from_str(&full).map_err(|_| format!("no signal {text:?}: try KILL, STOP, CONT or TERM"))
}

/// A service's name is a file name.
fn file_name(name: &str) -> Result<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    if !name.is_empty() && name.chars().all(plain) {
        Ok(name.to_owned())
    } else {
        Err(StackError::Unknown {
            name: name.to_owned(),
            known: "names of letters, digits, - and _".to_owned(),
        })
    }
}
