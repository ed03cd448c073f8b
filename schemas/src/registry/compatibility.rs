//! Whether two versions of a schema read each other's messages.

use apache_avro::Schema;
use apache_avro::schema_compatibility::{Compatibility, SchemaCompatibility};

/// Parses a schema's text, or says why it is none.
pub(super) fn parse(text: &str) -> Result<Schema, String> {
    Schema::parse_str(text).map_err(|error| format!("no Avro schema: {error}"))
}

/// Why a reader with one of the schemas could fail on a message of the other;
/// `None` where both always succeed.
pub(super) fn broken(before: &str, after: &str) -> Option<String> {
    let (before, after) = match (parse(before), parse(after)) {
        (Ok(before), Ok(after)) => (before, after),
        (Err(reason), _) => return Some(format!("the earlier one: {reason}")),
        (_, Err(reason)) => return Some(reason),
    };
    let directions = [
        ("a new reader fails on an old message", &before, &after),
        ("an old reader fails on a new message", &after, &before),
    ];
    directions.into_iter().find_map(|(what, writer, reader)| {
        let reason = match SchemaCompatibility::can_read(writer, reader) {
            Ok(Compatibility::Full) => return None,
            // For Avro's own rules this passes, but some messages would not.
            Ok(Compatibility::Partial) => {
                "an enum symbol or a branch of a union is not known to the reader".to_owned()
            }
            Err(error) => error.to_string(),
        };
        Some(format!("{what}: {reason}"))
    })
}
