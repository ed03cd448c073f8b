//! A length of time as the plan writes it: `35d`, `12h`, `30m`, `10s`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A length of time in whole seconds, read from and written as `35d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(Duration);

/// The units, largest first: writing takes the first that divides.
const UNITS: [(char, u64); 4] = [('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];

impl Span {
    /// As milliseconds, the unit of Kafka's `*.ms` settings.
    pub fn as_millis(self) -> u128 {
        self.0.as_millis()
    }

    /// As a [`Duration`].
    pub fn as_duration(self) -> Duration {
        self.0
    }
}

impl std::ops::Add for Span {
    type Output = Span;

    fn add(self, other: Span) -> Span {
        Span(self.0.saturating_add(other.0))
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || format!("`{text}` is no length of time; write it as 35d, 12h, 30m or 10s");
        let unit = text.chars().last().ok_or_else(wrong)?;
        let (_, seconds) = UNITS
            .into_iter()
            .find(|(name, _)| *name == unit)
            .ok_or_else(wrong)?;
        let count: u64 = text[..text.len() - 1].parse().map_err(|_| wrong())?;
        let total = count.checked_mul(seconds).ok_or_else(wrong)?;
        // Kafka holds milliseconds in an i64; what it cannot hold must not get so far.
        if total == 0 || total > i64::MAX as u64 / 1000 {
            return Err(wrong());
        }
        Ok(Span(Duration::from_secs(total)))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = self.0.as_secs();
        let (unit, seconds) = UNITS
            .into_iter()
            .find(|(_, seconds)| total.is_multiple_of(*seconds))
            .unwrap_or(('s', 1));
        write!(f, "{}{unit}", total / seconds)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(D::Error::custom)
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_written_as_it_was_read() {
        for text in ["35d", "12h", "90m", "10s"] {
            assert_eq!(text.parse::<Span>().unwrap().to_string(), text);
        }
        assert_eq!("48h".parse::<Span>().unwrap().to_string(), "2d");
    }

    #[test]
    fn what_is_no_length_of_time_is_refused() {
        for text in [
            "",
            "d",
            "7",
            "7w",
            "-1d",
            "1.5d",
            "0d",
            "7д",
            "999999999999999999d",
        ] {
            assert!(text.parse::<Span>().is_err(), "{text} was taken");
        }
    }
}
