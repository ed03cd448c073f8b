//! The call itself, between the two commits.

use chrono::Utc;
use mypay_bank::{BankAccount, TransferCommand};

use super::Workers;
use super::claim::{Taken, Task};
use super::outcome::{self, Answered, Next};

/// Makes the call that a command needs.
pub(super) async fn make(workers: &Workers, taken: Taken) -> Answered {
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
            Task::Holder(_) | Task::Send(..) => Next::Refused {
                reason: "no_contract".to_string(),
                fee: 0,
            },
        };
        let detail = format!("bank {bank_code} is not in the table of answer codes");
        return Answered {
            taken,
            next,
            detail,
        };
    };
    let (next, detail) = match &taken.task {
        Task::Holder(named) => {
            let answer = workers.bank.holder(&account(&taken.to)).await;
            outcome::of_holder(answer, named, &taken, Utc::now())
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
            outcome::of_transfer(answer, &taken, bank, workers.inquiry, Utc::now())
        }
        Task::Inquire(business_date, number) => {
            let answer = workers
                .bank
                .inquire(&bank_code, *business_date, *number)
                .await;
            outcome::of_inquiry(answer, &taken, bank, workers.inquiry, Utc::now())
        }
    };
    Answered {
        taken,
        next,
        detail,
    }
}
