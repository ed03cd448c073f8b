//! Topping up on the way: what a remittance or a payment recharges first where
//! the balance is too small.
//!
//! A bank takes its fee for each call, so small top-ups are bundled. Several
//! requests of a member may wait for their top-ups at once: each tops up what it
//! lacks of what those before it leave of the balance, and counts on nobody
//! else's top-up, which may be refused.

use uuid::Uuid;

use crate::book::Book;
use crate::{Limits, Reason};

/// What the top-up of a remittance is a multiple of, whole won.
pub const REMITTANCE_STEP: i64 = 10_000;

/// What a request is topped up for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The shortage, rounded up to a multiple of [`REMITTANCE_STEP`].
    Remittance,
    /// The shortage exactly, but at least the smallest recharge.
    Payment,
}

impl Purpose {
    /// The top-up for a shortage, whole won.
    pub fn amount(self, shortage: i64, limits: &Limits) -> i64 {
        match self {
            Purpose::Remittance => {
                (shortage + REMITTANCE_STEP - 1) / REMITTANCE_STEP * REMITTANCE_STEP
            }
            Purpose::Payment => shortage.max(limits.recharge_min),
        }
    }
}

/// What a member can be topped up from, and what of the balance is spoken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Means {
    /// Whether the member has a registered account at a bank whose contract is in
    /// force.
    pub drawable: bool,
    /// What requests that wait for their top-ups take of the balance, whole won.
    pub spoken_for: i64,
}

impl Means {
    /// Counts in a request that waits: of what it needs, the part that its own
    /// top-up does not bring. Once that has arrived (`arrived`), all of it.
    pub fn count(&mut self, needed: i64, top_up: i64, arrived: bool) {
        let brought = if arrived { 0 } else { top_up };
        self.spoken_for += (needed - brought).max(0);
    }
}

/// Decides how much is recharged for a request that failed for its balance alone;
/// whole won.
///
/// `needed` is what the request takes of the balance, its fee counted in. Nothing
/// is reserved: the recharge does that when it is taken in, under the cap as any
/// other; here it is looked at so that what is hopeless is told at once.
pub fn decide(
    book: &Book,
    member_id: Uuid,
    needed: i64,
    means: &mut Means,
    purpose: Purpose,
    limits: &Limits,
) -> Result<i64, Reason> {
    let money = book.open_member(member_id).ok_or(Reason::UnknownMember)?;
    if !means.drawable {
        return Err(Reason::InsufficientFunds);
    }
    let left = (money.balance - means.spoken_for).max(0);
    let amount = purpose.amount(needed - left, limits);
    if money.balance + money.pending + amount > limits.balance_cap {
        return Err(Reason::BalanceCapExceeded);
    }
    means.count(needed, amount, false);
    Ok(amount)
}

