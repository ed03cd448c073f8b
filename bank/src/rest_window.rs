//! The hours in which a bank rests.

use std::str::FromStr;

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use chrono_tz::Asia::Seoul;
use serde::Deserialize;

/// A daily window in Korean time; it may go past midnight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct RestWindow {
    start: NaiveTime,
    end: NaiveTime,
}

/// A window that is not written as `HH:MM-HH:MM`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no window; write it as 23:30-00:30")]
pub struct RestWindowError(String);

impl Default for RestWindow {
    fn default() -> Self {
        let half_past = |hour| NaiveTime::from_hms_opt(hour, 30, 0).unwrap_or_default();
        Self {
            start: half_past(23),
            end: half_past(0),
        }
    }
}

impl FromStr for RestWindow {
    type Err = RestWindowError;

    fn from_str(written: &str) -> Result<Self, Self::Err> {
        let parse = |time: &str| NaiveTime::parse_from_str(time, "%H:%M").ok();
        written
            .split_once('-')
            .and_then(|(start, end)| {
                Some(Self {
                    start: parse(start)?,
                    end: parse(end)?,
                })
            })
            .ok_or_else(|| RestWindowError(written.to_owned()))
    }
}

impl TryFrom<String> for RestWindow {
    type Error = RestWindowError;

    fn try_from(written: String) -> Result<Self, Self::Error> {
        written.parse()
    }
}

impl RestWindow {
    /// Whether the bank rests at this instant. A window of no length never does.
    pub fn contains(&self, instant: DateTime<Utc>) -> bool {
        let time = instant.with_timezone(&Seoul).time();
        if self.start <= self.end {
            self.start <= time && time < self.end
        } else {
            time >= self.start || time < self.end
        }
    }

    /// The first instant at or after `instant` at which the bank is awake.
    pub fn awake_at(&self, instant: DateTime<Utc>) -> DateTime<Utc> {
        if !self.contains(instant) {
            return instant;
        }
        let local = instant.with_timezone(&Seoul);
        let until_end = self.end - local.time();
        let until_end = if until_end < chrono::TimeDelta::zero() {
            until_end + chrono::TimeDelta::days(1)
        } else {
            until_end
        };
        instant + until_end
    }

    /// The last instant at or before `instant` at which the bank is well awake: where it
    /// rests, a minute before it goes to rest.
    pub fn awake_until(&self, instant: DateTime<Utc>) -> DateTime<Utc> {
        if !self.contains(instant) {
            return instant;
        }
        let since = instant.with_timezone(&Seoul).time() - self.start;
        let since = if since < chrono::TimeDelta::zero() {
            since + chrono::TimeDelta::days(1)
        } else {
            since
        };
        instant - since - chrono::TimeDelta::minutes(1)
    }
}

/// The date in Korea at this instant: the business date of a command made now.
pub fn korean_date(instant: DateTime<Utc>) -> NaiveDate {
    instant.with_timezone(&Seoul).date_naive()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kst(hour: u32, minute: u32) -> DateTime<Utc> {
        let date = NaiveDate::from_ymd_opt(2026, 3, 2).unwrap();
        date.and_hms_opt(hour, minute, 0)
            .unwrap()
            .and_local_timezone(Seoul)
            .unwrap()
            .to_utc()
    }

    #[test]
    fn a_window_goes_past_midnight() {
        let window = RestWindow::default();
        assert!(!window.contains(kst(23, 29)));
        assert!(window.contains(kst(23, 30)));
        assert!(window.contains(kst(0, 0)));
        assert!(!window.contains(kst(0, 30)));
        assert!(!window.contains(kst(12, 0)));
    }

    #[test]
    fn the_bank_awakes_at_the_end_of_its_window() {
        let window: RestWindow = "23:30-00:30".parse().unwrap();
        assert_eq!(window.awake_at(kst(12, 0)), kst(12, 0));
        assert_eq!(window.awake_at(kst(0, 10)), kst(0, 30));
        assert_eq!(
            window.awake_at(kst(23, 40)),
            kst(0, 30) + chrono::TimeDelta::days(1)
        );
    }

    #[test]
    fn what_must_be_asked_while_the_bank_rests_is_asked_before() {
        let window: RestWindow = "23:30-00:30".parse().unwrap();
        assert_eq!(window.awake_until(kst(12, 0)), kst(12, 0));
        assert_eq!(window.awake_until(kst(23, 30)), kst(23, 29));
        let before = kst(23, 29) - chrono::TimeDelta::days(1);
        assert_eq!(window.awake_until(kst(0, 10)), before);
    }

    #[test]
    fn nonsense_is_no_window() {
        for bad in ["", "23:30", "25:00-26:00", "23:30-"] {
            assert!(bad.parse::<RestWindow>().is_err(), "{bad}");
        }
        assert!(
            !"03:00-03:00"
                .parse::<RestWindow>()
                .unwrap()
                .contains(kst(3, 0))
        );
    }
}
