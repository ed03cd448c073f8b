//! A broker's files: the image's environment becomes the same
//! `server.properties` that the image itself would write.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use crate::address::Addresses;
use crate::error::{Result, StackError};

/// Variables that the image takes for the JVM or the log, not for the broker
/// (kafka.docker.KafkaDockerWrapper, `ExcludeServerPropsEnv`).
const NOT_PROPERTIES: [&str; 11] = [
    "KAFKA_VERSION",
    "KAFKA_HEAP_OPTS",
    "KAFKA_LOG4J_OPTS",
    "KAFKA_OPTS",
    "KAFKA_JMX_OPTS",
    "KAFKA_JVM_PERFORMANCE_OPTS",
    "KAFKA_GC_LOG_OPTS",
    "KAFKA_LOG4J_ROOT_LOGLEVEL",
    "KAFKA_LOG4J_LOGGERS",
    "KAFKA_TOOLS_LOG4J_LOGLEVEL",
    "KAFKA_JMX_HOSTNAME",
];

/// The broker's settings: the image's rule for names, local addresses, and the
/// one path.
pub(crate) fn server_properties(
    name: &str,
    environment: &BTreeMap<String, String>,
    addresses: &Addresses,
    log: &Path,
) -> Result<BTreeMap<String, String>> {
    let mut properties = BTreeMap::new();
    for (variable, value) in environment {
        if let Some(key) = property(variable) {
            properties.insert(key, addresses.localise(name, value)?);
        }
    }
    for needed in ["node.id", "listeners", "advertised.listeners", "log.dirs"] {
        if !properties.contains_key(needed) {
            return Err(StackError::Compose(format!("{name} sets no {needed}")));
        }
    }
    properties.insert("log.dirs".to_owned(), log.display().to_string());
    Ok(properties)
}

/// `KAFKA_MIN_INSYNC_REPLICAS` -> `min.insync.replicas`; `__` is `_` and `___`
/// is `-`, replaced in the image's order.
fn property(variable: &str) -> Option<String> {
    let rest = variable
        .strip_prefix("KAFKA_")
        .filter(|_| !NOT_PROPERTIES.contains(&variable))?;
    Some(
        rest.to_lowercase()
            .replace('_', ".")
            .replace("...", "-")
            .replace("..", "_"),
    )
}

pub(crate) fn render(properties: &BTreeMap<String, String>) -> String {
    let mut text =
        String::from("# Written by `mypay stack up` from docker-compose.yml; change it there.\n");
    for (key, value) in properties {
        let _ = writeln!(text, "{key}={value}");
    }
    text
}

pub(crate) fn log4j_properties(environment: &BTreeMap<String, String>) -> String {
    let level = environment
        .get("KAFKA_LOG4J_ROOT_LOGLEVEL")
        .map_or("INFO", String::as_str);
    format!(
        "appender.out.type = Console\nappender.out.name = OUT\nappender.out.layout.type = PatternLayout\n\
         appender.out.layout.pattern = [%d] %p %m (%c)%n\n\
         rootLogger.level = {level}\nrootLogger.appenderRef.out.ref = OUT\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compose::Compose;
    use crate::kafka::IMAGE;

    #[test]
    fn variables_become_properties_by_the_images_rule() {
        let names = [
            "KAFKA_MIN_INSYNC_REPLICAS",
            "KAFKA_A__B",
            "KAFKA_A___B",
            "KAFKA_HEAP_OPTS",
            "CLUSTER_ID",
        ];
        let expected = [
            Some("min.insync.replicas"),
            Some("a_b"),
            Some("a-b"),
            None,
            None,
        ];
        assert_eq!(
            names.map(property),
            expected.map(|name| name.map(str::to_owned))
        );
    }

    /// The local broker has every setting of the compose file, and but for
    /// addresses and the path with the same value.
    #[test]
    fn the_local_broker_cannot_drift_from_the_compose_file() {
        let compose = Compose::embedded().expect("parses");
        let addresses = crate::ports::Ports::for_tests().addresses();
        for (name, service) in compose.with_image(IMAGE) {
            let environment = service.environment();
            let local = server_properties(name, &environment, &addresses, Path::new("/log"))
                .expect("complete");
            let described: BTreeMap<String, String> = environment
                .into_iter()
                .filter_map(|(key, value)| Some((property(&key)?, value)))
                .collect();
            let differing: Vec<&str> = described
                .iter()
                .filter(|(key, value)| local.get(*key) != Some(value))
                .map(|(key, _)| key.as_str())
                .collect();
            assert_eq!(
                differing,
                [
                    "advertised.listeners",
                    "controller.quorum.voters",
                    "listeners",
                    "log.dirs"
                ]
            );
            assert_eq!(described.len(), local.len());
        }
    }

    #[test]
    fn what_the_design_asks_of_brokers_is_set() {
        let compose = Compose::embedded().expect("parses");
        for (_, service) in compose.with_image(IMAGE) {
            for (variable, value) in [
                ("KAFKA_DEFAULT_REPLICATION_FACTOR", "3"),
                ("KAFKA_MIN_INSYNC_REPLICAS", "2"),
                ("KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR", "3"),
                ("KAFKA_TRANSACTION_STATE_LOG_MIN_ISR", "2"),
                ("KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR", "3"),
                ("KAFKA_AUTO_CREATE_TOPICS_ENABLE", "false"),
                ("KAFKA_UNCLEAN_LEADER_ELECTION_ENABLE", "false"),
            ] {
                assert_eq!(
                    service.variable(variable).expect("set"),
                    value,
                    "{variable}"
                );
            }
        }
    }
}
