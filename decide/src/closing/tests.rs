use chrono::NaiveDate;
use proptest::prelude::*;

use super::*;
use crate::MemberMoney;
use crate::book::Standing;

const MEMBER: Uuid = Uuid::from_u128(1);
const CLOSING: Uuid = Uuid::from_u128(9);

fn book(open: bool, balance: i64, pending: i64) -> Book {
    let today = NaiveDate::default();
    let money = MemberMoney {
        open,
        balance,
        pending,
        sent_on: today,
        sent: 0,
    };
    Book::new(today, [(MEMBER, money)])
}

fn account(number: &str) -> BankAccount {
    BankAccount {
        bank_code: "004".into(),
        account_number: number.into(),
    }
}

fn membership(status: Status) -> Membership {
    Membership {
        status,
        unclaimed: 0,
        payout_pending: false,
        registered: Some((account("111111"), "김하나".into())),
        franchise: None,
    }
}

fn settled() -> Franchise {
    Franchise {
        payable: 0,
        owed: 0,
        unsettled: false,
        payout_pending: false,
        on_hold: false,
    }
}

fn request(pays_out: bool) -> ClosingRequest {
    ClosingRequest {
        message_id: String::new(),
        correlation_id: String::new(),
        requested_at: 0,
        member_id: MEMBER.to_string(),
        pays_out,
        reason: "moves abroad".into(),
        causation_id: None,
    }
}

fn decided(book: &mut Book, membership: &Membership, pays_out: bool) -> Decision<Closing> {
    let corporate = [account("999999")];
    decide(
        book,
        CLOSING,
        &request(pays_out),
        Some(membership),
        &corporate,
        0,
    )
}

fn rejected(book: &mut Book, membership: &Membership, pays_out: bool) -> Option<Reason> {
    let decision = decided(book, membership, pays_out);
    assert!(!matches!(decision, Decision::Rejected(_)) || book.postings().is_empty());
    match decision {
        Decision::Rejected(reason) => Some(reason),
        _ => None,
    }
}

#[test]
fn a_member_without_money_is_closed_at_once() {
    let mut book = book(true, 0, 0);
    let decision = decided(&mut book, &membership(Status::Open), false);
    assert!(matches!(
        decision,
        Decision::Completed(Closing {
            amount: 0,
            payout: None,
            ..
        })
    ));
    assert!(book.postings().is_empty());
    assert_eq!(book.member_changes()[0].standing, Standing::Closes);
}

#[test]
fn all_that_is_left_goes_to_the_registered_account() {
    let mut book = book(true, 70_000, 0);
    let decision = decided(&mut book, &membership(Status::Open), true);
    let Decision::AwaitsBank(closing) = decision else {
        panic!("{decision:?}")
    };
    assert_eq!(closing.amount, 70_000);
    assert_eq!(closing.payout.unwrap().to, account("111111"));
    let change = book.member_changes()[0];
    assert_eq!(
        (change.balance, change.standing),
        (-70_000, Standing::Closes)
    );
    assert_eq!(book.postings().len(), 1);
}

#[test]
fn what_is_under_way_refuses_a_closing() {
    let open = membership(Status::Open);
    let mut with = open.clone();
    with.payout_pending = true;
    assert_eq!(
        rejected(&mut book(true, 0, 0), &with, true),
        Some(Reason::PayoutPending)
    );
    assert_eq!(
        rejected(&mut book(true, 0, 1), &open, true),
        Some(Reason::RechargePending)
    );
    assert_eq!(
        rejected(&mut book(true, 1, 0), &open, false),
        Some(Reason::BalanceNotEmpty)
    );
    with = membership(Status::Open);
    with.registered = None;
    assert_eq!(
        rejected(&mut book(true, 1, 0), &with, true),
        Some(Reason::NoBankAccount)
    );
    let none: [BankAccount; 0] = [];
    let decision = decide(
        &mut book(true, 1, 0),
        CLOSING,
        &request(true),
        Some(&open),
        &none,
        0,
    );
    assert_eq!(decision, Decision::Rejected(Reason::NoContract));
    for (status, reason) in [
        (Status::Closing, Reason::ClosingUnderWay),
        (Status::Closed, Reason::MemberClosed),
    ] {
        assert_eq!(
            rejected(&mut book(false, 0, 0), &membership(status), true),
            Some(reason)
        );
    }
    let nobody = decide(
        &mut book(true, 0, 0),
        CLOSING,
        &request(true),
        None,
        &none,
        0,
    );
    assert_eq!(nobody, Decision::Rejected(Reason::UnknownMember));
    for bad in ["", " ", "a\nb", &"x".repeat(201)] {
        let mut request = request(true);
        request.reason = bad.into();
        let decision = decide(
            &mut book(true, 0, 0),
            CLOSING,
            &request,
            Some(&open),
            &none,
            0,
        );
        assert_eq!(
            decision,
            Decision::Rejected(Reason::InvalidReason),
            "{bad:?}"
        );
    }
}

