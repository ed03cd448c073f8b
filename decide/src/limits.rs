//! Amounts that staff may set; the defaults are the domain's.

use chrono::{DateTime, NaiveDate, Utc};

/// The largest amount of any single request, whole won.
///
/// What a bank takes in one command at the most; far below where the sums of a
/// batch could pass `i64`: a million such amounts still fit.
pub const AMOUNT_MAX: i64 = 100_000_000_000;

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

/// The day in Korea that an instant belongs to.
pub fn korean_day(at: DateTime<Utc>) -> NaiveDate {
    at.with_timezone(&chrono_tz::Asia::Seoul).date_naive()
}
