//! The order in which servers start: as much at once as their needs allow.

use std::time::Duration;

use nix::sys::signal::Signal;

use crate::compose::Compose;
use crate::download::Cache;
use crate::error::{Result, StackError};
use crate::home::Home;
use crate::java;
use crate::kafka::{self, Distribution};
use crate::launch::Launch;
use crate::pgdata;
use crate::ports::Ports;
use crate::postgres::{self, Installation};
use crate::probe::Probe;
use crate::process::{Condition, wait_unused};
use crate::record::Record;
use crate::registry;

/// A broker that was killed reads its logs again before it is ready.
const READY_WITHIN: Duration = Duration::from_secs(120);

pub(crate) struct Starter<'a, P> {
    home: &'a Home,
    compose: &'a Compose,
    ports: Ports,
    progress: &'a P,
}

impl<'a, P: Fn(&str)> Starter<'a, P> {
    pub(crate) fn new(home: &'a Home, compose: &'a Compose, ports: Ports, progress: &'a P) -> Self {
        Self {
            home,
            compose,
            ports,
            progress,
        }
    }

    /// PostgreSQL and then the registry, beside the brokers.
    pub(crate) async fn all(&self) -> Result<()> {
        if self.is_up().await? {
            (self.progress)("already up");
            return Ok(());
        }
        let cache = Cache::open()?;
        let java = java::find(&cache, self.progress).await?;
        let brokers = self.compose.with_image(kafka::IMAGE);
        let version = brokers.first().map_or("", |(_, service)| service.version());
        let (registry_name, registry) = self.compose.the_one_with_image(registry::IMAGE)?;
        // Both before anything starts: one Maven at a time is kind to its
        // repository, and a failed download leaves nothing half up.
        let kafka = Distribution::get(&cache, version, &java, self.progress).await?;
        let apicurio = registry::get(&cache, registry.version(), self.progress).await?;
        let brokers = async {
            // All three start before the first is waited for: a broker is not
            // ready until a majority of them has elected a controller.
            let mut started = Vec::new();
            for (name, service) in brokers {
                let addresses = self.ports.addresses();
                let launch = || kafka.launch(self.home, &java, name, service, &addresses);
                started.push((name, self.start_unless_running(name, launch).await?));
            }
            for (name, record) in started {
                self.wait(name, record).await?;
            }
            Ok::<_, StackError>(())
        };
        let database = async {
            self.postgres().await?;
            let addresses = self.ports.addresses();
            let launch = || {
                registry::launch(
                    &apicurio,
                    self.home,
                    &java,
                    registry_name,
                    registry,
                    &addresses,
                )
            };
            let started = self.start_unless_running(registry_name, launch).await?;
            self.wait(registry_name, started).await
        };
        tokio::try_join!(brokers, database).map(drop)
    }

    async fn postgres(&self) -> Result<()> {
        let (name, service) = self.compose.the_one_with_image(postgres::IMAGE)?;
        if let Some(record) = self.running(name)
            && self.stays(&record).await?
        {
            return self.wait(name, None).await;
        }
        let installation = Installation::find()?;
        let data = installation
            .data(self.home, name, service, self.progress)
            .await?;
        if wait_unused(&data, Duration::from_secs(15)).await {
            pgdata::remove_stale_lock(&data)?;
        }
        let port = self.ports.addresses().port(name, 5432)?;
        let launch = || Ok(installation.launch(&data, name, service, port));
        let started = self.start_unless_running(name, launch).await?;
        self.wait(name, started).await
    }

    fn running(&self, name: &str) -> Option<Record> {
        Record::read(self.home, name).filter(|record| record.identity.is_alive())
    }

    async fn start_unless_running(
        &self,
        name: &str,
        launch: impl FnOnce() -> Result<Launch>,
    ) -> Result<Option<Record>> {
        if let Some(record) = self.running(name)
            && self.stays(&record).await?
        {
            return Ok(None);
        }
        self.ports.check_free(name).await?;
        (self.progress)(&format!("starting {name}"));
        launch()?.start(self.home).map(Some)
    }

    /// Is a process there to stay? One that was sent SIGKILL this moment is
    /// still seen for a while; one that was paused goes on.
    async fn stays(&self, record: &Record) -> Result<bool> {
        if record.identity.condition() == Condition::Paused {
            (self.progress)(&format!("{} was paused and goes on", record.name));
            for process in record.identity.tree() {
                let _ = process.signal(Signal::SIGCONT);
            }
        }
        let ready = probe(self.compose, self.ports, &record.name)?.ready().await;
        Ok(ready || !record.identity.wait_gone(Duration::from_secs(1)).await)
    }

    /// Waits until a service is ready, whether it was started now or before.
    async fn wait(&self, name: &str, started: Option<Record>) -> Result<()> {
        let fresh = started.is_some();
        let Some(record) = started.or_else(|| self.running(name)) else {
            return Err(crate::launch::died(self.home, name));
        };
        probe(self.compose, self.ports, name)?
            .wait(self.home, &record, READY_WITHIN)
            .await?;
        if fresh {
            (self.progress)(&format!("{name} is ready"));
        }
        Ok(())
    }

    async fn is_up(&self) -> Result<bool> {
        for name in servers(self.compose)? {
            if self.running(&name).is_none()
                || !probe(self.compose, self.ports, &name)?.ready().await
            {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// The services that we start from the compose file.
pub(crate) fn servers(compose: &Compose) -> Result<Vec<String>> {
    let brokers = compose
        .with_image(kafka::IMAGE)
        .into_iter()
        .map(|(name, _)| name);
    let others = [postgres::IMAGE, registry::IMAGE].map(|image| compose.the_one_with_image(image));
    let mut names: Vec<String> = brokers.map(str::to_owned).collect();
    for other in others {
        names.push(other?.0.to_owned());
    }
    Ok(names)
}

/// How to ask this service whether it is ready.
pub(crate) fn probe(compose: &Compose, ports: Ports, name: &str) -> Result<Probe> {
    let service = compose.service(name)?;
    let port = ports
        .of(name)
        .ok_or_else(|| StackError::Compose(format!("{name} has no port")))?;
    Ok(
        match service.image.rsplit_once(':').map(|(image, _)| image) {
            Some(kafka::IMAGE) => Probe::Kafka(port),
            Some(postgres::IMAGE) => Probe::Postgres {
                port,
                user: service.variable("POSTGRES_USER")?,
                database: service.variable("POSTGRES_DB")?,
            },
            // Lists the subjects: ready means that the storage behind it answers.
            _ => Probe::Http(format!(
                "http://{}:{port}{}/subjects",
                crate::address::HOST,
                registry::CONFLUENT_API
            )),
        },
    )
}
