//! `COPY .. TO STDOUT (FORMAT binary)`: the cheapest way to have a million rows.

use futures::TryStreamExt;
use sqlx::PgConnection;

use crate::error::AuditError;

const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";
/// Signature, flags, length of the header's extension.
const HEADER: usize = SIGNATURE.len() + 8;
/// PostgreSQL counts microseconds since 2000, everyone else since 1970.
const EPOCH_2000_MILLIS: i64 = 946_684_800_000;

/// Gives each row of a query to `row`; tells how many there were.
pub(crate) async fn rows(
    connection: &mut PgConnection,
    query: &str,
    mut row: impl FnMut(&mut Fields<'_>) -> Result<(), AuditError>,
) -> Result<u64, AuditError> {
    let statement = format!("COPY ({query}) TO STDOUT (FORMAT binary)");
    let mut chunks = connection.copy_out_raw(&statement).await?;
    let mut parser = Parser::default();
    while let Some(chunk) = chunks.try_next().await? {
        parser.take(&chunk, &mut row)?;
    }
    if parser.rest.is_empty() {
        Ok(parser.rows)
    } else {
        Err(AuditError::Copy("it breaks off"))
    }
}

#[derive(Default)]
struct Parser {
    began: bool,
    /// The beginning of a row whose end has not come yet.
    rest: Vec<u8>,
    rows: u64,
}

impl Parser {
    fn take(
        &mut self,
        chunk: &[u8],
        row: &mut impl FnMut(&mut Fields<'_>) -> Result<(), AuditError>,
    ) -> Result<(), AuditError> {
        // Nearly always a chunk is a row, and nothing has to be kept.
        let mut kept = std::mem::take(&mut self.rest);
        let mut bytes = if kept.is_empty() {
            chunk
        } else {
            kept.extend_from_slice(chunk);
            &kept[..]
        };
        if !self.began && bytes.len() >= HEADER {
            if !bytes.starts_with(SIGNATURE) {
                return Err(AuditError::Copy("not in the binary format"));
            }
            self.began = true;
            bytes = &bytes[HEADER..];
        }
        while self.began && !bytes.is_empty() {
            let Some(end) = end_of_row(bytes) else { break };
            let fields = &bytes[2..end];
            // The trailer is a row of -1 fields.
            if bytes[..2] != (-1i16).to_be_bytes() {
                row(&mut Fields { rest: fields })?;
                self.rows += 1;
            }
            bytes = &bytes[end..];
        }
        self.rest = bytes.to_vec();
        Ok(())
    }
}

/// Where the first row ends; `None` where its end has not come yet.
fn end_of_row(bytes: &[u8]) -> Option<usize> {
    let count = i16::from_be_bytes(bytes.get(..2)?.try_into().ok()?);
    let mut at = 2;
    for _ in 0..count {
        let length = i32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?);
        at += 4 + usize::try_from(length).unwrap_or(0);
    }
    (at <= bytes.len()).then_some(at)
}

/// The fields of a row, one after the other.
pub(crate) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    fn next(&mut self) -> Result<Option<&'a [u8]>, AuditError> {
        let missing = AuditError::Copy("a row has too few fields");
        let Some((length, rest)) = self.rest.split_first_chunk::<4>() else {
            return Err(missing);
        };
        let Ok(length) = usize::try_from(i32::from_be_bytes(*length)) else {
            self.rest = rest;
            return Ok(None);
        };
        let (field, rest) = rest.split_at_checked(length).ok_or(missing)?;
        self.rest = rest;
        Ok(Some(field))
    }

    fn exactly<const N: usize>(&mut self) -> Result<Option<[u8; N]>, AuditError> {
        self.next()?
            .map(|field| {
                field
                    .try_into()
                    .map_err(|_| AuditError::Copy("a field is of another size"))
            })
            .transpose()
    }

    /// A uuid, or a bytea of 16 bytes; nil where null.
    pub(crate) fn id(&mut self) -> Result<u128, AuditError> {
        Ok(self.exactly()?.map_or(0, u128::from_be_bytes))
    }

    /// A bytea; other lengths than 16 give a number that no hash has.
    pub(crate) fn hash(&mut self) -> Result<u128, AuditError> {
        Ok(self
            .next()?
            .and_then(|hash| hash.try_into().ok())
            .map_or(0, u128::from_be_bytes))
    }

    /// A bigint; 0 where null.
    pub(crate) fn i64(&mut self) -> Result<i64, AuditError> {
        Ok(self.exactly()?.map_or(0, i64::from_be_bytes))
    }

    /// An int; `None` where null.
    pub(crate) fn i32(&mut self) -> Result<Option<i32>, AuditError> {
        Ok(self.exactly()?.map(i32::from_be_bytes))
    }

    /// A smallint; 0 where null.
    pub(crate) fn i16(&mut self) -> Result<i16, AuditError> {
        Ok(self.exactly()?.map_or(0, i16::from_be_bytes))
    }

    /// A timestamptz in milliseconds since 1970; 0 where null.
    pub(crate) fn millis(&mut self) -> Result<i64, AuditError> {
        Ok(self.exactly()?.map_or(0, |micros| {
            i64::from_be_bytes(micros).div_euclid(1000) + EPOCH_2000_MILLIS
        }))
    }

    /// A text or an enum; `None` where null.
    pub(crate) fn text(&mut self) -> Result<Option<&'a str>, AuditError> {
        self.next()?
            .map(|text| std::str::from_utf8(text).map_err(|_| AuditError::Copy("not UTF-8")))
            .transpose()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn sample() -> Vec<u8> {
        let mut bytes = [SIGNATURE, &[0; 8]].concat();
        for number in [7i64, 8] {
            bytes.extend(3i16.to_be_bytes());
            bytes.extend(8i32.to_be_bytes());
            bytes.extend(number.to_be_bytes());
            bytes.extend((-1i32).to_be_bytes());
            bytes.extend(4i32.to_be_bytes());
            bytes.extend(b"done");
        }
        bytes.extend((-1i16).to_be_bytes());
        bytes
    }

    #[test]
    fn rows_are_read_however_they_are_cut_into_chunks() {
        for size in [1, 2, 5, 19, 30, 1000] {
            let (mut parser, mut seen) = (Parser::default(), Vec::new());
            for chunk in sample().chunks(size) {
                parser
                    .take(chunk, &mut |fields| {
                        let (number, null) = (fields.i64()?, fields.text()?);
                        seen.push((number, null.is_none(), fields.text()?.unwrap().to_string()));
                        Ok(())
                    })
                    .unwrap();
            }
            assert!(parser.rest.is_empty());
            assert_eq!(
                seen,
                [(7, true, "done".into()), (8, true, "done".into())],
                "{size}"
            );
        }
    }

    #[test]
    fn a_field_of_another_size_is_an_error() {
        let mut parser = Parser::default();
        let read = parser.take(&sample(), &mut |fields| fields.id().map(drop));
        assert!(read.is_err());
    }
}
