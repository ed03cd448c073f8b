//! How clients reach the brokers: the one place where one is begun.
//!
//! Who the brokers must be and who we are (TLS, SASL) is said once, in a file of
//! librdkafka's properties that [`PROPERTIES`] names, and holds for each of a process's
//! clients: one that was forgotten would be found out only on the first cluster that
//! asks for a password. `clippy.toml` forbids to begin one elsewhere.

mod properties;
mod why;

use std::path::PathBuf;
use std::sync::OnceLock;

use rdkafka::config::ClientConfig;
use rdkafka::consumer::BaseConsumer;
use rdkafka::error::KafkaError;

use properties::Malformed;
pub use why::why_unreachable;

/// The variable with the path of the file.
pub const PROPERTIES: &str = "MYPAY_KAFKA_PROPERTIES";

/// What every client gets besides the brokers' addresses.
static SECURITY: OnceLock<Vec<(String, String)>> = OnceLock::new();

/// Why nobody can be reached by the file. No error repeats a value: it may be a password.
#[derive(Debug, thiserror::Error)]
pub enum PropertiesError {
    /// It is not there, or not to be read.
    #[error("{PROPERTIES}: {}: {why}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        why: std::io::Error,
    },
    /// A line of it is wrong.
    #[error("{PROPERTIES}: {}: {why}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: Malformed,
    },
    /// librdkafka does not take it: a property that it does not know, a value that is
    /// none, a certificate that is not there.
    #[error("{PROPERTIES}: {}: {why}", path.display())]
    Refused {
        /// The file.
        path: PathBuf,
        /// What librdkafka says.
        why: String,
    },
}

/// Reads the file that the environment names, for all clients of this process that begin
/// from here on; without the variable they speak in the clear and give no name. To be
/// called once, when a process begins.
///
/// # Errors
/// A file that is not there, a line that is none, a property that is not about
/// encryption or passwords, or that librdkafka refuses.
pub fn read_properties() -> Result<(), PropertiesError> {
    let Some(path) = std::env::var_os(PROPERTIES).filter(|path| !path.is_empty()) else {
        return Ok(());
    };
    let path = PathBuf::from(path);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(why) => return Err(PropertiesError::Unreadable { path, why }),
    };
    let security = match properties::parse(&text) {
        Ok(security) => security,
        Err(why) => return Err(PropertiesError::Malformed { path, why }),
    };
    if let Err(why) = try_out(&security) {
        return Err(PropertiesError::Refused { path, why });
    }
    // Read before already: the first word holds, as for the clients that have begun.
    let _ = SECURITY.set(security);
    Ok(())
}

/// A configuration of a client of these brokers, with all that is needed to reach them.
#[allow(clippy::disallowed_methods)]
pub fn client(bootstrap: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap);
    for (key, value) in SECURITY.get().into_iter().flatten() {
        config.set(key, value);
    }
    config
}

/// Makes a client, which connects to nobody: certificates are read when one is made.
#[allow(clippy::disallowed_methods)]
fn try_out(security: &[(String, String)]) -> Result<(), String> {
    let mut config = ClientConfig::new();
    // Nobody listens there; and it would say that there is no address at all.
    config.set("bootstrap.servers", "127.0.0.1:1");
    for (key, value) in security {
        config.set(key, value);
    }
    let tried: Result<BaseConsumer, KafkaError> = config.create();
    tried.map(drop).map_err(|error| match error {
        // librdkafka repeats the value, and rdkafka once more behind that.
        KafkaError::ClientConfig(_, why, key, value) if !value.is_empty() => {
            format!("{key}: {}", why.replace(&value, ".."))
        }
        KafkaError::ClientConfig(_, why, key, _) => format!("{key}: {why}"),
        KafkaError::ClientCreation(why) => why,
        other => other.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(lines: &[(&str, &str)]) -> String {
        let lines: Vec<_> = lines
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        try_out(&lines).expect_err("it is refused")
    }

    #[test]
    fn what_librdkafka_does_not_take_is_told_without_its_value() {
        let told = refused(&[("security.protocol", "hunter2")]);
        assert!(told.contains("security.protocol"), "{told}");
        assert!(!told.contains("hunter2"), "{told}");
        let told = refused(&[("ssl.no.such.thing", "1")]);
        assert!(told.contains("ssl.no.such.thing"), "{told}");
    }

    #[test]
    fn a_certificate_that_is_not_there_is_told_at_once() {
        let told = refused(&[
            ("security.protocol", "ssl"),
            ("ssl.ca.location", "/nowhere/ca.pem"),
        ]);
        assert!(told.contains("ssl.ca.location"), "{told}");
    }

    #[test]
    fn encryption_and_passwords_are_compiled_in() {
        let lines = [
            ("security.protocol", "SASL_SSL"),
            ("sasl.mechanism", "SCRAM-SHA-512"),
            ("sasl.username", "mypay"),
            ("sasl.password", "hunter2"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()));
        assert_eq!(try_out(&lines), Ok(()));
    }
}
