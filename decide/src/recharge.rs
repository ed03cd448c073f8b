//! Recharge: a member's bank account to my money, by firmbanking.

use mypay_schemas::firmbanking::BankAccount;
use mypay_schemas::identity::is_derived;
use mypay_schemas::recharge::RechargeRequest;
use uuid::Uuid;

use crate::account::{Account, SystemAccount};
use crate::book::{Book, EntryKind, valid_amount};
use crate::{Decision, Limits, Reason};

/// The command that a recharge asks of the bank.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draw {
    /// The member's registered account.
    pub from: BankAccount,
    /// Our corporate account at the same bank.
    pub to: BankAccount,
}

/// Decides on a recharge, and reserves room for it under the cap.
///
/// `registered` is the member's bank account, `corporate` ours at that bank.
/// Nothing is credited before the bank has confirmed; but the amount counts
/// against the cap from now on, so that many recharges at once cannot pass it.
pub fn decide(
    book: &mut Book,
    request: &RechargeRequest,
    registered: Option<&BankAccount>,
    corporate: Option<&BankAccount>,
    limits: &Limits,
) -> Decision<Draw> {
    match check(book, request, registered, corporate, limits) {
        Ok((member_id, draw)) => {
            book.reserve(member_id, request.amount);
            Decision::AwaitsBank(draw)
        }
        Err(reason) => Decision::Rejected(reason),
    }
}

fn check(
    book: &Book,
    request: &RechargeRequest,
    registered: Option<&BankAccount>,
    corporate: Option<&BankAccount>,
    limits: &Limits,
) -> Result<(Uuid, Draw), Reason> {
    let amount = valid_amount(request.amount)?;
    // Of a direct recharge: what tops up is as much as its request lacks, and the
    // smallest may have been another when that was decided.
    if amount < limits.recharge_min && !is_derived(&request.message_id) {
        return Err(Reason::BelowRechargeMinimum);
    }
    let member_id = Uuid::try_parse(&request.member_id).map_err(|_| Reason::UnknownMember)?;
    let money = book.open_member(member_id).ok_or(Reason::UnknownMember)?;
    if money.balance + money.pending + amount > limits.balance_cap {
        return Err(Reason::BalanceCapExceeded);
    }
    let from = registered.ok_or(Reason::NoBankAccount)?.clone();
    let to = corporate.ok_or(Reason::NoContract)?.clone();
    Ok((member_id, Draw { from, to }))
}

/// The bank has confirmed: the money goes onto the member's balance.
pub fn confirmed(
    book: &mut Book,
    recharge_id: Uuid,
    member_id: Uuid,
    amount: i64,
    cash: SystemAccount,
) {
    book.even_if_closed(member_id);
    book.reserve(member_id, -amount);
    book.post(
        (recharge_id, 0),
        EntryKind::Recharge,
        cash,
        Account::Member(member_id),
        amount,
    );
}

/// The bank has refused: the room under the cap is given back.
pub fn refused(book: &mut Book, member_id: Uuid, amount: i64) {
    book.even_if_closed(member_id);
    book.reserve(member_id, -amount);
}

#[cfg(test)]
mod tests {
    use chrono::NaiveDate;
    use mypay_schemas::Flow;
    use mypay_schemas::recharge::id_of_top_up;

    use super::*;
    use crate::MemberMoney;

    const MEMBER: Uuid = Uuid::from_u128(0x0199_a1b2_c3d4_7e5f_8a9b_0c1d_2e3f_4a5b);

    fn asked(message_id: Uuid, amount: i64, limits: &Limits) -> Decision<Draw> {
        let day = NaiveDate::from_ymd_opt(2026, 3, 2).unwrap();
        let money = MemberMoney {
            open: true,
            balance: 0,
            pending: 0,
            sent_on: day,
            sent: 0,
        };
        let account = |number: &str| BankAccount {
            bank_code: "004".to_owned(),
            account_number: number.to_owned(),
        };
        let request = RechargeRequest {
            message_id: message_id.to_string(),
            correlation_id: message_id.to_string(),
            requested_at: 0,
            member_id: MEMBER.to_string(),
            amount,
            causation_id: None,
        };
        decide(
            &mut Book::new(day, [(MEMBER, money)]),
            &request,
            Some(&account("110123456789")),
            Some(&account("990004000001")),
            limits,
        )
    }

    #[test]
    fn the_smallest_recharge_is_that_of_a_direct_one() {
        let limits = Limits {
            recharge_min: 50_000,
            ..Limits::default()
        };
        let below = Decision::Rejected(Reason::BelowRechargeMinimum);
        assert_eq!(asked(MEMBER, 49_999, &limits), below);
        let direct = asked(MEMBER, 50_000, &limits);
        assert!(matches!(direct, Decision::AwaitsBank(_)), "{direct:?}");
        // A remittance that lacks 12,000 won tops up 20,000, whatever the smallest is.
        let top_up = asked(id_of_top_up(Flow::Remittance, MEMBER), 20_000, &limits);
        assert!(matches!(top_up, Decision::AwaitsBank(_)), "{top_up:?}");
    }
}
