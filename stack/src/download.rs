//! What is fetched once a machine, and shared by all checkouts on it.

use std::path::{Path, PathBuf};

use tokio::process::Command;

use crate::error::{AtPath, Result, StackError};
use crate::home::lock_directory;

/// `$XDG_CACHE_HOME/mypay`, else `~/.cache/mypay`.
pub(crate) struct Cache(PathBuf);

impl Cache {
    pub(crate) fn open() -> Result<Self> {
        let set = |name| {
            std::env::var_os(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        let dir = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")));
        dir.map(|dir| Self(dir.join("mypay")))
            .ok_or(StackError::Missing {
                what: "a place for downloads".to_owned(),
                hint: "set HOME or XDG_CACHE_HOME",
            })
    }

    /// The directory `name`, made by `make` if it is not there yet. What `make`
    /// fills is moved into place whole, so that an interrupted download is
    /// never taken for a complete one; two starts at once wait for each other.
    pub(crate) async fn get(
        &self,
        name: &str,
        make: impl AsyncFnOnce(&Path) -> Result<()>,
    ) -> Result<PathBuf> {
        let there = self.0.join(name);
        if there.is_dir() {
            return Ok(there);
        }
        let _lock = lock_directory(&self.0).await?;
        if there.is_dir() {
            return Ok(there);
        }
        let partial = self.0.join(format!("{name}.partial"));
        if partial.exists() {
            std::fs::remove_dir_all(&partial).at(&partial)?;
        }
        std::fs::create_dir_all(&partial).at(&partial)?;
        make(&partial).await?;
        std::fs::rename(&partial, &there).at(&there)?;
        Ok(there)
    }
}

/// Runs a tool to its end, with what it printed as the error.
pub(crate) async fn run(what: &str, command: &mut Command, hint: &'static str) -> Result<()> {
    let program = PathBuf::from(command.as_std().get_program());
    let output = command
        .output()
        .await
        .map_err(|source| match source.kind() {
            std::io::ErrorKind::NotFound => StackError::Missing {
                what: program.display().to_string(),
                hint,
            },
            _ => StackError::Start { program, source },
        })?;
    if output.status.success() {
        return Ok(());
    }
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    Err(StackError::Failed {
        what: what.to_owned(),
        status: output.status.to_string(),
        output: lines[lines.len().saturating_sub(12)..].join("\n"),
    })
}

/// Maven, quiet and without questions.
pub(crate) fn maven() -> Command {
    let mut command = Command::new("mvn");
    command.args(["-q", "-B", "-Dstyle.color=never"]);
    command
}

pub(crate) const MAVEN_HINT: &str = "run scripts/prerequisites (Debian: apt-get install maven)";
