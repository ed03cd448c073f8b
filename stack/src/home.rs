//! The state directory: `data/`, `logs/`, `run/`, `ports.json`, `endpoints.json`.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};

use crate::error::{AtPath, Result, StackError};

/// One state directory; two of them are two stacks that know nothing of each
/// other.
#[derive(Debug, Clone)]
pub(crate) struct Home(PathBuf);

impl Home {
    /// The home at this path, absolute from here on, whatever the working
    /// directory becomes.
    pub(crate) fn at(path: PathBuf) -> Self {
        Self(std::path::absolute(&path).unwrap_or(path))
    }

    /// `$MYPAY_HOME`, else `.mypay` at the root of the checkout that the
    /// working directory lies in, else `.mypay` in the working directory.
    pub(crate) fn default_path() -> PathBuf {
        if let Some(home) = std::env::var_os("MYPAY_HOME").filter(|home| !home.is_empty()) {
            return PathBuf::from(home);
        }
        let here = std::env::current_dir().unwrap_or_default();
        let checkout = here
            .ancestors()
            .find(|dir| dir.join("docker-compose.yml").is_file() && dir.join("topics").is_dir());
        checkout.unwrap_or(&here).join(".mypay")
    }

    /// The directory itself.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// What a service keeps between starts.
    pub(crate) fn data(&self, name: &str) -> PathBuf {
        self.0.join("data").join(name)
    }

    /// What a service prints.
    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.0.join("logs").join(format!("{name}.log"))
    }

    /// The record of a service's process.
    pub(crate) fn record(&self, name: &str) -> PathBuf {
        self.0.join("run").join(format!("{name}.json"))
    }

    /// The directory of those records.
    pub(crate) fn records(&self) -> PathBuf {
        self.0.join("run")
    }

    /// Where the servers are, for programs that did not start them.
    pub(crate) fn endpoints(&self) -> PathBuf {
        self.0.join("endpoints.json")
    }

    /// The ports chosen for this home.
    pub(crate) fn ports(&self) -> PathBuf {
        self.0.join("ports.json")
    }

    /// What tokens of this home are signed and checked with.
    pub(crate) fn token_key(&self) -> PathBuf {
        self.0.join("token.key")
    }

    /// Makes the directories.
    pub(crate) fn create(&self) -> Result<()> {
        for name in ["data", "logs", "run"] {
            let dir = self.0.join(name);
            std::fs::create_dir_all(&dir).at(dir)?;
        }
        Ok(())
    }

    /// One `up` or `down` of a home at a time. The lock is on the directory
    /// itself, so there is no lock file to be left behind.
    pub(crate) async fn lock(&self) -> Result<DirectoryLock> {
        lock_directory(&self.0).await
    }

    /// The last lines of a service's log.
    pub(crate) fn log_tail(&self, name: &str, lines: usize) -> String {
        tail(&self.log(name), lines)
    }
}

/// An exclusive lock on a directory, given back when dropped.
pub(crate) type DirectoryLock = Flock<File>;

/// Waits for the lock on `dir` without holding up the runtime.
pub(crate) async fn lock_directory(dir: &Path) -> Result<DirectoryLock> {
    let path = dir.to_owned();
    let locked = tokio::task::spawn_blocking(move || {
        std::fs::create_dir_all(&path).at(&path)?;
        let file = File::open(&path).at(&path)?;
        Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, errno)| StackError::File {
            path,
            source: errno.into(),
        })
    });
    locked
        .await
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
}

/// Replaces a file whole: a reader sees the old or the new one, never half.
pub(crate) fn write_whole(path: &Path, content: &[u8]) -> Result<()> {
    let new = path.with_extension("new");
    let mut file = File::create(&new).at(&new)?;
    file.write_all(content).at(&new)?;
    std::fs::rename(&new, path).at(path)
}

/// An empty directory, whatever was there.
pub(crate) fn fresh_directory(dir: &Path) -> Result<()> {
    if dir.exists() {
        std::fs::remove_dir_all(dir).at(dir)?;
    }
    std::fs::create_dir_all(dir).at(dir)
}

/// The last lines of a file, reading only its end.
pub(crate) fn tail(path: &Path, lines: usize) -> String {
    const END: u64 = 16 * 1024;
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(END)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let text = read()
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .unwrap_or_default();
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}