/// Why a request is rejected whose top-up was: for the recharge's own reason,
/// unless the recharge had gone to its bank.
pub fn reason_of_refusal(reason: Option<String>, went_to_bank: bool) -> String {
    match reason {
        Some(reason) if !went_to_bank => reason,
        _ => Reason::TopUpRefused.code().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use chrono::NaiveDate;

    use super::*;
    use crate::MemberMoney;

    const MEMBER: Uuid = Uuid::from_u128(7);

    fn book(balance: i64, pending: i64) -> Book {
        let today = NaiveDate::from_ymd_opt(2026, 11, 25).unwrap();
        let money = MemberMoney {
            open: true,
            balance,
            pending,
            sent_on: today,
            sent: 0,
        };
        Book::new(today, [(MEMBER, money)])
    }

    fn means() -> Means {
        Means {
            drawable: true,
            spoken_for: 0,
        }
    }

    fn top_up(
        book: &Book,
        needed: i64,
        means: &mut Means,
        purpose: Purpose,
    ) -> Result<i64, Reason> {
        decide(book, MEMBER, needed, means, purpose, &Limits::default())
    }

    #[test]
    fn a_remittance_recharges_whole_steps_and_a_payment_what_it_lacks() {
        use Purpose::{Payment, Remittance};
        for (needed, balance, remitted, paid) in [
            (10_001, 10_000, 10_000, 10_000),
            (20_000, 10_000, 10_000, 10_000),
            (20_001, 10_000, 20_000, 10_001),
            (30_500, 0, 40_000, 30_500),
            (1, 0, 10_000, 10_000),
        ] {
            let book = book(balance, 0);
            assert_eq!(
                top_up(&book, needed, &mut means(), Remittance),
                Ok(remitted)
            );
            assert_eq!(top_up(&book, needed, &mut means(), Payment), Ok(paid));
        }
    }

    #[test]
    fn the_fee_of_a_remittance_of_the_cap_passes_it() {
        let all = Limits::default().balance_cap;
        assert_eq!(
            top_up(&book(0, 0), all, &mut means(), Purpose::Remittance),
            Ok(all)
        );
        assert_eq!(
            top_up(&book(0, 0), all + 500, &mut means(), Purpose::Remittance),
            Err(Reason::BalanceCapExceeded)
        );
    }

    #[test]
    fn pending_recharges_count_against_the_cap() {
        let book = book(0, 1_990_001);
        assert_eq!(
            top_up(&book, 1, &mut means(), Purpose::Payment),
            Err(Reason::BalanceCapExceeded)
        );
    }

    #[test]
    fn without_an_account_nothing_is_recharged() {
        let mut means = Means::default();
        assert_eq!(
            top_up(&book(0, 0), 1, &mut means, Purpose::Payment),
            Err(Reason::InsufficientFunds)
        );
        assert_eq!(means, Means::default());
    }

    #[test]
    fn each_tops_up_what_those_before_it_leave_it_short_of() {
        let book = book(5_000, 0);
        let mut means = means();
        let purpose = Purpose::Payment;
        // 5,000 of its 20,000 are there; of the second's nothing is.
        assert_eq!(top_up(&book, 20_000, &mut means, purpose), Ok(15_000));
        assert_eq!(top_up(&book, 20_000, &mut means, purpose), Ok(20_000));
        // The smallest recharge leaves something over, on which nobody counts.
        assert_eq!(top_up(&book, 6_000, &mut means, purpose), Ok(10_000));
        assert_eq!(top_up(&book, 6_000, &mut means, purpose), Ok(10_000));
        assert_eq!(means.spoken_for, 5_000);
    }

    #[test]
    fn what_has_arrived_is_spoken_for_until_its_request_goes_on() {
        let mut means = means();
        means.count(20_000, 15_000, true);
        assert_eq!(
            top_up(&book(20_000, 0), 30_000, &mut means, Purpose::Payment),
            Ok(30_000)
        );
    }

    proptest::proptest! {
        /// What is there and what comes suffices for the needs of all who wait, and
        /// less than a step of each top-up is too much.
        #[test]
        fn the_top_ups_of_all_who_wait_suffice_for_all(
            balance in 0i64..30_001,
            needs in proptest::collection::vec((30_001i64..80_000, proptest::bool::ANY), 1..12),
        ) {
            let book = book(balance, 0);
            let mut means = means();
            let mut coming = 0;
            for (needed, payment) in &needs {
                let purpose = if *payment { Purpose::Payment } else { Purpose::Remittance };
                coming += top_up(&book, *needed, &mut means, purpose).unwrap();
            }
            let needed: i64 = needs.iter().map(|(needed, _)| needed).sum();
            proptest::prop_assert!(balance + coming >= needed);
            let idle = balance + coming - needed;
            proptest::prop_assert!(idle < REMITTANCE_STEP * needs.len() as i64);
        }

        #[test]
        fn no_refusal_of_a_bank_passes_for_one_of_ours(reason in "[a-z_]{1,20}") {
            proptest::prop_assert_eq!(reason_of_refusal(Some(reason.clone()), true), "top_up_refused");
            proptest::prop_assert_eq!(reason_of_refusal(Some(reason.clone()), false), reason);
        }
    }
}
