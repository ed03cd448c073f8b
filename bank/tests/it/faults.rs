//! The faults: what the client sees, and what is true.

use mypay_bank::client::UnknownWhy;
use mypay_bank::dummy::{BankDial, Dial};
use mypay_bank::{Answer, Reason};

use crate::with_bank::{OPENING, WithBank, until};

fn why(answer: Answer) -> UnknownWhy {
    match answer {
        Answer::Unknown { why } => why,
        other => panic!("not unknown: {other:?}"),
    }
}

/// Sends one payout under a fault and returns what was seen and what was done.
async fn one(fault: &str) -> (WithBank, Answer, Answer) {
    let bank = WithBank::start(&[fault]).await;
    let command = bank.payout(0, 10_000);
    let seen = bank.client.transfer(&command).await;
    let truth = bank
        .client
        .inquire("004", command.business_date, command.number)
        .await;
    (bank, seen, truth)
}

#[tokio::test]
async fn whatever_happens_to_the_answer_the_inquiry_tells_the_truth_and_the_resend_too() {
    for (fault, expected) in [
        ("slow=1", "timed_out"),
        ("error_after=1", "http_status"),
        ("lost_answer=1", "connection_broke"),
        ("garbage=1", "unreadable"),
        ("unknown_code=1", "code_not_in_table"),
    ] {
        let (bank, seen, truth) = one(fault).await;
        assert_eq!(why(seen).as_str(), expected, "{fault}");
        assert!(matches!(truth, Answer::Done { .. }), "{fault}: {truth:?}");
        assert_eq!(
            bank.client.transfer(&bank.payout(0, 10_000)).await,
            truth,
            "{fault}"
        );
        assert_eq!(bank.balance(&bank.receiver).await, 10_000, "{fault}");
    }
}

#[tokio::test]
async fn an_error_before_execution_looks_the_same_and_moved_nothing() {
    let (bank, seen, truth) = one("error_before=1").await;
    assert_eq!(why(seen), UnknownWhy::Status(500));
    assert_eq!(truth, Answer::NotFound);
    let again = bank.client.transfer(&bank.payout(0, 10_000)).await;
    assert!(matches!(again, Answer::Done { .. }), "{again:?}");
    assert_eq!(bank.balance(&bank.receiver).await, 10_000);
}

