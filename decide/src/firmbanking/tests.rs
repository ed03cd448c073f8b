use super::*;
use mypay_schemas::firmbanking::{PURPOSE_CLOSING, PURPOSE_REMITTANCE, PURPOSE_SETTLEMENT};

const BANK: &str = "004";
const OTHER: &str = "088";
const CORPORATE: &str = "990004000001";
const BEFORE: &str = "990004000000";

fn at(bank_code: &str, account_number: &str) -> BankAccount {
    BankAccount {
        bank_code: bank_code.into(),
        account_number: account_number.into(),
    }
}

fn request(purpose: &str, from: BankAccount, to: BankAccount) -> FirmbankingRequest {
    FirmbankingRequest {
        message_id: String::new(),
        correlation_id: String::new(),
        requested_at: 0,
        purpose: purpose.into(),
        from,
        to,
        amount: 10_000,
        to_holder_name: (!draws(purpose)).then(|| "김민지".into()),
        causation_id: None,
    }
}

fn origin(purpose: &'static str, account: BankAccount) -> Origin {
    Origin {
        purpose,
        amount: 10_000,
        from_bank: BANK.into(),
        holder_name: (!draws(purpose)).then(|| "김민지".into()),
        account,
    }
}

/// Contracts with both banks, ours with the first as told.
fn taken(
    request: &FirmbankingRequest,
    origin: Option<&Origin>,
    in_force: bool,
) -> Result<Command, Reason> {
    let contracts = [(BANK, CORPORATE), (OTHER, "990088000001")].map(|(code, account)| {
        let contract = Contract {
            corporate_account: account.into(),
            in_force,
        };
        (code, contract)
    });
    decide(request, origin, |code| {
        let mut contracts = contracts.iter();
        contracts.find(|it| it.0 == code).map(|it| &it.1)
    })
}

#[test]
fn our_side_is_the_account_of_the_contract_as_it_is_now() {
    let theirs = at(BANK, "110200300");
    let dashes = "-".repeat(65);
    // Whatever the message has there: it is no reason to refuse what the flow asked for.
    for named in [CORPORATE, BEFORE, "1", "", "no number", &dashes] {
        let ours = at(BANK, named);
        for purpose in [PURPOSE_RECHARGE, PURPOSE_UNDO] {
            let drawn = request(purpose, theirs.clone(), ours.clone());
            let command = taken(&drawn, Some(&origin(purpose, theirs.clone())), true);
            let command = command.expect("a recharge or an undo stands behind it");
            assert_eq!(
                (command.from, command.to),
                (theirs.clone(), at(BANK, CORPORATE))
            );
            assert!(command.to_ours);
        }
        for purpose in [PURPOSE_REMITTANCE, PURPOSE_SETTLEMENT, PURPOSE_CLOSING] {
            let paid = request(purpose, ours.clone(), theirs.clone());
            let command = taken(&paid, Some(&origin(purpose, theirs.clone())), true);
            let command = command.expect("a payout stands behind it");
            assert_eq!(
                (command.from, command.to),
                (at(BANK, CORPORATE), theirs.clone())
            );
            assert!(!command.to_ours);
        }
    }
}

#[test]
fn how_a_message_writes_the_flows_account_is_no_reason_to_refuse_it() {
    let (ours, theirs) = (at(BANK, CORPORATE), at(BANK, "110200300"));
    let written = at(BANK, &format!("110-{}200 300", "-".repeat(65)));
    for (purpose, from, to) in [
        (PURPOSE_RECHARGE, &written, &ours),
        (PURPOSE_UNDO, &written, &ours),
        (PURPOSE_REMITTANCE, &ours, &written),
    ] {
        let asked = request(purpose, from.clone(), to.clone());
        let command = taken(&asked, Some(&origin(purpose, theirs.clone())), true);
        let command = command.expect("it is the account that the flow named");
        assert!([command.from, command.to].contains(&theirs), "{purpose}");
    }
}

