//! A new data directory for PostgreSQL, as its image would make it.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use nix::unistd::chown;
use tokio::io::AsyncWriteExt;

use crate::compose::Service;
use crate::download::run;
use crate::error::{AtPath, Result, StackError};
use crate::home::{Home, fresh_directory, tail};
use crate::pgdata;
use crate::postgres::{HINT, Installation};

/// The same script that the image runs when its data directory is new.
const FIRST_TIME: &str = include_str!("../../ops/postgres/registry.sql");

impl Installation {
    /// The data directory, initialised if it is new.
    pub(crate) async fn data(
        &self,
        home: &Home,
        name: &str,
        service: &Service,
        progress: &impl Fn(&str),
    ) -> Result<PathBuf> {
        let data = pgdata::locate(home, name, self.user.as_ref())?;
        if data.join("PG_VERSION").is_file() {
            return Ok(data);
        }
        progress("initialising PostgreSQL's data directory");
        let new = data.with_extension("new");
        fresh_directory(&new)?;
        pgdata::private(&new)?;
        if let Some(user) = &self.user {
            chown(&new, Some(user.uid), Some(user.gid))
                .map_err(std::io::Error::from)
                .at(&new)?;
        }
        self.initialise(&new, home, name, service).await?;
        if data.exists() {
            std::fs::remove_dir(&data).at(&data)?;
        }
        std::fs::rename(&new, &data).at(&data)?;
        Ok(data)
    }

    /// As the image does: the user with its password, its database, and the
    /// first-time scripts. Single-user mode needs no port, no socket, no client.
    async fn initialise(
        &self,
        data: &Path,
        home: &Home,
        name: &str,
        service: &Service,
    ) -> Result<()> {
        let user = service.variable("POSTGRES_USER")?;
        let mut initdb = self.command("initdb");
        initdb.args(service.variable("POSTGRES_INITDB_ARGS")?.split_whitespace());
        initdb
            .args([
                "--auth-host=scram-sha-256",
                "--auth-local=trust",
                "--username",
                &user,
                "-D",
            ])
            .arg(data);
        run("initdb", &mut initdb, HINT).await?;

        let password = service.variable("POSTGRES_PASSWORD")?;
        let database = service.variable("POSTGRES_DB")?;
        let script = format!(
            "ALTER ROLE {user} PASSWORD '{}';\nCREATE DATABASE {database};\n{FIRST_TIME}",
            password.replace('\'', "''"),
        );
        let log = home.log(name);
        let output = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log)
            .at(&log)?;
        let mut single = self.command("postgres");
        // -j: a statement ends with a semicolon and an empty line.
        single
            .args(["--single", "-j", "-c", "exit_on_error=on", "-D"])
            .arg(data)
            .arg("postgres");
        single
            .stdin(Stdio::piped())
            .stdout(output.try_clone().at(&log)?)
            .stderr(output);
        let start = |source| StackError::Start {
            program: self.bin.join("postgres"),
            source,
        };
        let mut child = single.spawn().map_err(start)?;
        if let Some(mut input) = child.stdin.take() {
            // A server that ended early is seen by its status below.
            let _ = input
                .write_all(script.replace(";\n", ";\n\n").as_bytes())
                .await;
        }
        let status = child.wait().await.map_err(start)?;
        if status.success() {
            return Ok(());
        }
        Err(StackError::Failed {
            what: "making the databases".to_owned(),
            status: status.to_string(),
            output: tail(&log, 12),
        })
    }
}
