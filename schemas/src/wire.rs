//! The Confluent wire format: a zero byte, the schema's id in four bytes, most
//! significant first, then the Avro datum.

use apache_avro::Schema;
use apache_avro::writer::datum::GenericDatumWriter;
use serde::Serialize;

/// Why bytes are not a message in the wire format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "not in the Confluent wire format: a zero byte and a four-byte schema id come before the Avro datum"
)]
pub struct NotWireFormat;

/// The schema id and the datum of a message.
pub fn split(payload: &[u8]) -> Result<(u32, &[u8]), NotWireFormat> {
    match payload {
        [0, a, b, c, d, datum @ ..] => Ok((u32::from_be_bytes([*a, *b, *c, *d]), datum)),
        _ => Err(NotWireFormat),
    }
}

/// Writes records of one schema.
pub struct Encoder {
    schema_id: u32,
    writer: GenericDatumWriter<'static>,
}

impl Encoder {
    /// An encoder for a schema that is registered under `schema_id`.
    ///
    /// The parsed schema is leaked: there is one a subject, and it lives as
    /// long as the process.
    pub fn new(schema_id: u32, schema: &str) -> Result<Self, apache_avro::Error> {
        let schema: &'static Schema = Box::leak(Box::new(Schema::parse_str(schema)?));
        let writer = GenericDatumWriter::builder(schema)
            .human_readable(true)
            .build()?;
        Ok(Self { schema_id, writer })
    }

    /// The message's bytes.
    pub fn encode<T: Serialize>(&self, record: &T) -> Result<Vec<u8>, apache_avro::Error> {
        let mut bytes = Vec::with_capacity(256);
        bytes.push(0);
        bytes.extend_from_slice(&self.schema_id.to_be_bytes());
        self.writer.write_ser(&mut bytes, record)?;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_split_into_schema_id_and_datum() {
        assert_eq!(split(&[0, 0, 0, 1, 2, 9, 8]), Ok((258, &[9, 8][..])));
    }

    #[test]
    fn short_or_foreign_bytes_are_refused() {
        for bytes in [&b""[..], b"\0\0\0", b"{\"a\":1}", b"\x01\0\0\0\x01x"] {
            assert_eq!(split(bytes), Err(NotWireFormat));
        }
    }
}