#[tokio::test]
async fn a_cut_at_any_byte_is_unknown_and_sometimes_nothing_was_done() {
    let bank = WithBank::start(&["cut=1"]).await;
    let (mut done, mut not_found) = (0, 0);
    for n in 0..40 {
        let command = bank.payout(n, 100);
        let seen = bank.client.transfer(&command).await;
        assert_eq!(why(seen).as_str(), "connection_broke");
        match bank
            .client
            .inquire("004", command.business_date, command.number)
            .await
        {
            Answer::Done { .. } => done += 1,
            Answer::NotFound => not_found += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(
        done > not_found && not_found > 0,
        "{done} done, {not_found} not"
    );
    assert_eq!(bank.balance(&bank.receiver).await, done * 100);
}

#[tokio::test]
async fn in_progress_is_done_later_and_with_refuse_is_refused_later() {
    let (bank, seen, truth) = one("in_progress=1").await;
    assert_eq!((seen, truth), (Answer::InProgress, Answer::InProgress));
    assert_eq!(bank.balance(&bank.receiver).await, 0);
    decided(&bank, |answer| matches!(answer, Answer::Done { .. })).await;
    assert_eq!(bank.balance(&bank.receiver).await, 10_000);

    let bank = WithBank::start(&["in_progress=1", "refuse=1"]).await;
    let seen = bank.client.transfer(&bank.payout(0, 10_000)).await;
    assert_eq!(seen, Answer::InProgress);
    decided(&bank, |answer| matches!(answer, Answer::Refused { .. })).await;
    assert_eq!(bank.balance(&bank.ours).await, OPENING);
}

#[tokio::test]
async fn no_such_transaction_at_first_is_done_later() {
    let (bank, seen, truth) = one("not_found_first=1").await;
    assert_eq!(why(seen).as_str(), "connection_broke");
    assert_eq!(truth, Answer::NotFound);
    assert_eq!(
        bank.balance(&bank.receiver).await,
        10_000,
        "it was done all the time"
    );
    decided(&bank, |answer| matches!(answer, Answer::Done { .. })).await;
}

async fn decided(bank: &WithBank, wanted: impl Fn(&Answer) -> bool) {
    let command = bank.payout(0, 10_000);
    let inquire = async || {
        bank.client
            .inquire("004", command.business_date, command.number)
            .await
    };
    until(inquire, wanted).await;
}

#[tokio::test]
async fn a_reversal_comes_with_a_notice_and_a_lost_notice_shows_as_a_gap() {
    let bank = WithBank::start(&["late_reversal=1", "lost_notice=0.5"]).await;
    for n in 0..8 {
        assert!(matches!(
            bank.client.transfer(&bank.payout(n, 1_000)).await,
            Answer::Done { .. }
        ));
    }
    until(
        async || bank.balance(&bank.receiver).await,
        |balance| *balance == 0,
    )
    .await;
    assert_eq!(
        bank.balance(&bank.ours).await,
        OPENING - 8 * 300,
        "the fees stay gone"
    );
    bank.check_statement(&bank.ours).await;

    // Other tests' notices are in the same day; ours are those of our own day's transfers.
    let statement = bank.client.statement(&bank.ours, 0).await.unwrap();
    let today = statement.lines.last().unwrap().business_date;
    let page = bank.client.notices("004", today, 0).await.unwrap();
    let listed: Vec<i64> = page
        .notices
        .iter()
        .map(|notice| notice.notice_number)
        .collect();
    let mut found = 0;
    for number in 1..=page.last_number {
        let notice = bank
            .client
            .notice("004", today, number)
            .await
            .unwrap()
            .unwrap();
        if !listed.contains(&number) {
            let again = bank.client.notices("004", today, number - 1).await.unwrap();
            assert_eq!(
                again.notices[0], notice,
                "what was asked for is listed from then on"
            );
        }
        found += i32::from(notice.business_date == bank.day);
    }
    assert_eq!(found, 8);
    assert_eq!(
        bank.client
            .notice("004", today, page.last_number + 1_000_000)
            .await
            .unwrap(),
        None
    );
}

#[tokio::test]
async fn a_refusal_that_was_dialled_in_moves_nothing() {
    let (bank, seen, truth) = one("refuse=1").await;
    assert!(matches!(seen, Answer::Refused { .. }), "{seen:?}");
    assert_eq!(seen, truth);
    assert_eq!(bank.balance(&bank.ours).await, OPENING);
}

#[tokio::test]
async fn a_resting_bank_keeps_nothing_of_a_command_and_takes_it_later() {
    let bank = WithBank::start(&[]).await;
    let resting = BankDial {
        resting: true,
        ..BankDial::default()
    };
    let dial = Dial {
        banks: [("004".to_owned(), resting)].into(),
        ..Dial::default()
    };
    bank.client.dial_faults(&dial).await.unwrap();
    let command = bank.payout(0, 10_000);
    match bank.client.transfer(&command).await {
        Answer::Refused { reason, .. } => {
            assert!(reason == Reason::BankResting && reason.is_passing())
        }
        other => panic!("{other:?}"),
    }
    let inquiry = bank
        .client
        .inquire("004", command.business_date, command.number)
        .await;
    assert_eq!(inquiry, Answer::NotFound);
    bank.client.dial_faults(&Dial::default()).await.unwrap();
    assert!(matches!(
        bank.client.transfer(&command).await,
        Answer::Done { .. }
    ));
}

#[tokio::test]
async fn one_bank_that_hangs_costs_the_others_nothing() {
    let bank = WithBank::start(&["020:slow=1"]).await;
    let mut at_020 = bank.payout(0, 100);
    (at_020.from, at_020.to) = (bank.receiver.clone(), bank.member.clone());
    at_020.bank_code = "020".into();
    let slow = Dial {
        slow_ms: Some(600_000),
        ..bank.dial.clone()
    };
    bank.client.dial_faults(&slow).await.unwrap();
    let hanging: Vec<_> = (0..50)
        .map(|n| {
            let (client, mut command) = (bank.client.clone(), at_020.clone());
            command.number += n;
            tokio::spawn(async move { client.transfer(&command).await })
        })
        .collect();
    for n in 0..20 {
        let answer = bank.client.transfer(&bank.payout(n, 100)).await;
        assert!(matches!(answer, Answer::Done { .. }), "{answer:?}");
    }
    assert!(hanging.iter().all(|call| !call.is_finished()));
    hanging.iter().for_each(tokio::task::JoinHandle::abort);
}
