//! PostgreSQL as a local process: the system's server, with the settings that
//! the compose file gives to the image.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use nix::unistd::{User, geteuid};
use tokio::process::Command;

use crate::address::HOST;
use crate::compose::Service;
use crate::error::{Result, StackError};
use crate::launch::Launch;
use crate::record::Role;

/// The database's image, without its tag.
pub(crate) const IMAGE: &str = "postgres";

pub(crate) const HINT: &str = "run scripts/prerequisites (Debian: apt-get install postgresql)";

/// The programs and the user to run them as.
pub(crate) struct Installation {
    pub(crate) bin: PathBuf,
    pub(crate) user: Option<User>,
}

impl Installation {
    /// The server on `PATH`, else Debian's newest.
    pub(crate) fn find() -> Result<Self> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let on_path = std::env::split_paths(&path).find(|dir| dir.join("postgres").is_file());
        let bin = on_path.or_else(debian).ok_or_else(|| StackError::Missing {
            what: "the PostgreSQL server".to_owned(),
            hint: HINT,
        })?;
        // PostgreSQL refuses to run as root.
        let user = if geteuid().is_root() {
            Some(unprivileged()?)
        } else {
            None
        };
        Ok(Self { bin, user })
    }

    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.bin.join(program));
        if let Some(user) = &self.user {
            command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
        }
        command.stdin(Stdio::null()).current_dir("/");
        command
    }

    /// What to start.
    pub(crate) fn launch(&self, data: &Path, name: &str, service: &Service, port: u16) -> Launch {
        let mut args: Vec<_> = service
            .command()
            .into_iter()
            .skip(1)
            .map(Into::into)
            .collect();
        args.extend([
            "-D".into(),
            data.into(),
            format!("-cport={port}").into(),
            format!("-clisten_addresses={HOST}").into(),
            // No socket: its lock file would lie outside of the home.
            "-cunix_socket_directories=".into(),
        ]);
        Launch {
            name: name.to_owned(),
            role: Role::Database,
            program: self.bin.join("postgres"),
            args,
            env: Vec::new(),
            directory: Some("/".into()),
            user: self.user.clone(),
            stop_signal: service.stop_signal.clone(),
            grace: service.stop_grace_period(),
        }
    }
}

fn debian() -> Option<PathBuf> {
    let mut versions: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
        .ok()?
        .flatten()
        .filter_map(|entry| {
            Some((
                entry.file_name().to_str()?.parse().ok()?,
                entry.path().join("bin"),
            ))
        })
        .filter(|(_, bin)| bin.join("postgres").is_file())
        .collect();
    versions.sort();
    versions.pop().map(|(_, bin)| bin)
}

fn unprivileged() -> Result<User> {
    ["postgres", "nobody"]
        .iter()
        .find_map(|name| User::from_name(name).ok().flatten())
        .ok_or_else(|| StackError::Missing {
            what: "a user to run PostgreSQL as (it refuses root)".to_owned(),
            hint: "make a system user named postgres, or run as another user than root",
        })
}

/// The URL by which programs reach the database.
pub(crate) fn url(service: &Service, address: &str) -> Result<String> {
    let (user, password) = (
        service.variable("POSTGRES_USER")?,
        service.variable("POSTGRES_PASSWORD")?,
    );
    Ok(format!(
        "postgres://{user}:{password}@{address}/{}",
        service.variable("POSTGRES_DB")?
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compose::Compose;

    #[test]
    fn durability_is_on() {
        let compose = Compose::embedded().expect("parses");
        let (_, service) = compose.the_one_with_image(IMAGE).expect("one");
        let command = service.command();
        for setting in [
            "-cfsync=on",
            "-csynchronous_commit=on",
            "-cfull_page_writes=on",
        ] {
            assert!(command.iter().any(|word| word == setting), "{setting}");
        }
    }

    #[test]
    fn the_local_server_gets_every_setting_of_the_compose_file() {
        let compose = Compose::embedded().expect("parses");
        let (name, service) = compose.the_one_with_image(IMAGE).expect("one");
        let described: Vec<_> = service.command().into_iter().skip(1).collect();
        let installation = Installation {
            bin: "/bin".into(),
            user: None,
        };
        let launch = installation.launch(Path::new("/data"), name, service, 5);
        let described: Vec<std::ffi::OsString> = described.into_iter().map(Into::into).collect();
        assert_eq!(launch.args[..described.len()], described);
        assert_eq!(launch.stop_signal, "SIGINT");
    }
}
