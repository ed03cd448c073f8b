//! What is on hold is not paid.

use super::results::CLOCKS;
use crate::data::Data;
use crate::flows::{Hold, Payout, Stage};
use crate::report::Check;
use crate::rows::shown;
use crate::sorted::find;

/// A run notes its instant first, then waits for the payments that are being written,
/// and sees the holds of after that. Milliseconds.
const RELEASED: i64 = 60_000;

/// Compares the payouts that were asked of banks with the holds at their run's instant.
pub(super) fn check(data: &Data) -> Check {
    let mut check = Check::new(
        "holds_keep_payouts",
        "each payout that a settlement run asked a bank for, and the holds on its franchise that were in force then",
        "SELECT * FROM settlement.hold WHERE franchise_id = '<id>'",
    );
    let asked = |payout: &&Payout| payout.stage != Stage::Carried;
    for payout in data.tables.payouts.iter().filter(asked) {
        check.compare();
        let holds = find(&data.tables.holds, payout.franchise);
        let in_force = holds.iter().find(|hold| held(hold, payout.made_at));
        if let Some(hold) = in_force {
            check.offend_with(|| {
                let problem = format!(
                    "{} won were to be paid by payout {}, under hold {}",
                    payout.net,
                    shown(payout.id),
                    shown(hold.hold)
                );
                let run = format!("run {}", shown(payout.run));
                (shown(payout.franchise), run, problem)
            });
        }
    }
    check
}

/// Whether a hold was surely in force at an instant.
fn held(hold: &Hold, at: i64) -> bool {
    let released = hold.released_at != 0 && hold.released_at <= at + RELEASED;
    hold.placed_at + CLOCKS <= at && !released
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    /// The sample's payout, with a hold that was placed and released so long before
    /// its run (after it, where below zero).
    fn offenders(placed: i64, released: Option<i64>) -> u64 {
        let mut data = sample::day();
        let payout = data.tables.payouts[0];
        data.tables.holds.push(Hold {
            hold: 1,
            franchise: payout.franchise,
            placed_at: payout.made_at - placed,
            released_at: released.map_or(0, |released| payout.made_at - released),
        });
        check(&data).offenders_total
    }

    #[test]
    fn a_clean_day_has_no_offenders() {
        let data = sample::day();
        assert_eq!((check(&data).offenders, check(&data).compared), (vec![], 1));
    }

    #[test]
    fn a_payout_under_a_hold_is_found() {
        assert_eq!(offenders(CLOCKS, None), 1);
        assert_eq!(offenders(3_600_000, None), 1);
        assert_eq!(offenders(3_600_000, Some(-3_600_000)), 1);
    }

    #[test]
    fn a_hold_before_or_after_its_run_or_of_that_moment_keeps_nothing() {
        assert_eq!(offenders(CLOCKS - 1, None), 0);
        assert_eq!(offenders(-1, None), 0);
        assert_eq!(offenders(3_600_000, Some(1)), 0);
        assert_eq!(offenders(3_600_000, Some(-RELEASED)), 0);
    }

    #[test]
    fn a_hold_on_another_franchise_or_a_net_that_was_carried_is_no_concern() {
        let mut data = sample::day();
        let hold = Hold {
            hold: 1,
            franchise: data.tables.payouts[0].franchise + 1,
            placed_at: 1,
            released_at: 0,
        };
        data.tables.holds.push(hold);
        assert!(check(&data).ok);
        data.tables.holds[0].franchise = data.tables.payouts[0].franchise;
        assert_eq!(check(&data).offenders_total, 1);
        data.tables.payouts[0].stage = Stage::Carried;
        let carried = check(&data);
        assert_eq!((carried.offenders_total, carried.compared), (0, 0));
    }
}
