//! Cancel of a payment, in whole or in part: franchise payable back to the
//! member's my money.

use mypay_schemas::payment::PaymentRequest;
use uuid::Uuid;

use crate::account::{Account, AccountKind, SystemAccount};
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
/// The money is the member's own coming back: it lands though the member is
/// closed or the balance passes its cap. The franchise's payable may go below
/// zero, where the payment is settled: the next run carries it.
pub fn decide(
    book: &mut Book,
    entry_id: Uuid,
    request: &PaymentRequest,
    paid: Option<&mut Paid>,
    partition: i32,
) -> Decision<Cancel> {
    let paid = match check(request, paid) {
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
    book.even_if_closed(paid.slip.member_id);
    book.post(
        (entry_id, 0),
        EntryKind::PaymentCancel,
        payable,
        Account::Member(paid.slip.member_id),
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

fn check<'a>(request: &PaymentRequest, paid: Option<&'a mut Paid>) -> Result<&'a mut Paid, Reason> {
    let reason = request.cancel_reason.as_deref().unwrap_or_default();
    if reason.is_empty()
        || reason.chars().count() > CANCEL_REASON_MAX
        || reason.contains(char::is_control)
    {
        return Err(Reason::InvalidField);
    }
    let paid = paid.ok_or(Reason::UnknownPayment)?;
    let slip = &paid.slip;
    // The key is the member's: a cancel under another name was loaded without
    // the member, and is nobody's right.
    if Uuid::try_parse(&request.member_id) != Ok(slip.member_id)
        || Uuid::try_parse(&request.franchise_id) != Ok(slip.franchise_id)
    {
        return Err(Reason::ForeignPayment);
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
