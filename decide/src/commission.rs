//! Commission and its VAT, to the won.

/// The commission on a gross amount, VAT included.
///
/// Rounded down, in the franchise's favour: a part of a won is not taken.
/// `bps` is the rate in hundredths of a percent, 0 to 10,000.
pub fn of(gross: i64, bps: i32) -> i64 {
    let exact = i128::from(gross) * i128::from(bps);
    i64::try_from(exact / 10_000).unwrap_or(i64::MAX)
}

/// A commission split into what is supplied and its VAT of 10 %.
///
/// The supply is the commission over 1.1, rounded to the nearest won, and the
/// VAT is the rest: so the two always add up (2,250 = 2,045 + 205). Elevenths
/// have no half, so there is no tie to break.
///
/// A statement splits each slip's commission, and of a cancel the difference of
/// the splits before and after it: so the lines of a payment add up to the split
/// of the commission that remains, to the won, however it was cancelled.
pub fn split_vat(commission: i64) -> (i64, i64) {
    let tenths = i128::from(commission) * 10;
    let supply = (2 * tenths + 11).div_euclid(22);
    let supply = i64::try_from(supply).unwrap_or(i64::MAX);
    (supply, commission - supply)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vat_is_split_to_the_won_over_all_commissions_up_to_a_million() {
        assert_eq!(split_vat(2_250), (2_045, 205));
        for commission in 0..=1_000_000 {
            let (supply, vat) = split_vat(commission);
            assert_eq!(supply + vat, commission);
            // The supply is less than half a won from the exact quotient: none lies half-way.
            assert!((supply * 11 - commission * 10).abs() * 2 < 11);
        }
    }

    #[test]
    fn commission_is_right_over_all_gross_amounts_up_to_a_million() {
        for bps in [0, 1, 99, 225, 333, 5_001, 9_999, 10_000] {
            for gross in 0..=1_000_000 {
                let commission = of(gross, bps);
                // Rounded down: it is no more than the exact one, and a won more would be.
                let exact = gross * i64::from(bps);
                assert!(commission * 10_000 <= exact, "{gross} at {bps}");
                assert!((commission + 1) * 10_000 > exact, "{gross} at {bps}");
                assert!((0..=gross).contains(&commission), "{gross} at {bps}");
                let (supply, vat) = split_vat(commission);
                assert_eq!(supply + vat, commission, "{gross} at {bps}");
                assert!(0 <= vat && vat <= supply, "{gross} at {bps}");
            }
        }
    }

    #[test]
    fn commission_is_rounded_down() {
        assert_eq!(of(9_999, 150), 149);
        assert_eq!(of(10_000, 150), 150);
        assert_eq!(of(1, 10_000), 1);
        assert_eq!(of(i64::MAX, 10_000), i64::MAX);
    }
}