#[test]
fn a_command_of_a_flow_is_what_the_flow_asked_for() {
    let (ours, theirs) = (at(BANK, CORPORATE), at(BANK, "110200300"));
    let recharge = origin(PURPOSE_RECHARGE, theirs.clone());
    let drawn = request(PURPOSE_RECHARGE, theirs.clone(), ours.clone());
    let payout = origin(PURPOSE_REMITTANCE, theirs.clone());
    let paid = request(PURPOSE_REMITTANCE, ours.clone(), theirs.clone());
    let forged = |request: &FirmbankingRequest, change: fn(&mut FirmbankingRequest)| {
        let mut request = request.clone();
        change(&mut request);
        request
    };
    let undo = origin(PURPOSE_UNDO, theirs.clone());
    let undone = request(PURPOSE_UNDO, theirs.clone(), ours.clone());
    for (request, origin) in [
        (drawn.clone(), None),
        // Nobody has approved it, or it is of another payout than the one approved.
        (undone.clone(), None),
        (undone.clone(), Some(&recharge)),
        (drawn.clone(), Some(&undo)),
        (forged(&undone, |it| it.amount += 1), Some(&undo)),
        (forged(&undone, |it| it.from = at(BANK, "1")), Some(&undo)),
        (
            forged(&undone, |it| it.to = at(OTHER, "990088000001")),
            Some(&undo),
        ),
        (drawn.clone(), Some(&payout)),
        (paid.clone(), Some(&recharge)),
        (forged(&drawn, |it| it.amount += 1), Some(&recharge)),
        (
            forged(&drawn, |it| it.from = at(BANK, "1")),
            Some(&recharge),
        ),
        // Our account at another bank: the ledger would have it at this one.
        (
            forged(&drawn, |it| it.to = at(OTHER, "990088000001")),
            Some(&recharge),
        ),
        (forged(&paid, |it| it.amount -= 1), Some(&payout)),
        (forged(&paid, |it| it.to = at(BANK, "1")), Some(&payout)),
        (
            forged(&paid, |it| it.from = at(OTHER, "990088000001")),
            Some(&payout),
        ),
        (forged(&paid, |it| it.to_holder_name = None), Some(&payout)),
        (
            forged(&paid, |it| it.to_holder_name = Some("이준".into())),
            Some(&payout),
        ),
    ] {
        assert_eq!(
            taken(&request, origin, true),
            Err(Reason::UnknownOrigin),
            "{request:?}"
        );
    }
    assert_eq!(
        taken(&drawn, Some(&recharge), false),
        Err(Reason::NoContract)
    );
    assert_eq!(taken(&paid, Some(&payout), false), Err(Reason::NoContract));
    assert_eq!(taken(&undone, Some(&undo), false), Err(Reason::NoContract));
}

#[test]
fn money_is_not_paid_to_the_account_it_comes_from() {
    let ours = at(BANK, CORPORATE);
    let paid = request(PURPOSE_REMITTANCE, at(BANK, BEFORE), ours.clone());
    let payout = origin(PURPOSE_REMITTANCE, ours.clone());
    let to_ours = Err(Reason::ReceiverIsOurs);
    assert_eq!(taken(&paid, Some(&payout), true), to_ours);
    // Nor drawn from it.
    let drawn = request(PURPOSE_RECHARGE, ours.clone(), at(BANK, BEFORE));
    let recharge = origin(PURPOSE_RECHARGE, ours.clone());
    assert_eq!(
        taken(&drawn, Some(&recharge), true),
        Err(Reason::SameAccount)
    );
    // Nor to our account at another bank: no flow books what comes in there.
    let other = at(OTHER, "990088000001");
    for purpose in [PURPOSE_REMITTANCE, PURPOSE_SETTLEMENT, PURPOSE_CLOSING] {
        let paid = request(purpose, ours.clone(), other.clone());
        let payout = origin(purpose, other.clone());
        assert_eq!(taken(&paid, Some(&payout), true), to_ours);
    }
    let direct = request("staff", ours.clone(), at(BANK, "9900-0400 0001"));
    assert_eq!(taken(&direct, None, true), Err(Reason::SameAccount));
}

