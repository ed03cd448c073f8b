//! The call itself, between the two commits.

use chrono::Utc;
use mypay_bank::{Answer, BankAccount, HolderAnswer, TransferCommand};

use super::Workers;
use super::breaker::Heard;
use super::claim::{Taken, Task};
use super::outcome::{self, Answered, Next};

/// Makes the call that a command needs; tells also whether the bank was heard.
pub(super) async fn make(workers: &Workers, taken: Taken) -> (Answered, Heard) {
    let account = |(bank_code, account_number): &(String, String)| BankAccount {
        bank_code: bank_code.clone(),
        account_number: account_number.clone(),
    };
    let bank_code = taken.from.0.clone();
    let table = workers.bank.table();
    let Some(bank) = table.bank(&bank_code) else {
        // A contract with a bank whose codes nobody has written down: nothing
        // could be understood, so nothing is sent, and what was is for people.
        let next = match taken.task {
            Task::Inquire(..) => Next::Manual,
            Task::Holder(_) | Task::Send(..) | Task::Lapsed => Next::Refused {
                reason: "no_contract".to_string(),
                fee: 0,
            },
        };
        let detail = format!("bank {bank_code} is not in the table of answer codes");
        return (answered(&taken, (next, detail), false), Heard::Answer);
    };
    match &taken.task {
        Task::Lapsed => {
            let next = Next::Refused {
                reason: "no_contract".to_string(),
                fee: 0,
            };
            let detail = "the contract is not in force, and nothing was sent".to_string();
            (answered(&taken, (next, detail), false), Heard::Answer)
        }
        Task::Holder(named) => {
            let answer = workers.bank.holder(&account(&taken.to)).await;
            let heard = match answer {
                HolderAnswer::Unavailable { .. } => Heard::Silence,
                _ => Heard::Answer,
            };
            let made = outcome::of_holder(answer, named, &taken, Utc::now());
            (answered(&taken, made, false), heard)
        }
        Task::Send(business_date, number) => {
            let command = TransferCommand {
                bank_code: bank_code.clone(),
                business_date: *business_date,
                number: *number,
                from: account(&taken.from),
                to: account(&taken.to),
                amount: taken.amount,
            };
            let answer = workers.bank.transfer(&command).await;
            let (heard, conclusive) = (heard(&answer), is_conclusive(&answer));
            let made = outcome::of_transfer(answer, &taken, bank, workers.inquiry, Utc::now());
            (answered(&taken, made, conclusive), heard)
        }
        Task::Inquire(business_date, number) => {
            let answer = workers
                .bank
                .inquire(&bank_code, *business_date, *number)
                .await;
            let (heard, conclusive) = (heard(&answer), is_conclusive(&answer));
            let made = outcome::of_inquiry(answer, &taken, bank, workers.inquiry, Utc::now());
            (answered(&taken, made, conclusive), heard)
        }
    }
}

fn answered(taken: &Taken, (next, detail): (Next, String), said: bool) -> Answered {
    let settles = matches!(next, Next::Done { .. } | Next::Refused { .. });
    Answered {
        firmbanking_id: taken.firmbanking_id,
        fence: taken.fence,
        conclusive: said && settles,
        next,
        detail,
    }
}

fn heard(answer: &Answer) -> Heard {
    match answer {
        // What could not be written at all is our defect, and no silence.
        Answer::NotSent { why } if !why.is_passing() => Heard::Answer,
        Answer::Unknown { .. } | Answer::NotSent { .. } => Heard::Silence,
        _ => Heard::Answer,
    }
}

fn is_conclusive(answer: &Answer) -> bool {
    matches!(answer, Answer::Done { .. } | Answer::Refused { .. })
}
