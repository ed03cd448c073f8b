//! The call itself, between the two commits.

use chrono::Utc;
use mypay_bank::classes::Bank;
use mypay_bank::client::CallFailed;
use mypay_bank::{Answer, BankAccount, HolderAnswer};
use mypay_decide::bank_answer::{Call, Tries};

use super::Workers;
use super::breaker::Heard;
use super::claim::{Taken, Task};
use super::outcome::{self, Answered, Counted, Made, Next};

/// Makes the call that a command needs; tells also whether the bank was heard.
pub(super) async fn make(workers: &Workers, taken: Taken) -> (Answered, Heard) {
    let bank_code = &taken.from.0;
    let Some(bank) = workers.bank.table().bank(bank_code) else {
        // A contract with a bank whose codes nobody has written down: nothing
        // could be understood, so nothing is sent, and what was is for people.
        let next = match taken.task {
            Task::Inquire(..) | Task::Overdue | Task::Altered => Next::Manual,
            Task::Holder(..) | Task::Send(..) | Task::Lapsed | Task::CameBack => {
                Next::refused("no_contract")
            }
        };
        let detail = format!("bank {bank_code} is not in the table of answer codes");
        return not_called(&taken, next, detail);
    };
    match &taken.task {
        Task::CameBack => {
            let detail = "the bank has told that the payout came back, and nothing was sent";
            not_called(&taken, Next::refused("came_back"), detail.to_string())
        }
        Task::Lapsed => {
            let detail = "the contract is not in force, and nothing was sent";
            not_called(&taken, Next::refused("no_contract"), detail.to_string())
        }
        Task::Overdue => {
            let lapses_at = bank.lapses_at(taken.sent_at);
            let detail = format!("the right to inquire lapses at {lapses_at}, and no call fits in");
            not_called(&taken, Next::Manual, detail)
        }
        Task::Altered => {
            let detail = "the command is not what was written down with its number: never sent";
            tracing::error!(id = %taken.firmbanking_id, detail);
            not_called(&taken, Next::Manual, detail.to_string())
        }
        Task::Holder(named, _) => holder(workers, &taken, named).await,
        Task::Send(business_date, number) => {
            let command = taken.command(*business_date, *number);
            let answer = workers.bank.transfer(&command).await;
            told(workers, &taken, bank, Call::Command, answer)
        }
        Task::Inquire(date, number) => {
            let answer = workers.bank.inquire(bank_code, *date, *number).await;
            told(workers, &taken, bank, Call::Inquiry, answer)
        }
    }
}

/// Asks the receiver's bank whose account it is.
async fn holder(workers: &Workers, taken: &Taken, named: &str) -> (Answered, Heard) {
    let (bank_code, account_number) = taken.to.clone();
    let account = BankAccount {
        bank_code,
        account_number,
    };
    let answer = workers.bank.holder(&account).await;
    let heard = match answer {
        HolderAnswer::Unavailable { .. } => Heard::Silence,
        _ => Heard::Answer,
    };
    let never_left = matches!(
        answer,
        HolderAnswer::Unavailable {
            why: CallFailed::NotSent(_)
        }
    );
    let made = outcome::of_holder(answer, named, taken.tries, Utc::now());
    let answered = Answered {
        unmade: counted(&taken.task).filter(|_| never_left),
        ..answered(taken, made, false)
    };
    (answered, heard)
}

fn told(
    workers: &Workers,
    taken: &Taken,
    bank: &Bank,
    call: Call,
    answer: Answer,
) -> (Answered, Heard) {
    let (heard, conclusive) = (heard(&answer), is_conclusive(&answer));
    let never_left = matches!(answer, Answer::NotSent { .. });
    let made = outcome::of_call(call, answer, taken, bank, workers.inquiry, Utc::now());
    let answered = Answered {
        unmade: counted(&taken.task).filter(|_| never_left),
        ..answered(taken, made, conclusive)
    };
    (answered, heard)
}

/// What is decided without the bank, which has not been heard then.
fn not_called(taken: &Taken, next: Next, detail: String) -> (Answered, Heard) {
    let made = (next, Tries::default(), detail);
    let answered = Answered {
        unmade: counted(&taken.task),
        ..answered(taken, made, false)
    };
    (answered, Heard::Nothing)
}

/// As what a task was counted when it was taken.
fn counted(task: &Task) -> Option<Counted> {
    match task {
        Task::Send(..) => Some(Counted::Call),
        Task::Inquire(..) => Some(Counted::Inquiry),
        Task::Holder(_, asked_on) => asked_on.map(Counted::Holder),
        Task::Lapsed | Task::CameBack | Task::Overdue | Task::Altered => None,
    }
}

fn answered(taken: &Taken, (next, tries, detail): Made, said: bool) -> Answered {
    let settles = matches!(next, Next::Done { .. } | Next::Refused { .. });
    Answered {
        firmbanking_id: taken.firmbanking_id,
        fence: taken.fence,
        conclusive: said && settles,
        next,
        tries,
        detail,
        unmade: None,
    }
}

fn heard(answer: &Answer) -> Heard {
    match answer {
        // What could not be written at all is our defect, and says nothing of the bank.
        Answer::NotSent { why } if !why.is_passing() => Heard::Nothing,
        Answer::Unknown { .. } | Answer::NotSent { .. } => Heard::Silence,
        _ => Heard::Answer,
    }
}

fn is_conclusive(answer: &Answer) -> bool {
    matches!(answer, Answer::Done { .. } | Answer::Refused { .. })
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::worker::outcome::tests::taken;

    fn of(task: Task) -> Taken {
        Taken { task, ..taken(1) }
    }

    #[test]
    fn what_did_not_go_out_is_taken_back_as_what_it_was_counted() {
        let date = DateTime::UNIX_EPOCH.date_naive();
        for (task, unmade) in [
            (Task::Send(date, 7), Some(Counted::Call)),
            (Task::Inquire(date, 7), Some(Counted::Inquiry)),
            (
                Task::Holder("Kim".into(), Some(date)),
                Some(Counted::Holder(date)),
            ),
            // Of a bank in no table, which is never asked: it was never counted.
            (Task::Holder("Kim".into(), None), None),
            (Task::Lapsed, None),
            (Task::Overdue, None),
            (Task::Altered, None),
        ] {
            let taken = of(task);
            let (answered, _) = not_called(&taken, Next::Manual, String::new());
            assert_eq!(answered.unmade, unmade, "{:?}", taken.task);
        }
    }
}