#[test]
fn a_direct_command_moves_our_own_money() {
    let (ours, theirs) = (at(BANK, CORPORATE), at(BANK, "110200300"));
    let direct = |from: &BankAccount, to: &BankAccount| {
        taken(&request("staff", from.clone(), to.clone()), None, true)
    };
    let out = direct(&ours, &theirs).expect("our own money");
    assert!(!out.to_ours);
    let between = direct(&ours, &at(OTHER, "990088-000001")).expect("our own money");
    assert!(between.to_ours);
    assert_eq!(direct(&theirs, &ours), Err(Reason::NotOurAccount));
    assert_eq!(
        direct(&at(BANK, BEFORE), &theirs),
        Err(Reason::NotOurAccount)
    );
    assert_eq!(
        direct(&at("020", "110200"), &theirs),
        Err(Reason::NoContract)
    );
}

#[test]
fn nothing_goes_to_an_account_of_others_without_its_holders_name() {
    let (ours, theirs) = (at(BANK, CORPORATE), at(BANK, "110200300"));
    let nameless = |purpose: &str, from: &BankAccount, to: &BankAccount, name: Option<&str>| {
        let mut request = request(purpose, from.clone(), to.clone());
        request.to_holder_name = name.map(str::to_owned);
        request
    };
    for name in [None, Some(""), Some("  ")] {
        let direct = nameless("staff", &ours, &theirs, name);
        let missing = Err(Reason::MissingHolderName);
        assert_eq!(taken(&direct, None, true), missing, "{name:?}");
        for purpose in [PURPOSE_REMITTANCE, PURPOSE_SETTLEMENT, PURPOSE_CLOSING] {
            let paid = nameless(purpose, &ours, &theirs, name);
            let origin = Origin {
                holder_name: name.map(str::to_owned),
                ..origin(purpose, theirs.clone())
            };
            assert_eq!(taken(&paid, Some(&origin), true), missing, "{purpose}");
        }
    }
    // Between our own accounts nobody need be asked, nor where money comes to us.
    let between = nameless("staff", &ours, &at(OTHER, "990088000001"), None);
    assert!(taken(&between, None, true).is_ok_and(|it| it.to_ours));
    let drawn = nameless(PURPOSE_RECHARGE, &theirs, &ours, None);
    let recharge = origin(PURPOSE_RECHARGE, theirs.clone());
    assert!(taken(&drawn, Some(&recharge), true).is_ok_and(|it| it.to_ours));
}

#[test]
fn an_account_number_has_6_to_20_digits_however_it_is_written() {
    for written in ["123456", "12-34 56", " 12345678901234567890 "] {
        let digits: String = written.chars().filter(char::is_ascii_digit).collect();
        assert_eq!(normalised(BANK, written), Ok(at(BANK, &digits)));
    }
    let dashes = "-".repeat(65);
    for written in [
        "",
        "12345",
        "1-2-3-4-5",
        "123456789012345678901",
        "12345a",
        "１２３４５６",
        &dashes,
    ] {
        assert_eq!(
            normalised(BANK, written),
            Err(Reason::InvalidAccountNumber),
            "{written}"
        );
        // By a topic, directly and of a flow that asked for just that.
        let (ours, theirs) = (at(BANK, CORPORATE), at(BANK, written));
        let direct = request("staff", ours.clone(), theirs.clone());
        assert_eq!(
            taken(&direct, None, true),
            Err(Reason::InvalidAccountNumber)
        );
        for (purpose, from, to) in [
            (PURPOSE_RECHARGE, &theirs, &ours),
            (PURPOSE_CLOSING, &ours, &theirs),
        ] {
            let asked = request(purpose, from.clone(), to.clone());
            let origin = origin(purpose, theirs.clone());
            assert_eq!(
                taken(&asked, Some(&origin), true),
                Err(Reason::InvalidAccountNumber)
            );
        }
    }
    let other = origin(PURPOSE_CLOSING, at(BANK, "12345"));
    let forged = request(PURPOSE_CLOSING, at(BANK, CORPORATE), at(BANK, "12346"));
    assert_eq!(
        taken(&forged, Some(&other), true),
        Err(Reason::UnknownOrigin)
    );
}

