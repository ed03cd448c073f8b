//! Where the servers are.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::address::{Addresses, HOST};
use crate::compose::Compose;
use crate::error::{Result, StackError};
use crate::home::{Home, write_whole};
use crate::kafka;
use crate::postgres;
use crate::registry;

/// The addresses that every program of ours needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoints {
    /// `host:port,host:port,..` of the brokers.
    pub kafka_bootstrap: String,
    /// Base URL of the registry's Confluent-compatible API.
    pub registry_url: String,
    /// `postgres://user:password@host:port/database`.
    pub database_url: String,
    /// Base URL of our HTTP edge.
    pub api_url: String,
    /// Base URL of the bank.
    pub bank_url: String,
}

impl Endpoints {
    /// The addresses for this process: each `MYPAY_*` variable that is set wins
    /// over what `$MYPAY_HOME/endpoints.json` says.
    ///
    /// # Errors
    /// [`StackError::NotUp`] names the first address that neither has.
    pub fn discover() -> Result<Self> {
        let home = Home::at(Home::default_path());
        Self::from_sources(|name| std::env::var(name).ok(), &home.endpoints())
    }

    fn from_sources(variable: impl Fn(&str) -> Option<String>, file: &Path) -> Result<Self> {
        let recorded = Self::read(file);
        let one = |name: &'static str, field: fn(Self) -> String| {
            variable(name)
                .filter(|value| !value.is_empty())
                .or_else(|| recorded.clone().map(field))
                .ok_or(StackError::NotUp {
                    variable: name,
                    looked: file.to_owned(),
                })
        };
        Ok(Self {
            kafka_bootstrap: one("MYPAY_KAFKA_BOOTSTRAP", |all| all.kafka_bootstrap)?,
            registry_url: one("MYPAY_REGISTRY_URL", |all| all.registry_url)?,
            database_url: one("MYPAY_DATABASE_URL", |all| all.database_url)?,
            api_url: one("MYPAY_API_URL", |all| all.api_url)?,
            bank_url: one("MYPAY_BANK_URL", |all| all.bank_url)?,
        })
    }

    pub(crate) fn read(file: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(file).ok()?).ok()
    }

    pub(crate) fn write(&self, home: &Home) -> Result<()> {
        write_whole(
            &home.endpoints(),
            &serde_json::to_vec_pretty(self).unwrap_or_default(),
        )
    }

    /// Of the local stack.
    pub(crate) fn local(compose: &Compose, addresses: &Addresses) -> Result<Self> {
        let (postgres_name, postgres) = compose.the_one_with_image(postgres::IMAGE)?;
        let (registry_name, _) = compose.the_one_with_image(registry::IMAGE)?;
        let brokers: Result<Vec<String>> = compose
            .with_image(kafka::IMAGE)
            .into_iter()
            .map(|(name, service)| addresses.socket(name, client_port(service)?))
            .collect();
        Ok(Self {
            kafka_bootstrap: brokers?.join(","),
            registry_url: format!(
                "http://{}{}",
                addresses.socket(registry_name, 8080)?,
                registry::CONFLUENT_API
            ),
            database_url: postgres::url(postgres, &addresses.socket(postgres_name, 5432)?)?,
            api_url: format!("http://{}", addresses.socket("edge", 8080)?),
            bank_url: format!("http://{}", addresses.socket("bank", 8080)?),
        })
    }

    /// Of the same stack in Docker: the published ports.
    pub(crate) fn published(compose: &Compose) -> Result<Self> {
        let ports = compose.names().map(|name| {
            let published = compose
                .service(name)
                .map(|service| service.ports.as_slice())
                .unwrap_or_default();
            published.iter().filter_map(move |port| {
                let mut parts = port.rsplit(':');
                let (inside, outside) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
                Some((name.to_owned(), inside, outside))
            })
        });
        Self::local(compose, &Addresses::new(ports.flatten()))
    }

    /// As environment variables, for a program that is started.
    pub fn variables(&self) -> [(&'static str, &str); 5] {
        [
            ("MYPAY_KAFKA_BOOTSTRAP", &self.kafka_bootstrap),
            ("MYPAY_REGISTRY_URL", &self.registry_url),
            ("MYPAY_DATABASE_URL", &self.database_url),
            ("MYPAY_API_URL", &self.api_url),
            ("MYPAY_BANK_URL", &self.bank_url),
        ]
    }
}

/// The port of the listener that is advertised to programs on this machine.
fn client_port(service: &crate::compose::Service) -> Result<u16> {
    let advertised = service.variable("KAFKA_ADVERTISED_LISTENERS")?;
    let port = advertised.split(',').find_map(|listener| {
        let (_, address) = listener.split_once("://")?;
        let (host, port) = address.rsplit_once(':')?;
        matches!(host, "localhost" | HOST).then(|| port.parse().ok())?
    });
    port.ok_or_else(|| StackError::Compose(format!("no listener for this machine in {advertised}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded() -> (std::path::PathBuf, Endpoints) {
        let compose = Compose::embedded().expect("parses");
        let endpoints = Endpoints::published(&compose).expect("complete");
        let file = std::env::temp_dir().join(format!(
            "mypay-endpoints-{}-{:?}.json",
            std::process::id(),
            std::thread::current().id()
        ));
        std::fs::write(&file, serde_json::to_vec(&endpoints).expect("json")).expect("written");
        (file, endpoints)
    }

    #[test]
    fn a_variable_wins_over_the_file_one_by_one() {
        let (file, recorded) = recorded();
        let variable =
            |name: &str| (name == "MYPAY_BANK_URL").then(|| "http://elsewhere".to_owned());
        let found = Endpoints::from_sources(variable, &file).expect("complete");
        std::fs::remove_file(&file).expect("removed");
        assert_eq!(
            found,
            Endpoints {
                bank_url: "http://elsewhere".to_owned(),
                ..recorded
            }
        );
    }

    #[test]
    fn without_either_the_error_says_what_to_do() {
        let error = Endpoints::from_sources(|_| None, Path::new("/nowhere.json"))
            .expect_err("nothing is known");
        assert!(error.to_string().contains("make up"), "{error}");
    }

    #[test]
    fn published_and_local_addresses_have_the_same_shape() {
        let compose = Compose::embedded().expect("parses");
        let local = Endpoints::local(&compose, &crate::ports::Ports::for_tests().addresses())
            .expect("complete");
        let published = Endpoints::published(&compose).expect("complete");
        assert_eq!(
            published.kafka_bootstrap,
            "127.0.0.1:19092,127.0.0.1:29092,127.0.0.1:39092"
        );
        for endpoints in [local, published] {
            assert_eq!(endpoints.kafka_bootstrap.split(',').count(), 3);
            assert!(
                endpoints.registry_url.ends_with("/apis/ccompat/v7"),
                "{}",
                endpoints.registry_url
            );
            assert!(
                endpoints
                    .database_url
                    .starts_with("postgres://mypay:mypay@127.0.0.1:"),
                "{}",
                endpoints.database_url
            );
        }
    }
}
