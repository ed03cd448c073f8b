//! Rows for `COPY ... FROM STDIN (FORMAT binary)`.
//!
//! The quickest way into a table: PostgreSQL puts the rows of a `COPY` onto
//! pages many at a time and needs no executor for each. Measured against
//! `INSERT ... SELECT FROM unnest(...)` it halves what a row costs without its
//! indexes. It cannot pass over rows that are there already: a duplicate key is
//! an error, and ends the transaction.
//!
//! The format is PostgreSQL's own: a signature, then for each row the number of
//! its fields, and for each field its length and its bytes, as the type's
//! `recv` function reads them.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

/// From so many rows a `COPY` is the quicker one: it takes two trips to the
/// server, and is planned each time, where a prepared `INSERT` takes one.
pub const COPY_FROM: usize = 100;

const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";
/// PostgreSQL counts microseconds from here: 2000-01-01.
const EPOCH_MICROS: i64 = 946_684_800_000_000;

/// A value as PostgreSQL's `recv` functions read it.
pub trait Field {
    /// Appends length and bytes.
    fn put(&self, bytes: &mut Vec<u8>);
}

fn sized(bytes: &mut Vec<u8>, field: &[u8]) {
    // A message has 64 KiB at the most; no field comes near 2 GiB.
    let length = i32::try_from(field.len()).unwrap_or(i32::MAX);
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(field);
}

/// `uuid`
impl Field for Uuid {
    fn put(&self, bytes: &mut Vec<u8>) {
        sized(bytes, self.as_bytes());
    }
}

/// `boolean`
impl Field for bool {
    fn put(&self, bytes: &mut Vec<u8>) {
        sized(bytes, &[u8::from(*self)]);
    }
}

/// `smallint`
impl Field for i16 {
    fn put(&self, bytes: &mut Vec<u8>) {
        sized(bytes, &self.to_be_bytes());
    }
}

/// `int`
impl Field for i32 {
    fn put(&self, bytes: &mut Vec<u8>) {
        sized(bytes, &self.to_be_bytes());
    }
}

/// `bigint`
impl Field for i64 {
    fn put(&self, bytes: &mut Vec<u8>) {
        sized(bytes, &self.to_be_bytes());
    }
}

/// `text`, or an enum's label
impl Field for &str {
    fn put(&self, bytes: &mut Vec<u8>) {
        sized(bytes, self.as_bytes());
    }
}

/// `bytea`
impl Field for &[u8] {
    fn put(&self, bytes: &mut Vec<u8>) {
        sized(bytes, self);
    }
}

/// `timestamptz`
impl Field for DateTime<Utc> {
    fn put(&self, bytes: &mut Vec<u8>) {
        (self.timestamp_micros() - EPOCH_MICROS).put(bytes);
    }
}

/// `jsonb`: a version, then the text.
impl Field for &serde_json::Value {
    fn put(&self, bytes: &mut Vec<u8>) {
        let mut text = vec![1];
        text.extend_from_slice(self.to_string().as_bytes());
        sized(bytes, &text);
    }
}

/// Null, or a value.
impl<F: Field> Field for Option<F> {
    fn put(&self, bytes: &mut Vec<u8>) {
        match self {
            Some(field) => field.put(bytes),
            None => bytes.extend_from_slice(&(-1_i32).to_be_bytes()),
        }
    }
}

/// Rows on their way into a table.
pub struct Rows {
    bytes: Vec<u8>,
    count: u64,
}

impl Rows {
    /// No rows yet; room for `rows` of about so many bytes each.
    pub fn with_capacity(rows: usize, row: usize) -> Self {
        let mut bytes = Vec::with_capacity(rows * row + 32);
        bytes.extend_from_slice(SIGNATURE);
        // No flags, no extension of the header.
        bytes.extend_from_slice(&[0; 8]);
        Self { bytes, count: 0 }
    }

    /// Adds a row, in the order of the statement's columns.
    pub fn push<const N: usize>(&mut self, fields: [&dyn Field; N]) {
        self.bytes.extend_from_slice(&(N as i16).to_be_bytes());
        for field in fields {
            field.put(&mut self.bytes);
        }
        self.count += 1;
    }

    /// Copies the rows by a statement `COPY table (columns) FROM STDIN (FORMAT
    /// binary)`, all or none of them.
    pub async fn copy(
        mut self,
        connection: &mut PgConnection,
        statement: &str,
    ) -> Result<u64, sqlx::Error> {
        if self.count == 0 {
            return Ok(0);
        }
        self.bytes.extend_from_slice(&(-1_i16).to_be_bytes());
        let mut copy = connection.copy_in_raw(statement).await?;
        // An error of the server comes with the end, not with the data.
        copy.send(self.bytes).await?;
        copy.finish().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_its_fields_with_their_lengths() {
        let mut rows = Rows::with_capacity(1, 64);
        let instant = DateTime::from_timestamp(946_684_801, 0);
        rows.push([&"ab", &None::<i16>, &instant, &true]);
        let row = &rows.bytes[SIGNATURE.len() + 8..];
        let expected: &[&[u8]] = &[
            &[0, 4],
            &[0, 0, 0, 2, b'a', b'b'],
            &[0xff; 4],
            &[0, 0, 0, 8],
            &1_000_000_i64.to_be_bytes(),
            &[0, 0, 0, 1, 1],
        ];
        assert_eq!(row, expected.concat());
    }
}