#[test]
fn a_receiver_is_ours_or_suspense_as_it_was_taken_in() {
    let id = Uuid::from_u128(1);
    for (to_ours, receiver) in [
        (Some(OTHER), SystemAccount::corporate_cash(OTHER, 0)),
        (
            None,
            SystemAccount::new(AccountKind::Suspense, Uuid::nil(), 0),
        ),
    ] {
        let answered = Answered {
            firmbanking_id: id,
            purpose: "staff",
            from_bank: BANK,
            to_ours,
            amount: 10_000,
        };
        let mut book = Book::new(Default::default(), []);
        answered.done(&mut book, 300);
        answered.reversed(&mut book);
        let changes = book.system_changes();
        let of = |account: &SystemAccount| {
            let of = changes.iter().filter(|it| it.0 == account.id());
            of.map(|it| it.2).sum::<i64>()
        };
        // Undone to the won, but for the fee.
        assert_eq!(of(&receiver), 0);
        assert_eq!(of(&SystemAccount::corporate_cash(BANK, 0)).abs(), 300);
    }
}

/// What an undo brings back is posted by the flow whose payout it was, as what a bank
/// reverses is; its own answer costs the bank's fee alone.
#[test]
fn an_undo_costs_its_bank_s_fee_and_posts_nothing_else() {
    let answered = Answered {
        firmbanking_id: Uuid::from_u128(1),
        purpose: PURPOSE_UNDO,
        from_bank: BANK,
        to_ours: Some(BANK),
        amount: 10_000,
    };
    let mut book = Book::new(Default::default(), []);
    answered.done(&mut book, 300);
    let changes = book.system_changes();
    let moved: i64 = changes.iter().map(|it| it.2.abs()).sum();
    assert_eq!(moved, 600);
    let cash = SystemAccount::corporate_cash(BANK, 0).id();
    assert!(changes.iter().any(|it| it.0 == cash));
}

#[test]
fn a_reason_says_which_field_is_at_fault() {
    let good = request("staff", at(BANK, CORPORATE), at(BANK, "110200300"));
    assert!(taken(&good, None, true).is_ok());
    let changed = |change: &dyn Fn(&mut FirmbankingRequest)| {
        let mut request = good.clone();
        change(&mut request);
        taken(&request, None, true).map(|_| ())
    };
    for purpose in ["", "two\nlines", &"x".repeat(PURPOSE_MAX + 1)] {
        let reason = changed(&|it| it.purpose = purpose.into());
        assert_eq!(reason, Err(Reason::InvalidPurpose), "{purpose:?}");
    }
    for name in ["a\0b", "김\u{200b}철수", &"김".repeat(HOLDER_NAME_MAX + 1)] {
        let reason = changed(&|it| it.to_holder_name = Some(name.into()));
        assert_eq!(reason, Err(Reason::InvalidHolderName), "{name:?}");
    }
    for code in ["", "4", "kakao", "0０4"] {
        let reason = changed(&|it| it.to.bank_code = code.into());
        assert_eq!(reason, Err(Reason::InvalidBankCode), "{code:?}");
    }
    let reason = changed(&|it| it.amount = 0);
    assert_eq!(reason, Err(Reason::InvalidAmount));
}
