use super::*;
use crate::classes::Reason;
use crate::wire::AccountStatus;

fn account(bank: &str, number: &str) -> BankAccount {
    BankAccount::new(bank, number).unwrap()
}

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_772_000_000 + seconds, 0).unwrap()
}

/// Ours at 004 has 1,000,000; a member's at 004 and one at 020 have 50,000 each; fee 300.
fn book() -> Book {
    let state = |kind, balance| AccountState {
        kind,
        status: AccountStatus::Open,
        balance,
        lines: 1,
    };
    let ours = account("004", "100000000");
    Book {
        accounts: HashMap::from([
            (ours.clone(), state(AccountKind::Corporate, 1_000_000)),
            (
                account("004", "200000000"),
                state(AccountKind::Personal, 50_000),
            ),
            (
                account("020", "300000000"),
                state(AccountKind::Personal, 50_000),
            ),
        ]),
        fee_payers: HashMap::from([("004".to_owned(), ours)]),
        fees: HashMap::from([("004".to_owned(), 300)]),
        ..Book::default()
    }
}

fn payout(number: u32, amount: i64) -> TransferCommand {
    TransferCommand {
        bank_code: "004".into(),
        business_date: NaiveDate::from_ymd_opt(2026, 3, 2).unwrap(),
        number,
        from: account("004", "100000000"),
        to: account("020", "300000000"),
        amount,
    }
}

fn balance(book: &Book, bank: &str, number: &str) -> i64 {
    book.accounts[&account(bank, number)].balance
}

/// Wider than a balance: one of the tests fills an account to its end.
fn total(book: &Book) -> i128 {
    book.accounts.values().map(|a| i128::from(a.balance)).sum()
}

fn state(outcome: Outcome) -> State {
    match outcome {
        Outcome::Fresh(transfer) | Outcome::Known(transfer) => transfer.state,
        Outcome::NumberTaken => panic!("the number is taken"),
    }
}

#[test]
fn a_payout_costs_us_the_amount_and_the_fee() {
    let mut book = book();
    let done = book.execute(&payout(1, 10_000), Instructions::default(), at(0));
    assert_eq!(
        state(done),
        State::Done {
            executed_at: at(0),
            fee: 300
        }
    );
    assert_eq!(balance(&book, "004", "100000000"), 989_700);
    assert_eq!(balance(&book, "020", "300000000"), 60_000);
    let ours = &book.lines[0];
    assert_eq!((ours.amount, ours.fee, ours.line_number), (-10_000, 300, 2));
}

#[test]
fn a_collection_is_credited_less_the_fee_on_one_line() {
    let mut book = book();
    let mut collect = payout(1, 10_000);
    (collect.from, collect.to) = (account("004", "200000000"), account("004", "100000000"));
    book.execute(&collect, Instructions::default(), at(0));
    assert_eq!(balance(&book, "004", "200000000"), 40_000);
    assert_eq!(balance(&book, "004", "100000000"), 1_009_700);
    assert_eq!(book.lines.len(), 2);
}

#[test]
fn a_fee_for_others_accounts_has_a_line_of_its_own() {
    let mut book = book();
    let mut between = payout(1, 10_000);
    between.from = account("004", "200000000");
    book.execute(&between, Instructions::default(), at(0));
    assert_eq!(balance(&book, "004", "100000000"), 999_700);
    assert_eq!(book.lines[2].kind, LineKind::Fee);
}

#[test]
fn the_same_number_moves_once_whatever_it_says_the_second_time() {
    let mut book = book();
    let first = book.execute(&payout(1, 10_000), Instructions::default(), at(0));
    let again = book.execute(&payout(1, 10_000), Instructions::default(), at(9));
    assert_eq!(state(again), state(first));
    let other = book.execute(&payout(1, 10_001), Instructions::default(), at(9));
    assert_eq!(other, Outcome::NumberTaken);
    assert_eq!(balance(&book, "020", "300000000"), 60_000);
    assert_eq!(book.inserted.len(), 1);
}

#[test]
fn what_is_refused_moves_nothing() {
    let mut broke = payout(1, 1_000_000);
    let refused = |book: &mut Book, command: &TransferCommand| {
        let before = total(book);
        let outcome = state(book.execute(command, Instructions::default(), at(0)));
        assert_eq!(total(book), before);
        assert!(book.lines.is_empty());
        outcome
    };
    // The fee does not fit any more.
    assert_eq!(
        refused(&mut book(), &broke),
        State::Refused(Reason::InsufficientFundsAtBank)
    );
    broke.to = account("088", "999999999");
    broke.amount = 1;
    assert_eq!(
        refused(&mut book(), &broke),
        State::Refused(Reason::NoSuchAccount)
    );
    let mut closed = book();
    let receiver = account("020", "300000000");
    closed.accounts.get_mut(&receiver).unwrap().status = AccountStatus::Closed;
    assert_eq!(
        refused(&mut closed, &payout(1, 1)),
        State::Refused(Reason::AccountClosed)
    );
    let mut full = book();
    full.accounts.get_mut(&receiver).unwrap().balance = i64::MAX;
    full.accounts
        .get_mut(&account("004", "200000000"))
        .unwrap()
        .balance = -i64::MAX;
    assert_eq!(
        refused(&mut full, &payout(1, 1)),
        State::Refused(Reason::AmountLimit)
    );
    let mut without = book();
    without.fee_payers.clear();
    without
        .accounts
        .get_mut(&account("004", "100000000"))
        .unwrap()
        .kind = AccountKind::Personal;
    assert_eq!(
        refused(&mut without, &payout(1, 1)),
        State::Refused(Reason::NoContract)
    );
}

#[test]
fn in_progress_is_decided_once_and_when_due() {
    let mut book = book();
    let wish = Instructions {
        in_progress_until: Some(at(5)),
        ..Instructions::default()
    };
    let key = TransferKey::from(&payout(1, 10_000));
    book.execute(&payout(1, 10_000), wish, at(0));
    book.settle(&key, at(4));
    assert!(book.lines.is_empty());
    book.settle(&key, at(5));
    book.settle(&key, at(6));
    assert_eq!(
        book.transfers[&key].state,
        State::Done {
            executed_at: at(5),
            fee: 300
        }
    );
    assert_eq!(book.lines.len(), 2);
}

#[test]
fn a_reversal_comes_once_with_the_next_notice_number_and_without_the_fee() {
    let mut book = book();
    let wish = Instructions {
        reverse_at: Some(at(5)),
        ..Instructions::default()
    };
    for number in [1, 2] {
        book.execute(&payout(number, 10_000), wish, at(0));
        let key = TransferKey::from(&payout(number, 10_000));
        book.reverse(&key, at(4));
        book.reverse(&key, at(5));
        book.reverse(&key, at(6));
    }
    assert_eq!(balance(&book, "004", "100000000"), 1_000_000 - 600);
    assert_eq!(balance(&book, "020", "300000000"), 50_000);
    let numbers: Vec<_> = book.notices.iter().map(|notice| notice.number).collect();
    assert_eq!(numbers, [1, 2]);
}

#[test]
fn what_the_receiver_has_spent_does_not_come_back() {
    let mut book = book();
    let wish = Instructions {
        reverse_at: Some(at(5)),
        ..Instructions::default()
    };
    book.execute(&payout(1, 10_000), wish, at(0));
    book.accounts
        .get_mut(&account("020", "300000000"))
        .unwrap()
        .balance = 9_999;
    book.reverse(&TransferKey::from(&payout(1, 10_000)), at(5));
    assert!(book.notices.is_empty());
    assert_eq!(book.lines.len(), 2);
}
