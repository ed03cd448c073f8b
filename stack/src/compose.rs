//! Reads `docker-compose.yml`, the one description of the stack.
//!
//! The file is compiled in, so the binary works from any directory and can
//! never meet a file of another version.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde_norway::Value;

use crate::error::{Result, StackError};
use crate::interpolate::interpolate;

const FILE: &str = include_str!("../../docker-compose.yml");

/// The services by name.
#[derive(Debug, Deserialize)]
pub(crate) struct Compose {
    services: BTreeMap<String, Service>,
}

/// What we use of a service; the rest is Docker's.
#[derive(Debug, Deserialize)]
pub(crate) struct Service {
    /// Name and tag: `apache/kafka:4.3.1`.
    #[serde(default)]
    pub(crate) image: String,
    #[serde(default)]
    environment: BTreeMap<String, Value>,
    #[serde(default)]
    command: Vec<String>,
    /// Signal of an orderly stop.
    #[serde(default = "sigterm")]
    pub(crate) stop_signal: String,
    /// How long an orderly stop may take, as in the file (`15s`).
    #[serde(default = "ten_seconds")]
    stop_grace_period: String,
    /// Published ports: `127.0.0.1:15432:5432`.
    #[serde(default)]
    pub(crate) ports: Vec<String>,
}

fn sigterm() -> String {
    "SIGTERM".to_owned()
}

fn ten_seconds() -> String {
    "10s".to_owned()
}

impl Compose {
    /// The file that this binary was built with.
    ///
    /// # Errors
    /// Only when the file is not what this crate expects; a test keeps it so.
    pub(crate) fn embedded() -> Result<Self> {
        Self::parse(FILE)
    }

    fn parse(text: &str) -> Result<Self> {
        let wrong = |error: serde_norway::Error| StackError::Compose(error.to_string());
        let mut value: Value = serde_norway::from_str(text).map_err(wrong)?;
        // `<<: *anchor` is not resolved by the parser itself.
        value.apply_merge().map_err(wrong)?;
        serde_norway::from_value(value).map_err(wrong)
    }

    /// The services that run this image, whatever its tag, in order of name.
    pub(crate) fn with_image(&self, image: &str) -> Vec<(&str, &Service)> {
        self.services
            .iter()
            .filter(|(_, service)| {
                service
                    .image
                    .rsplit_once(':')
                    .is_some_and(|(name, _)| name == image)
            })
            .map(|(name, service)| (name.as_str(), service))
            .collect()
    }

    /// The only service that runs this image.
    ///
    /// # Errors
    /// When there is none, or more than one.
    pub(crate) fn the_one_with_image(&self, image: &str) -> Result<(&str, &Service)> {
        match self.with_image(image)[..] {
            [one] => Ok(one),
            ref others => Err(StackError::Compose(format!(
                "{} services with image {image}, not 1",
                others.len()
            ))),
        }
    }

    /// The service of that name.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) fn service(&self, name: &str) -> Result<&Service> {
        self.services
            .get(name)
            .ok_or_else(|| StackError::Compose(format!("no service {name}")))
    }

    /// The names of all services.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.services.keys().map(String::as_str)
    }
}

impl Service {
    /// The image's tag: the version to run.
    pub(crate) fn version(&self) -> &str {
        self.image.rsplit_once(':').map_or("", |(_, tag)| tag)
    }

    /// The environment with variables put in, as Docker would see it.
    pub(crate) fn environment(&self) -> BTreeMap<String, String> {
        self.environment
            .iter()
            .map(|(key, value)| {
                (
                    key.clone(),
                    interpolate(&scalar(value), |name| std::env::var(name).ok()),
                )
            })
            .collect()
    }

    /// One variable of the environment.
    ///
    /// # Errors
    /// When it is not set.
    pub(crate) fn variable(&self, name: &str) -> Result<String> {
        self.environment()
            .remove(name)
            .ok_or_else(|| StackError::Compose(format!("{} has no {name}", self.image)))
    }

    /// The command with its arguments.
    pub(crate) fn command(&self) -> Vec<String> {
        self.command
            .iter()
            .map(|word| interpolate(word, |name| std::env::var(name).ok()))
            .collect()
    }

    /// How long an orderly stop may take.
    pub(crate) fn stop_grace_period(&self) -> Duration {
        let seconds = self
            .stop_grace_period
            .trim_end_matches('s')
            .parse()
            .unwrap_or(10);
        Duration::from_secs(seconds)
    }
}

fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(truth) => truth.to_string(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = r#"
x-shared: &shared
  image: apache/kafka:4.3.1
  stop_grace_period: 15s
x-environment: &environment
  KAFKA_NODE_ID: 9
  KAFKA_MIN_INSYNC_REPLICAS: "2"
services:
  kafka-1:
    <<: *shared
    environment:
      <<: *environment
      KAFKA_NODE_ID: 1
  postgres:
    image: postgres:15
    command: ["postgres", "-cfsync=on"]
    stop_signal: SIGINT
"#;

    #[test]
    fn merged_keys_are_seen_and_own_keys_win() {
        let compose = Compose::parse(SMALL).expect("parses");
        let (name, kafka) = compose
            .the_one_with_image("apache/kafka")
            .expect("one broker");
        assert_eq!((name, kafka.version()), ("kafka-1", "4.3.1"));
        assert_eq!(kafka.environment()["KAFKA_NODE_ID"], "1");
        assert_eq!(kafka.environment()["KAFKA_MIN_INSYNC_REPLICAS"], "2");
        assert_eq!(kafka.stop_grace_period(), Duration::from_secs(15));
    }

    #[test]
    fn a_stop_signal_has_dockers_default() {
        let compose = Compose::parse(SMALL).expect("parses");
        assert_eq!(
            compose.service("kafka-1").expect("there").stop_signal,
            "SIGTERM"
        );
        assert_eq!(
            compose.service("postgres").expect("there").stop_signal,
            "SIGINT"
        );
    }

    #[test]
    fn the_real_file_names_every_server_once() {
        let compose = Compose::embedded().expect("parses");
        assert_eq!(compose.with_image(crate::kafka::IMAGE).len(), 3);
        compose
            .the_one_with_image(crate::registry::IMAGE)
            .expect("one registry");
        compose
            .the_one_with_image(crate::postgres::IMAGE)
            .expect("one PostgreSQL");
    }
}
