//! The ids of messages.
//!
//! A client gives a request a UUID version 7. Whatever we make of it has an id
//! derived from that one: the same 48-bit time, then bits of a hash (UUID
//! version 8, RFC 9562). So making an event again gives the same id, and every
//! id sorts by the time of the request that began it.

use uuid::Uuid;

/// Hashes ids in maps: seeded at random as the standard library's, so that
/// nobody can choose ids that collide, at a fraction of its cost.
pub type IdHash = foldhash::quality::RandomState;

/// Why an id cannot identify a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadId {
    /// Not a UUID in its text form.
    NotUuid,
    /// A UUID that carries no time, so that it could not be kept by time.
    NoTime,
}

/// Parses a request's id: a UUID that carries a time (version 7, or our own 8).
pub fn parse(text: &str) -> Result<Uuid, BadId> {
    // Only the hyphenated form: one id must have one spelling, since results
    // and dead letters repeat it.
    if text.len() != 36 {
        return Err(BadId::NotUuid);
    }
    let id = Uuid::try_parse(text).map_err(|_| BadId::NotUuid)?;
    match id.get_version_num() {
        7 | 8 => Ok(id),
        _ => Err(BadId::NoTime),
    }
}

/// Whether an id, in its text form, is one that we derive.
pub fn is_derived(text: &str) -> bool {
    text.len() == 36 && text.as_bytes()[14] == b'8'
}

/// The time an id carries, in milliseconds since the epoch.
pub fn time_of(id: Uuid) -> i64 {
    (id.as_u128() >> 80) as i64
}

/// The smallest id that carries `millis`: a bound for partitions by time.
pub fn lower_bound(millis: i64) -> Uuid {
    Uuid::from_u128((millis.max(0) as u128) << 80)
}

/// The id of `what`, which `cause` brought about.
///
/// `what` says what it is (`"result"`, `"firmbanking"`); the same two always
/// give the same id.
pub fn derive(cause: Uuid, what: &str) -> Uuid {
    let mut hasher = blake3::Hasher::new();
    hasher.update(cause.as_bytes());
    hasher.update(what.as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    bytes[..6].copy_from_slice(&cause.as_bytes()[..6]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_derived_id_repeats_and_keeps_the_time() {
        let cause = Uuid::now_v7();
        let result = derive(cause, "result");
        assert_eq!(result, derive(cause, "result"));
        assert_ne!(result, derive(cause, "firmbanking"));
        assert_eq!(time_of(result), time_of(cause));
        assert_eq!(result.get_version_num(), 8);
        assert!(is_derived(&result.to_string()));
        assert!(!is_derived(&cause.to_string()) && !is_derived("8"));
    }

    #[test]
    fn only_ids_with_a_time_are_taken() {
        assert!(parse(&Uuid::now_v7().to_string()).is_ok());
        assert_eq!(
            parse("4cbb2d2c-1c12-4b3e-9d3a-3f4f5f6f7f8f"),
            Err(BadId::NoTime)
        );
        for text in [
            "",
            "42",
            "0189000000007000800000000000000000",
            "0189_0000-0000-7000-8000-000000000001",
        ] {
            assert_eq!(parse(text), Err(BadId::NotUuid));
        }
    }
}
