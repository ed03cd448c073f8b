//! Cancel of a payment, in whole or in part: franchise payable back to the
//! member's my money.

use mypay_schemas::payment::PaymentRequest;
use uuid::Uuid;

use crate::account::{AccountKind, SystemAccount};
use crate::book::{Book, EntryKind, valid_amount};
use crate::payment::Slip;
use crate::{Decision, Reason, commission};

/// The longest reason of a cancel, in characters.
pub const CANCEL_REASON_MAX: usize = 200;

/// A payment and where its chain of cancels stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paid {
    /// The slip.
    pub slip: Slip,
    /// Cancels so far.
    pub cancels: i32,
    /// What they refunded, whole won.
    pub refunded: i64,
}

impl Paid {
    /// A payment that was just made.
    pub fn new(slip: Slip) -> Self {
        Self {
            slip,
            cancels: 0,
            refunded: 0,
        }
    }

    /// The commission on what is left, whole won.
    ///
    /// By the slip's own rate, whatever is in force now; nothing is left of the
    /// commission where nothing is left of the payment.
    pub fn commission(&self) -> i64 {
        commission::of(self.slip.gross - self.refunded, self.slip.commission_bps)
    }
}

/// The payment that a cancel names.
#[derive(Debug)]
pub enum Named<'a> {
    /// There is none, or it was rejected.
    Unknown,
    /// It is asked for and not decided yet, as one that waits for a top-up: it may
    /// be there later, and a cancel that comes then finds it.
    InProgress,
    /// It was made: its chain, which a cancel lengthens.
    Made(&'a mut Paid),
}

/// A link of a payment's chain of cancels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cancel {
    /// Its place in the chain, from 1.
    pub seq: i32,
    /// What it refunds, whole won.
    pub amount: i64,
    /// What all cancels up to this one refund, whole won.
    pub refunded: i64,
    /// The commission on what is left after it, whole won.
    pub commission_after: i64,
    /// What of the commission it gives back, whole won.
    pub commission_back: i64,
}

/// Decides on a cancel, posts it and adds it to the payment's chain.
///
/// The money is the member's own coming back: it lands though the balance passes
/// its cap, and is kept apart for a member who is closed. The franchise's payable
/// may go below zero, where the payment is settled: the next run carries it. So a
/// franchise that is closed, which no run looks at any more, cancels nothing.
pub fn decide(
    book: &mut Book,
    entry_id: Uuid,
    request: &PaymentRequest,
    named: Named<'_>,
    franchise_open: bool,
    partition: i32,
) -> Decision<Cancel> {
    let paid = match check(request, named, franchise_open) {
        Ok(paid) => paid,
        Err(reason) => return Decision::Rejected(reason),
    };
    let left = paid.slip.gross - paid.refunded;
    let amount = match refund(request, left) {
        Ok(amount) => amount,
        Err(reason) => return Decision::Rejected(reason),
    };
    let before = paid.commission();
    paid.cancels += 1;
    paid.refunded += amount;
    let after = paid.commission();
    let payable = SystemAccount::new(
        AccountKind::FranchisePayable,
        paid.slip.franchise_id,
        partition,
    );
    let member = book.money_back(paid.slip.member_id);
    book.post(
        (entry_id, 0),
        EntryKind::PaymentCancel,
        payable,
        member,
        amount,
    );
    Decision::Completed(Cancel {
        seq: paid.cancels,
        amount,
        refunded: paid.refunded,
        commission_after: after,
        commission_back: before - after,
    })
}

fn check<'a>(
    request: &PaymentRequest,
    named: Named<'a>,
    franchise_open: bool,
) -> Result<&'a mut Paid, Reason> {
    let reason = request.cancel_reason.as_deref().unwrap_or_default();
    if reason.is_empty()
        || reason.chars().count() > CANCEL_REASON_MAX
        || reason.contains(char::is_control)
    {
        return Err(Reason::InvalidReason);
    }
    let paid = match named {
        Named::Unknown => return Err(Reason::UnknownPayment),
        Named::InProgress => return Err(Reason::PaymentInProgress),
        Named::Made(paid) => paid,
    };
    let slip = &paid.slip;
    // The key is the member's: a cancel under another name was loaded without
    // the member, and is nobody's right.
    if Uuid::try_parse(&request.member_id) != Ok(slip.member_id)
        || Uuid::try_parse(&request.franchise_id) != Ok(slip.franchise_id)
    {
        return Err(Reason::ForeignPayment);
    }
    if !franchise_open {
        return Err(Reason::FranchiseClosed);
    }
    Ok(paid)
}

/// What is refunded, of what is left.
fn refund(request: &PaymentRequest, left: i64) -> Result<i64, Reason> {
    let amount = match (request.cancels_rest, request.amount) {
        (true, 0) => left,
        (true, _) => return Err(Reason::InvalidAmount),
        (false, amount) => valid_amount(amount)?,
    };
    if left == 0 {
        return Err(Reason::AlreadyCancelled);
    }
    if amount > left {
        return Err(Reason::CancelExceedsPayment);
    }
    Ok(amount)
}

#[cfg(test)]
mod tests {
    use chrono::NaiveDate;
    use proptest::prelude::*;

    use super::*;
    use crate::MemberMoney;

