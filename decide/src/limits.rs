//! Amounts that staff may set; the defaults are the domain's.

use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};

/// The largest amount of any single request, whole won.
///
/// What a bank takes in one command at the most; far below where the sums of a
/// batch could pass `i64`: a million such amounts still fit.
pub const AMOUNT_MAX: i64 = 100_000_000_000;

/// The most that a remittance may cost, whole won; more is a slip of the pen.
pub const FEE_MAX: i64 = 1_000_000;

/// Limits on members' money, whole won.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// What a member may hold, pending recharges counted in.
    pub balance_cap: i64,
    /// The smallest direct recharge; below it the bank's fee is not worth it.
    pub recharge_min: i64,
    /// The largest single remittance.
    pub remittance_max: i64,
    /// What a member may remit in one day, Korean time.
    pub remittance_daily: i64,
    /// Fee of a remittance between members.
    pub fee_to_member: i64,
    /// Fee of a remittance to a bank account.
    pub fee_to_bank: i64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            balance_cap: 2_000_000,
            recharge_min: 10_000,
            remittance_max: 2_000_000,
            remittance_daily: 10_000_000,
            fee_to_member: 0,
            fee_to_bank: 500,
        }
    }
}

/// Why limits cannot be in force: which of them is at fault, and what it may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutOfRange {
    /// The limit's name.
    pub limit: &'static str,
    /// What it was to be, whole won.
    pub won: i64,
    /// The least that it may be, whole won.
    pub least: i64,
    /// The most that it may be, whole won.
    pub most: i64,
}

impl std::fmt::Display for OutOfRange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            limit,
            won,
            least,
            most,
        } = self;
        write!(f, "{limit}: {won} won, and it may be {least} to {most}")
    }
}

impl std::error::Error for OutOfRange {}

impl Limits {
    /// Whether they go together: no recharge that must be larger than what a member may
    /// hold, no remittance that is allowed alone and on no day.
    pub fn check(&self) -> Result<(), OutOfRange> {
        let ranges = [
            ("balance_cap", self.balance_cap, 1, AMOUNT_MAX),
            ("recharge_min", self.recharge_min, 1, self.balance_cap),
            ("remittance_max", self.remittance_max, 1, AMOUNT_MAX),
            (
                "remittance_daily",
                self.remittance_daily,
                self.remittance_max,
                AMOUNT_MAX,
            ),
            ("fee_to_member", self.fee_to_member, 0, FEE_MAX),
            ("fee_to_bank", self.fee_to_bank, 0, FEE_MAX),
        ];
        let outside = ranges
            .into_iter()
            .find(|(_, won, least, most)| !(*least..=*most).contains(won));
        match outside {
            None => Ok(()),
            Some((limit, won, least, most)) => Err(OutOfRange {
                limit,
                won,
                least,
                most,
            }),
        }
    }
}

/// The day in Korea that an instant belongs to.
pub fn korean_day(at: DateTime<Utc>) -> NaiveDate {
    at.with_timezone(&chrono_tz::Asia::Seoul).date_naive()
}

/// When a day in Korea ends: at 15:00 UTC, since Korea has no summer time.
pub fn korean_day_end(date: NaiveDate) -> DateTime<Utc> {
    (date.succ_opt().unwrap_or(date).and_time(NaiveTime::MIN) - TimeDelta::hours(9)).and_utc()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_go_together() {
        assert_eq!(Limits::default().check(), Ok(()));
    }

    #[test]
    fn limits_that_do_not_go_together_are_told_apart() {
        let with = |change: fn(&mut Limits)| {
            let mut limits = Limits::default();
            change(&mut limits);
            limits.check().map_err(|outside| outside.limit)
        };
        for (refused, limit) in [
            (with(|it| it.balance_cap = 0), "balance_cap"),
            (with(|it| it.balance_cap = i64::MAX), "balance_cap"),
            (with(|it| it.recharge_min = 0), "recharge_min"),
            (with(|it| it.recharge_min = 2_000_001), "recharge_min"),
            (with(|it| it.balance_cap = 9_999), "recharge_min"),
            (with(|it| it.remittance_max = i64::MIN), "remittance_max"),
            (
                with(|it| it.remittance_daily = 1_999_999),
                "remittance_daily",
            ),
            (
                with(|it| it.remittance_daily = i64::MAX),
                "remittance_daily",
            ),
            (with(|it| it.fee_to_member = -1), "fee_to_member"),
            (with(|it| it.fee_to_bank = FEE_MAX + 1), "fee_to_bank"),
        ] {
            assert_eq!(refused, Err(limit));
        }
        let told = Limits {
            recharge_min: 0,
            ..Limits::default()
        };
        let told = told.check().unwrap_err().to_string();
        assert_eq!(told, "recharge_min: 0 won, and it may be 1 to 2000000");
    }
}
