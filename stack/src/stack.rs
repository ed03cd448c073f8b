//! The stack of one home: up, down, and single processes.

use std::path::{Path, PathBuf};

use crate::compose::Compose;
use crate::endpoints::Endpoints;
use crate::error::{AtPath, Result, StackError};
use crate::home::Home;
use crate::launch::stop;
use crate::pgdata;
use crate::ports::Ports;
use crate::postgres;
use crate::record::{Record, Role};
use crate::start::Starter;
use crate::token_key;

/// The servers and programs of one state directory.
#[derive(Debug, Clone)]
pub struct Stack {
    home: Home,
}

impl Stack {
    /// The stack whose state lies in `home`. Nothing is started.
    pub fn at(home: PathBuf) -> Self {
        Self {
            home: Home::at(home),
        }
    }

    /// The stack of `$MYPAY_HOME`, else of this checkout.
    pub fn of_this_checkout() -> Self {
        Self::at(Home::default_path())
    }

    /// The state directory.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Starts every server that does not run, and waits until all are ready.
    /// What runs already is left alone; what died starts again on its data.
    ///
    /// # Errors
    /// What is missing on the machine, or the log's end of the server that did
    /// not start. What did start goes on running: `down` stops it.
    pub async fn up(&self, progress: impl Fn(&str)) -> Result<Endpoints> {
        self.home.create()?;
        let _lock = self.home.lock().await?;
        let compose = Compose::embedded()?;
        let movable = !Record::all(&self.home)
            .iter()
            .any(|record| record.identity.is_alive());
        let ports = Ports::choose(&self.home, movable).await?;
        let endpoints = Endpoints::local(&compose, &ports.addresses())?;
        Starter::new(&self.home, &compose, ports, &progress)
            .all()
            .await?;
        endpoints.write(&self.home)?;
        if token_key::make(&self.home)? {
            progress(&format!(
                "a key for tokens of this stack is in {}; `mypay token` makes one with it",
                self.token_key().display()
            ));
        }
        Ok(endpoints)
    }

    /// The file with the key that tokens of this stack are made and checked with.
    pub fn token_key(&self) -> PathBuf {
        self.home.token_key()
    }

    /// Stops everything that was started in this home: our programs, then the
    /// registry, then brokers and database. With `wipe`, deletes its state too.
    ///
    /// # Errors
    /// When something cannot be signalled or removed.
    pub async fn down(&self, wipe: bool, progress: impl Fn(&str)) -> Result<()> {
        if !self.home.path().is_dir() {
            return Ok(());
        }
        let _lock = self.home.lock().await?;
        let order: [&[Role]; 3] = [
            &[Role::Program],
            &[Role::Registry],
            &[Role::Broker, Role::Database],
        ];
        for roles in order {
            self.stop_all(roles, &progress).await?;
        }
        remove_file(&self.home.endpoints())?;
        if wipe {
            self.wipe()?;
            progress("its data is deleted");
        }
        Ok(())
    }

    async fn stop_all(&self, roles: &[Role], progress: &impl Fn(&str)) -> Result<()> {
        let mut stops = tokio::task::JoinSet::new();
        for record in Record::all(&self.home)
            .into_iter()
            .filter(|record| roles.contains(&record.role))
        {
            let home = self.home.clone();
            stops.spawn(async move {
                (
                    record.name.clone(),
                    stop(&home, &record, record.grace()).await,
                )
            });
        }
        while let Some(stopped) = stops.join_next().await {
            let (name, outcome) =
                stopped.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()));
            progress(&format!(
                "{name} {}",
                if outcome? {
                    "killed: it did not stop in time"
                } else {
                    "stopped"
                }
            ));
        }
        Ok(())
    }

    fn wipe(&self) -> Result<()> {
        let compose = Compose::embedded()?;
        pgdata::remove(&self.home, compose.the_one_with_image(postgres::IMAGE)?.0)?;
        for dir in ["data", "logs", "run"].map(|dir| self.home.path().join(dir)) {
            if dir.exists() {
                std::fs::remove_dir_all(&dir).at(&dir)?;
            }
        }
        remove_file(&self.home.ports())?;
        remove_file(&self.home.token_key())?;
        // Only if nothing else was put there.
        let _ = std::fs::remove_dir(self.home.path());
        Ok(())
    }

    /// Writes down that the servers run in Docker: the ports that
    /// `docker-compose.yml` publishes become this home's endpoints.
    ///
    /// # Errors
    /// When the home cannot be written.
    pub fn use_docker(&self) -> Result<Endpoints> {
        self.home.create()?;
        let endpoints = Endpoints::published(&Compose::embedded()?)?;
        endpoints.write(&self.home)?;
        token_key::make(&self.home)?;
        Ok(endpoints)
    }

    /// The addresses of this stack, if it was brought up.
    ///
    /// # Errors
    /// [`StackError::NotUp`] when it was not.
    pub fn endpoints(&self) -> Result<Endpoints> {
        let looked = self.home.endpoints();
        Endpoints::read(&looked).ok_or(StackError::NotUp {
            variable: "stack",
            looked,
        })
    }

    /// The end of a service's log.
    pub fn log_tail(&self, name: &str, lines: usize) -> String {
        self.home.log_tail(name, lines)
    }

    /// The file that a service's output goes to.
    pub fn log(&self, name: &str) -> PathBuf {
        self.home.log(name)
    }

    pub(crate) fn state(&self) -> &Home {
        &self.home
    }
}

fn remove_file(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error).at(path),
        _ => Ok(()),
    }
}