    const MEMBER: Uuid = Uuid::from_u128(1);
    const FRANCHISE: Uuid = Uuid::from_u128(2);

    fn book(open: bool) -> Book {
        let today = NaiveDate::default();
        let money = MemberMoney {
            open,
            balance: 0,
            pending: 0,
            sent_on: today,
            sent: 0,
        };
        Book::new(today, [(MEMBER, money)])
    }

    fn paid(gross: i64, commission_bps: i32) -> Paid {
        Paid::new(Slip {
            member_id: MEMBER,
            franchise_id: FRANCHISE,
            gross,
            commission_bps,
            commission: commission::of(gross, commission_bps),
        })
    }

    fn request(amount: Option<i64>) -> PaymentRequest {
        PaymentRequest {
            message_id: String::new(),
            correlation_id: String::new(),
            requested_at: 0,
            member_id: MEMBER.to_string(),
            franchise_id: FRANCHISE.to_string(),
            order_ref: "order".into(),
            amount: amount.unwrap_or(0),
            causation_id: None,
            cancels: Some(Uuid::nil().to_string()),
            cancel_reason: Some("broken".into()),
            cancels_rest: amount.is_none(),
        }
    }

    proptest! {
        /// Whatever is asked for: never more than was paid comes back, nor more
        /// commission than was taken, and the franchise keeps the rate of its slip
        /// on what is left.
        #[test]
        fn a_chain_never_gives_back_more_than_was_paid(
            gross in 1_i64..2_000_000,
            bps in 0_i32..=10_000,
            asked in prop::collection::vec(prop::option::weighted(0.9, -10_i64..900_000), 1..30),
            open: bool,
        ) {
            let mut book = book(open);
            let mut chain = paid(gross, bps);
            let (mut refunded, mut given_back, mut links) = (0, 0, 0);
            for (number, amount) in asked.into_iter().enumerate() {
                let id = Uuid::from_u128(100 + number as u128);
                match decide(&mut book, id, &request(amount), Named::Made(&mut chain), true, 0) {
                    Decision::Completed(link) => {
                        links += 1;
                        refunded += link.amount;
                        given_back += link.commission_back;
                        prop_assert!(link.amount > 0 && link.commission_back >= 0);
                        prop_assert_eq!((link.seq, link.refunded), (links, refunded));
                        prop_assert_eq!(link.commission_after, commission::of(gross - refunded, bps));
                    }
                    Decision::Rejected(reason) => {
                        let amount = amount.unwrap_or(0);
                        let expected = match amount {
                            ..=0 if amount != 0 || refunded < gross => Reason::InvalidAmount,
                            _ if refunded == gross => reason,
                            _ => Reason::CancelExceedsPayment,
                        };
                        prop_assert_eq!(reason, expected);
                    }
                    Decision::AwaitsBank(_) => prop_assert!(false),
                }
            }
            prop_assert!(refunded <= gross);
            prop_assert_eq!(given_back + chain.commission(), chain.slip.commission);
            let moved: i64 = book.postings().iter().map(|posting| posting.amount).sum();
            prop_assert_eq!(moved, refunded);
            let changes = book.member_changes();
            prop_assert!(changes.iter().all(|it| it.dip == 0 && it.peak == 0));
            // A closed member gets nothing onto my money; it is kept apart.
            let kept = SystemAccount::unclaimed(MEMBER);
            let unclaimed = book.system_changes().iter().find(|it| it.1 == kept).map_or(0, |it| it.2);
            let money: i64 = changes.iter().map(|it| it.balance).sum();
            prop_assert_eq!((money, unclaimed), if open { (refunded, 0) } else { (0, refunded) });
        }
    }

    fn decided(
        request: &PaymentRequest,
        named: Named<'_>,
        franchise_open: bool,
    ) -> Decision<Cancel> {
        decide(&mut book(true), MEMBER, request, named, franchise_open, 0)
    }

    #[test]
    fn only_the_payment_s_own_member_and_franchise_cancel_it() {
        let mut chain = paid(1_000, 250);
        let mut other = request(None);
        other.franchise_id = Uuid::from_u128(3).to_string();
        let refused = |decision, reason| assert_eq!(decision, Decision::Rejected(reason));
        refused(
            decided(&other, Named::Made(&mut chain), true),
            Reason::ForeignPayment,
        );
        let mut silent = request(None);
        silent.cancel_reason = None;
        refused(
            decided(&silent, Named::Made(&mut chain), true),
            Reason::InvalidReason,
        );
        refused(
            decided(&request(None), Named::Made(&mut chain), false),
            Reason::FranchiseClosed,
        );
        assert_eq!(chain, paid(1_000, 250));
    }

    /// Of one that is not there nothing is compared: whose it is is not known.
    #[test]
    fn a_payment_that_is_not_made_yet_is_not_unknown() {
        for franchise_open in [true, false] {
            for (named, reason) in [
                (Named::Unknown, Reason::UnknownPayment),
                (Named::InProgress, Reason::PaymentInProgress),
            ] {
                let decision = decided(&request(Some(1)), named, franchise_open);
                assert_eq!(decision, Decision::Rejected(reason));
            }
        }
        let mut silent = request(None);
        silent.cancel_reason = None;
        let decision = decided(&silent, Named::InProgress, true);
        assert_eq!(decision, Decision::Rejected(Reason::InvalidReason));
    }
}
