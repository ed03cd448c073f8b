//! What moves, and what does not.

use futures::future::join_all;
use mypay_bank::wire::{AccountKind, AccountSeed, AccountStatus, Total};
use mypay_bank::{Answer, BankAccount, HolderAnswer, Reason, TransferCommand};

use crate::with_bank::{OPENING, WithBank};

fn reason(answer: Answer) -> Reason {
    match answer {
        Answer::Refused { reason, .. } => reason,
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test]
async fn a_payout_sent_again_has_the_same_answer_and_moves_once() {
    let bank = WithBank::start(&[]).await;
    let command = bank.payout(0, 10_000);
    let first = bank.client.transfer(&command).await;
    assert!(matches!(first, Answer::Done { fee: 300, .. }), "{first:?}");
    assert_eq!(bank.client.transfer(&command).await, first);
    let inquiry = bank
        .client
        .inquire("004", command.business_date, command.number)
        .await;
    assert_eq!(inquiry, first);
    assert_eq!(bank.balance(&bank.ours).await, OPENING - 10_300);
    assert_eq!(bank.balance(&bank.receiver).await, 10_000);
    bank.check_statement(&bank.ours).await;
}

#[tokio::test]
async fn a_hundred_copies_at_once_move_once() {
    let bank = WithBank::start(&[]).await;
    let command = bank.payout(0, 10_000);
    let answers = join_all((0..100).map(|_| bank.client.transfer(&command))).await;
    assert!(
        answers.iter().all(|answer| *answer == answers[0]),
        "{answers:?}"
    );
    assert_eq!(bank.balance(&bank.receiver).await, 10_000);
}

#[tokio::test]
async fn a_known_number_with_other_content_is_refused_and_moves_nothing() {
    let bank = WithBank::start(&[]).await;
    let first = bank.client.transfer(&bank.payout(0, 10_000)).await;
    let other = bank.client.transfer(&bank.payout(0, 20_000)).await;
    assert_eq!(reason(other), Reason::NumberUsedWithOtherContent);
    assert_eq!(bank.client.transfer(&bank.payout(0, 10_000)).await, first);
    assert_eq!(bank.balance(&bank.receiver).await, 10_000);
}

#[tokio::test]
async fn a_refusal_is_kept_and_moves_nothing() {
    let bank = WithBank::start(&[]).await;
    // The fee does not fit.
    let command = bank.payout(0, OPENING);
    assert_eq!(
        reason(bank.client.transfer(&command).await),
        Reason::InsufficientFundsAtBank
    );
    let inquiry = bank
        .client
        .inquire("004", command.business_date, command.number)
        .await;
    assert_eq!(reason(inquiry), Reason::InsufficientFundsAtBank);
    let nowhere = BankAccount::new("020", "999999").unwrap();
    let command = TransferCommand {
        to: nowhere,
        ..bank.payout(1, 1)
    };
    assert_eq!(
        reason(bank.client.transfer(&command).await),
        Reason::NoSuchAccount
    );
    assert_eq!(bank.balance(&bank.ours).await, OPENING);
}

#[tokio::test]
async fn the_last_won_is_paid_out_once_however_many_want_it() {
    let bank = WithBank::start(&[]).await;
    let commands: Vec<_> = (0..50).map(|n| bank.payout(n, 1_000_000)).collect();
    let answers = join_all(commands.iter().map(|command| bank.client.transfer(command))).await;
    let done = answers
        .iter()
        .filter(|answer| matches!(answer, Answer::Done { .. }))
        .count();
    assert_eq!(done, 9, "10,000,000 hold nine payouts of 1,000,300");
    assert_eq!(bank.balance(&bank.ours).await, OPENING - 9 * 1_000_300);
    bank.check_statement(&bank.ours).await;
    bank.check_statement(&bank.receiver).await;
}

#[tokio::test]
async fn the_totals_of_the_day_are_those_of_the_commands() {
    let bank = WithBank::start(&[]).await;
    bank.client.transfer(&bank.payout(0, 10_000)).await;
    let (from, to) = (bank.member.clone(), bank.ours.clone());
    bank.client
        .transfer(&TransferCommand {
            from,
            to,
            ..bank.payout(1, 50_000)
        })
        .await;
    bank.client.transfer(&bank.payout(2, OPENING * 2)).await;
    let totals = bank.client.day_totals("004", bank.day).await.unwrap();
    assert_eq!(
        totals.outgoing,
        Total {
            count: 1,
            amount: 10_000,
            fees: 300
        }
    );
    assert_eq!(
        totals.incoming,
        Total {
            count: 1,
            amount: 50_000,
            fees: 300
        }
    );
    assert_eq!(
        totals.refused,
        Total {
            count: 1,
            amount: OPENING * 2,
            fees: 0
        }
    );
    let number = &bank.ours.account_number;
    let close = totals
        .accounts
        .iter()
        .find(|a| a.account_number == *number)
        .unwrap();
    assert_eq!(close.balance, OPENING - 10_000 + 50_000 - 600);
}

#[tokio::test]
async fn the_bank_tells_whose_an_account_is() {
    let bank = WithBank::start(&[]).await;
    let holder_name = "홍길동".to_owned();
    let open = bank.client.holder(&bank.member).await;
    assert_eq!(
        open,
        HolderAnswer::Open {
            holder_name: holder_name.clone()
        }
    );
    let nowhere = BankAccount::new("088", "999999").unwrap();
    assert_eq!(
        bank.client.holder(&nowhere).await,
        HolderAnswer::NoSuchAccount
    );

    let closed = AccountSeed {
        account_number: bank.receiver.account_number.clone(),
        holder_name: holder_name.clone(),
        opening_balance: 5_000,
        kind: AccountKind::Personal,
        status: AccountStatus::Closed,
    };
    bank.client.seed_accounts("020", &[closed]).await.unwrap();
    assert_eq!(
        bank.client.holder(&bank.receiver).await,
        HolderAnswer::Closed { holder_name }
    );
    assert_eq!(
        bank.balance(&bank.receiver).await,
        0,
        "seeding again makes no money"
    );
    let answer = bank.client.transfer(&bank.payout(0, 1)).await;
    assert_eq!(reason(answer), Reason::AccountClosed);
}
