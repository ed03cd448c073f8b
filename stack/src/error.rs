//! What can go wrong while starting servers; each message says what to do.

use std::path::PathBuf;

/// Why the stack could not do what it was asked to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StackError {
    /// No address of a server is known.
    #[error(
        "no {variable}: run `make up`, or export it (looked in the environment and in {looked})"
    )]
    NotUp {
        /// The variable that would have said it.
        variable: &'static str,
        /// The file that was looked in.
        looked: PathBuf,
    },
    /// A tool of the machine is missing.
    #[error("{what} not found: {hint}")]
    Missing {
        /// What was looked for.
        what: String,
        /// How to get it.
        hint: &'static str,
    },
    /// `docker-compose.yml` does not say what we need.
    #[error("docker-compose.yml: {0}")]
    Compose(String),
    /// A file could not be read, written, locked or removed.
    #[error("{path}: {source}")]
    File {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A program could not be started.
    #[error("cannot start {program}: {source}")]
    Start {
        /// What was to be run.
        program: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A program that should end well did not.
    #[error("{what} failed ({status}):\n{output}")]
    Failed {
        /// What it was for.
        what: String,
        /// Its exit status.
        status: String,
        /// The last lines it printed.
        output: String,
    },
    /// A server ended while it was waited for.
    #[error("{name} ended while starting; the last lines of {log}:\n{tail}")]
    Died {
        /// The service.
        name: String,
        /// Its log file.
        log: PathBuf,
        /// The end of that file.
        tail: String,
    },
    /// A server runs, but did not become ready.
    #[error("{name} is not ready after {seconds} s; the last lines of {log}:\n{tail}")]
    NotReady {
        /// The service.
        name: String,
        /// How long it was waited for.
        seconds: u64,
        /// Its log file.
        log: PathBuf,
        /// The end of that file.
        tail: String,
    },
    /// A port that this home uses is taken by a program that is not ours.
    #[error(
        "port {port} of {name} is taken by another program: stop that, or choose others with MYPAY_PORT_BASE"
    )]
    PortTaken {
        /// The service whose port it is.
        name: String,
        /// The port.
        port: u16,
    },
    /// There is no free block of ports.
    #[error("no {0} free ports in a row between 20000 and 32000: set MYPAY_PORT_BASE")]
    NoPorts(u16),
    /// `MYPAY_PORT_BASE` is not usable.
    #[error("MYPAY_PORT_BASE={0:?} is not a port number from 1024 to 65000")]
    BadPortBase(String),
    /// No service of that name is known in this home.
    #[error("no service named {name:?} here; there are: {known}")]
    Unknown {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// Something of that name runs already.
    #[error("{name} runs already as pid {pid}: stop it first")]
    Running {
        /// The service.
        name: String,
        /// Its process id.
        pid: i32,
    },
    /// A signal could not be sent.
    #[error("cannot signal {name} (pid {pid}): {source}")]
    Signal {
        /// The service.
        name: String,
        /// Its process id.
        pid: i32,
        /// What the system said.
        source: nix::Error,
    },
}

/// Result of this crate.
pub type Result<T, E = StackError> = std::result::Result<T, E>;

/// Adds the path to an I/O error: "permission denied" alone helps nobody.
pub(crate) trait AtPath<T> {
    fn at(self, path: impl Into<PathBuf>) -> Result<T>;
}

impl<T> AtPath<T> for std::io::Result<T> {
    fn at(self, path: impl Into<PathBuf>) -> Result<T> {
        self.map_err(|source| StackError::File {
            path: path.into(),
            source,
        })
    }
}