#[test]
fn a_franchise_is_closed_only_when_it_is_settled() {
    let is = |change: fn(&mut Franchise)| {
        let mut franchise = settled();
        change(&mut franchise);
        let mut membership = membership(Status::Open);
        membership.franchise = Some(franchise);
        rejected(&mut book(true, 0, 0), &membership, true)
    };
    assert_eq!(is(|_| {}), None);
    assert_eq!(is(|it| it.payable = -1), Some(Reason::FranchiseNotSettled));
    assert_eq!(is(|it| it.owed = 1), Some(Reason::FranchiseNotSettled));
    assert_eq!(
        is(|it| it.unsettled = true),
        Some(Reason::FranchiseNotSettled)
    );
    assert_eq!(
        is(|it| it.payout_pending = true),
        Some(Reason::PayoutPending)
    );
    assert_eq!(is(|it| it.on_hold = true), Some(Reason::FranchiseOnHold));
}

#[test]
fn what_came_back_to_a_closed_member_is_paid_out_by_closing_it_once_more() {
    let mut book = book(false, 0, 0);
    let mut closed = membership(Status::Closed);
    closed.unclaimed = 3_000;
    let decision = decided(&mut book, &closed, true);
    assert!(matches!(
        decision,
        Decision::AwaitsBank(Closing {
            amount: 3_000,
            unclaimed: true,
            ..
        })
    ));
    // The membership stays as it is.
    assert!(book.member_changes().is_empty());
    let debit = SystemAccount::unclaimed(MEMBER).id();
    assert_eq!(
        (book.postings()[0].debit, book.postings()[0].amount),
        (debit, 3_000)
    );
}

proptest! {
    /// Whatever the bank says, and whatever came back meanwhile: the member's money
    /// is at the bank, or the member has all of it again.
    #[test]
    fn no_won_is_lost_at_a_closing(
        balance in 1_i64..2_000_000,
        came_back in prop::option::of(1_i64..500_000),
        says_done: bool,
        undone: bool,
    ) {
        let mut total: std::collections::HashMap<Uuid, i64> = [(MEMBER, balance)].into();
        let post = |book: &Book, total: &mut std::collections::HashMap<Uuid, i64>| {
            for posting in book.postings() {
                *total.entry(posting.debit).or_default() -= posting.amount;
                *total.entry(posting.credit).or_default() += posting.amount;
            }
        };
        let mut asked = book(true, balance, 0);
        let decision = decided(&mut asked, &membership(Status::Open), true);
        prop_assert!(matches!(decision, Decision::AwaitsBank(_)));
        post(&asked, &mut total);
        prop_assert_eq!(total[&MEMBER], 0);

        // A payment is cancelled while the bank works.
        let kept = SystemAccount::unclaimed(MEMBER);
        if let Some(won) = came_back {
            let mut cancelled = book(false, 0, 0);
            let back = cancelled.money_back(MEMBER);
            let payable = SystemAccount::new(AccountKind::FranchisePayable, Uuid::from_u128(2), 0);
            cancelled.post((Uuid::from_u128(7), 0), EntryKind::PaymentCancel, payable, back, won);
            prop_assert_eq!(cancelled.member_changes()[0].standing, Standing::MustBeClosed);
            post(&cancelled, &mut total);
        }
        let unclaimed = total.get(&kept.id()).copied().unwrap_or_default();
        let mut answered = book(false, 0, 0);
        if says_done {
            confirmed(&mut answered, Uuid::from_u128(10), balance, "004", 0);
            if undone {
                reversed(&mut answered, Uuid::from_u128(11), MEMBER, balance, "004");
            }
        } else {
            reopened(&mut answered, Uuid::from_u128(10), MEMBER, (balance, unclaimed), 0);
            prop_assert_eq!(answered.member_changes()[0].standing, Standing::Reopens);
        }
        post(&answered, &mut total);
        let of = |id: Uuid| total.get(&id).copied().unwrap_or_default();
        prop_assert_eq!(of(in_transit(0).id()), 0);
        let cash = of(SystemAccount::corporate_cash("004", 0).id());
        let back = came_back.unwrap_or(0);
        let expected = match (says_done, undone) {
            (true, false) => (0, back, balance),
            (true, true) => (0, back + balance, 0),
            (false, _) => (balance + back, 0, 0),
        };
        prop_assert_eq!((of(MEMBER), of(kept.id()), cash), expected);
    }
}
