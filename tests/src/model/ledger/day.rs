//! What a member may remit on one day.

use chrono::{DateTime, NaiveDate, NaiveDateTime, TimeDelta, Timelike, Utc};

use super::{Ledger, Member, REMITTANCE_DAY};

/// Korea is nine hours ahead all year.
const KOREA_HOURS: i64 = 9;
/// A round is long over after so many seconds.
const ROUND_SECONDS: u32 = 20 * 60;

/// The time in Korea.
pub fn korean(at: DateTime<Utc>) -> NaiveDateTime {
    (at + TimeDelta::hours(KOREA_HOURS)).naive_utc()
}

/// Whether a new day may begin while what is drawn now is handled.
pub fn near_midnight(at: NaiveDateTime) -> bool {
    at.num_seconds_from_midnight() > 24 * 3_600 - ROUND_SECONDS
}

impl Member {
    /// Counts a remittance into the day.
    pub(super) fn remits(&mut self, won: i64) {
        self.sent += won;
        self.perhaps_sent += won;
    }

    /// Something must be within the limit that is not sent: it is rejected for a reason
    /// that is looked for later. What a client sends again by another lane may come
    /// before it, though it was sent after it.
    pub fn keeps_of_the_day(&mut self, won: i64) {
        self.kept_of_day = self.kept_of_day.max(won);
    }

    /// Whether this may be remitted yet today, in every order; `None`: it depends.
    pub fn may_remit(&self, won: i64) -> Option<bool> {
        if self.perhaps_sent + won + self.kept_of_day <= REMITTANCE_DAY {
            Some(true)
        } else if self.sent + won > REMITTANCE_DAY {
            Some(false)
        } else {
            None
        }
    }
}

impl Ledger {
    /// All is quiet on this day: what was perhaps sent is known. On a new day nobody
    /// has remitted anything for certain.
    pub fn quiet_on(&mut self, day: NaiveDate) {
        let new = day != self.day;
        self.day = day;
        for member in &mut self.members {
            if new {
                member.sent = 0;
            }
            member.perhaps_sent = member.sent;
            member.kept_of_day = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeZone;

    use super::*;

    fn member(sent: i64, perhaps_sent: i64) -> Member {
        Member {
            id: uuid::Uuid::nil(),
            account: None,
            balance: 0,
            pending: 0,
            sent,
            perhaps_sent,
            kept_of_day: 0,
            standing: Default::default(),
            unclaimed: 0,
        }
    }

    #[test]
    fn the_day_in_korea_ends_at_three_in_the_afternoon_utc() {
        let at = |minute| korean(Utc.with_ymd_and_hms(2026, 11, 25, 14, minute, 0).unwrap());
        assert_eq!(
            at(59).date(),
            NaiveDate::from_ymd_opt(2026, 11, 25).unwrap()
        );
        assert!(near_midnight(at(59)) && !near_midnight(at(39)));
        let next = korean(Utc.with_ymd_and_hms(2026, 11, 25, 15, 0, 0).unwrap());
        assert_eq!(next.date(), NaiveDate::from_ymd_opt(2026, 11, 26).unwrap());
    }

    #[test]
    fn what_is_perhaps_sent_leaves_the_limit_in_doubt() {
        let member = member(9_000_000, 9_500_000);
        assert_eq!(member.may_remit(500_000), Some(true));
        assert_eq!(member.may_remit(500_001), None);
        assert_eq!(member.may_remit(1_000_000), None);
        assert_eq!(member.may_remit(1_000_001), Some(false));
    }

    #[test]
    fn what_must_be_within_the_limit_stays_within_it() {
        let mut member = member(9_000_000, 9_000_000);
        member.keeps_of_the_day(400_000);
        member.keeps_of_the_day(300_000);
        assert_eq!(member.may_remit(600_000), Some(true));
        assert_eq!(member.may_remit(600_001), None);
        assert_eq!(member.may_remit(1_000_001), Some(false));
    }

    #[test]
    fn a_new_day_begins_at_nothing() {
        let day = NaiveDate::from_ymd_opt(2026, 11, 25).unwrap();
        let mut ledger = Ledger {
            members: vec![member(7, 9)],
            day,
            ..Ledger::default()
        };
        ledger.quiet_on(day);
        assert_eq!(ledger.members[0].perhaps_sent, 7);
        ledger.quiet_on(day.succ_opt().unwrap());
        assert_eq!(ledger.members[0].may_remit(REMITTANCE_DAY), Some(true));
    }
}
