//! Payment: my money of a member to a franchise.

use mypay_schemas::payment::PaymentRequest;
use uuid::Uuid;

use crate::account::{Account, AccountKind, SystemAccount};
use crate::book::{Book, EntryKind, valid_amount};
use crate::commission;
use crate::{Decision, Reason};

/// The longest order number of a franchise, in characters.
pub const ORDER_REF_MAX: usize = 64;

/// A franchise as a payment sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Franchise {
    /// False where the franchise is closed.
    pub open: bool,
    /// Commission rate in force, in hundredths of a percent.
    pub commission_bps: i32,
}

/// What a payment leaves behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slip {
    /// The member who paid.
    pub member_id: Uuid,
    /// The franchise.
    pub franchise_id: Uuid,
    /// Whole won.
    pub gross: i64,
    /// The rate in force, in hundredths of a percent.
    pub commission_bps: i32,
    /// Whole won, VAT included.
    pub commission: i64,
}

/// Decides on a payment and posts it.
pub fn decide(
    book: &mut Book,
    entry_id: Uuid,
    request: &PaymentRequest,
    franchise: Option<Franchise>,
    partition: i32,
) -> Decision<Slip> {
    match check(book, request, franchise) {
        Ok(slip) => {
            let payable =
                SystemAccount::new(AccountKind::FranchisePayable, slip.franchise_id, partition);
            let payer = Account::Member(slip.member_id);
            book.post(
                (entry_id, 0),
                EntryKind::Payment,
                payer,
                payable,
                slip.gross,
            );
            Decision::Completed(slip)
        }
        Err(reason) => Decision::Rejected(reason),
    }
}

fn check(
    book: &Book,
    request: &PaymentRequest,
    franchise: Option<Franchise>,
) -> Result<Slip, Reason> {
    let gross = valid_amount(request.amount)?;
    let order_ref = request.order_ref.as_str();
    if order_ref.is_empty()
        || order_ref.chars().count() > ORDER_REF_MAX
        || order_ref.contains(char::is_control)
    {
        return Err(Reason::InvalidOrderRef);
    }
    let member_id = Uuid::try_parse(&request.member_id).map_err(|_| Reason::UnknownMember)?;
    let franchise_id =
        Uuid::try_parse(&request.franchise_id).map_err(|_| Reason::UnknownFranchise)?;
    let money = book.open_member(member_id).ok_or(Reason::UnknownMember)?;
    let franchise = franchise
        .filter(|franchise| franchise.open)
        .ok_or(Reason::UnknownFranchise)?;
    if money.balance < gross {
        return Err(Reason::InsufficientFunds);
    }
    Ok(Slip {
        member_id,
        franchise_id,
        gross,
        commission_bps: franchise.commission_bps,
        commission: commission::of(gross, franchise.commission_bps),
    })
}
