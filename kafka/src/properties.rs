//! The file of properties: `key=value` lines, as Kafka's own tools and kcat have them.

/// What a file may say; all else is the program's own to choose.
const ALLOWED: [&str; 3] = ["security.protocol", "ssl.", "sasl."];

/// How a password is proven. librdkafka would also take OAUTHBEARER, and never get a token.
const MECHANISMS: [&str; 3] = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"];

/// What is wrong with a file.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Neither a comment nor a property.
    #[error("line {0} is not key=value (a comment begins with #)")]
    NoProperty(usize),
    /// Not about encryption or passwords.
    #[error(
        "line {line}: `{key}` is not for this file, which has security.protocol, ssl.* and \
         sasl.* as librdkafka names them (of a Java client's: ssl.ca.location with a PEM file \
         stands for its truststore, sasl.username and sasl.password for its sasl.jaas.config)"
    )]
    NotAllowed {
        /// Which line, from 1.
        line: usize,
        /// Its key.
        key: String,
    },
    /// A mechanism for which nobody here gives a token or a ticket.
    #[error("line {line}: sasl.mechanism has PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512 here")]
    Mechanism {
        /// Which line, from 1.
        line: usize,
    },
    /// Said before.
    #[error("line {line}: `{key}` is there twice")]
    Twice {
        /// Which line, from 1.
        line: usize,
        /// Its key.
        key: String,
    },
}

/// The properties of a file, in its order.
pub(crate) fn parse(text: &str) -> Result<Vec<(String, String)>, Malformed> {
    let mut properties: Vec<(String, String)> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let (number, line) = (number + 1, line.trim());
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let Some((key, value)) = line.split_once('=') else {
            return Err(Malformed::NoProperty(number));
        };
        let (key, value) = (key.trim().to_owned(), value.trim().to_owned());
        if !is_allowed(&key) {
            return Err(Malformed::NotAllowed { line: number, key });
        }
        let is_mechanism = ["sasl.mechanism", "sasl.mechanisms"].contains(&&*key);
        if is_mechanism && !MECHANISMS.contains(&&*value) {
            return Err(Malformed::Mechanism { line: number });
        }
        if properties.iter().any(|(said, _)| *said == key) {
            return Err(Malformed::Twice { line: number, key });
        }
        properties.push((key, value));
    }
    Ok(properties)
}

fn is_allowed(key: &str) -> bool {
    // A Java client's, which librdkafka does not know; its own error would not say what to
    // write instead.
    let java = ["sasl.jaas.config", "ssl.truststore", "ssl.keystore.type"];
    ALLOWED
        .iter()
        .any(|allowed| key == *allowed || allowed.ends_with('.') && key.starts_with(allowed))
        && !java.iter().any(|java| key.starts_with(java))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_blanks_and_equals_signs_in_values_are_understood() {
        let text = "# who we are\n\nsecurity.protocol = SASL_SSL\r\nsasl.password=a=b # c \n";
        let properties = parse(text).expect("well formed");
        let of = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        // A password may have a # in it.
        assert_eq!(
            properties,
            [
                of("security.protocol", "SASL_SSL"),
                of("sasl.password", "a=b # c")
            ]
        );
    }

    #[test]
    fn what_the_program_chooses_cannot_be_overridden() {
        for key in [
            "acks",
            "enable.idempotence",
            "bootstrap.servers",
            "security.protocol.x",
            "sasl.jaas.config",
            "ssl.truststore.location",
        ] {
            let refused = parse(&format!("ssl.ca.location=/ca.pem\n{key}=1"));
            let key = key.to_owned();
            assert_eq!(refused, Err(Malformed::NotAllowed { line: 2, key }));
        }
    }

    #[test]
    fn a_mechanism_that_nobody_serves_is_refused() {
        let parsed = |mechanism| parse(&format!("sasl.mechanism={mechanism}"));
        assert_eq!(parsed("OAUTHBEARER"), Err(Malformed::Mechanism { line: 1 }));
        assert!(parsed("SCRAM-SHA-512").is_ok());
    }

    #[test]
    fn a_line_that_is_none_is_told_by_its_number() {
        assert_eq!(parse("\nhunter2"), Err(Malformed::NoProperty(2)));
        let key = "sasl.username".to_owned();
        let twice = parse("sasl.username=a\nsasl.username=b");
        assert_eq!(twice, Err(Malformed::Twice { line: 2, key }));
    }
}
