//! Turns the compose network's addresses into local ones.
//!
//! `kafka-2:9093` in any setting becomes `127.0.0.1:<port of kafka-2's 9093>`;
//! so does `localhost:29092` or `://:9092`, which mean the service itself.
//! This is all that may differ between Docker and the local stack.

use std::collections::BTreeMap;

use crate::error::{Result, StackError};

/// Where everything listens on this machine.
pub(crate) const HOST: &str = "127.0.0.1";

/// The local port of each service's container port.
#[derive(Debug, Clone, Default)]
pub(crate) struct Addresses(BTreeMap<(String, u16), u16>);

impl Addresses {
    pub(crate) fn new(ports: impl IntoIterator<Item = (String, u16, u16)>) -> Self {
        Self(
            ports
                .into_iter()
                .map(|(service, inside, local)| ((service, inside), local))
                .collect(),
        )
    }

    /// The local port of a service's container port.
    ///
    /// # Errors
    /// When no port was given to it (see `ports.rs`).
    pub(crate) fn port(&self, service: &str, inside: u16) -> Result<u16> {
        self.0
            .get(&(service.to_owned(), inside))
            .copied()
            .ok_or_else(|| {
                StackError::Compose(format!(
                    "{service}:{inside} has no local port (stack/src/ports.rs)"
                ))
            })
    }

    /// `127.0.0.1:port` of a service's container port.
    ///
    /// # Errors
    /// As [`Addresses::port`].
    pub(crate) fn socket(&self, service: &str, inside: u16) -> Result<String> {
        Ok(format!("{HOST}:{}", self.port(service, inside)?))
    }

    /// A setting of `service` with all addresses made local.
    ///
    /// # Errors
    /// When it names a service's port that has no local one.
    pub(crate) fn localise(&self, service: &str, setting: &str) -> Result<String> {
        let mut out = String::with_capacity(setting.len());
        let mut rest = setting;
        while let Some(colon) = rest.find(':') {
            let (before, after) = (&rest[..colon], &rest[colon + 1..]);
            let host_at = before
                .rfind(|c: char| !is_host_char(c))
                .map_or(0, |at| at + 1);
            let host = &before[host_at..];
            let digits = after.len() - after.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            let owner = self.owner(service, host, before);
            match (owner, after[..digits].parse::<u16>()) {
                (Some(owner), Ok(inside)) => {
                    out.push_str(&before[..host_at]);
                    out.push_str(&self.socket(owner, inside)?);
                    rest = &after[digits..];
                }
                _ => {
                    out.push_str(&rest[..=colon]);
                    rest = after;
                }
            }
        }
        out.push_str(rest);
        Ok(out)
    }

    /// Whose port `host:` means, if it is one of ours.
    fn owner<'a>(&self, own: &'a str, host: &'a str, before: &str) -> Option<&'a str> {
        match host {
            "localhost" | "0.0.0.0" | HOST => Some(own),
            // A listener on all interfaces: `INTERNAL://:9092`.
            "" if before.ends_with("//") => Some(own),
            _ if self.0.keys().any(|(service, _)| service == host) => Some(host),
            _ => None,
        }
    }
}

fn is_host_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '-' || c == '.'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses() -> Addresses {
        Addresses::new([
            ("kafka-1".to_owned(), 9092, 1001),
            ("kafka-1".to_owned(), 9093, 1002),
            ("kafka-2".to_owned(), 9093, 1003),
            ("kafka-2".to_owned(), 29092, 1004),
            ("postgres".to_owned(), 5432, 1005),
        ])
    }

    #[track_caller]
    fn check(service: &str, setting: &str, expected: &str) {
        assert_eq!(
            addresses().localise(service, setting).expect("known"),
            expected
        );
    }

    #[test]
    fn addresses_of_other_services_become_local() {
        check(
            "kafka-2",
            "1@kafka-1:9093,2@kafka-2:9093",
            "1@127.0.0.1:1002,2@127.0.0.1:1003",
        );
        check(
            "registry",
            "jdbc:postgresql://postgres:5432/registry",
            "jdbc:postgresql://127.0.0.1:1005/registry",
        );
    }

    #[test]
    fn a_service_listens_at_its_own_local_port_only() {
        check(
            "kafka-1",
            "CONTROLLER://:9093,INTERNAL://:9092",
            "CONTROLLER://127.0.0.1:1002,INTERNAL://127.0.0.1:1001",
        );
        check("kafka-2", "HOST://localhost:29092", "HOST://127.0.0.1:1004");
    }

    #[test]
    fn what_is_no_address_stays() {
        check(
            "kafka-1",
            "CONTROLLER:PLAINTEXT,HOST:PLAINTEXT",
            "CONTROLLER:PLAINTEXT,HOST:PLAINTEXT",
        );
        check(
            "kafka-1",
            "at 12:30, example.org:9092",
            "at 12:30, example.org:9092",
        );
    }

    #[test]
    fn a_port_that_nobody_gave_is_an_error() {
        let error = addresses()
            .localise("kafka-1", "INTERNAL://:7777")
            .expect_err("unknown");
        assert!(error.to_string().contains("kafka-1:7777"), "{error}");
    }
}
