//! A place in a list, as clients hand it back: opaque, versioned, checked.
//!
//! `base64url(version, checksum, place)`. The checksum is no signature: a cursor
//! gives no right, what may be read is decided without it. It tells a cursor that
//! was cut off, or made up, from one of ours.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Raised when a place begins to mean something else.
const VERSION: u8 = 1;
const CHECKSUM: usize = 4;

/// A place as a cursor.
pub(crate) fn seal(place: &str) -> String {
    let mut bytes = Vec::with_capacity(1 + CHECKSUM + place.len());
    bytes.push(VERSION);
    bytes.extend_from_slice(&checksum(place));
    bytes.extend_from_slice(place.as_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The place of a cursor; `None` where it is none of ours.
pub(crate) fn open(cursor: &str) -> Option<String> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
    let (&version, rest) = bytes.split_first()?;
    let (sum, place) = rest.split_at_checked(CHECKSUM)?;
    let place = str::from_utf8(place).ok()?;
    (version == VERSION && sum == checksum(place)).then(|| place.to_owned())
}

fn checksum(place: &str) -> [u8; CHECKSUM] {
    let mut sum = [0; CHECKSUM];
    sum.copy_from_slice(&blake3::hash(place.as_bytes()).as_bytes()[..CHECKSUM]);
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_comes_back_and_nothing_else_does() {
        let place = "0199a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b.3";
        let cursor = seal(place);
        assert_eq!(open(&cursor).as_deref(), Some(place));
        assert!(
            cursor
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        );
        for bad in [
            "",
            "x",
            place,
            &cursor[1..],
            &cursor[..cursor.len() - 1],
            &format!("{cursor}A"),
        ] {
            assert_eq!(open(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_cursor_of_another_version_is_none() {
        let mut bytes = URL_SAFE_NO_PAD.decode(seal("x")).unwrap();
        bytes[0] += 1;
        assert_eq!(open(&URL_SAFE_NO_PAD.encode(bytes)), None);
    }
}
