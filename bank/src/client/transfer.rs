//! The two calls about a transfer: the command, and the inquiry about it.

use chrono::NaiveDate;
use reqwest::Method;

use super::BankClient;
use super::answer::{Answer, NotSentWhy, UnknownWhy};
use super::call::{Limits, Reply, SMALL};
use crate::classes::{Bank, Class};
use crate::command::{TransferCommand, six_digits};
use crate::wire::{TransferAnswer, TransferRequest};

impl BankClient {
    /// Sends the command. Its number must have been committed before.
    ///
    /// Dropping the future does not take the command back: it counts as unknown.
    pub async fn transfer(&self, command: &TransferCommand) -> Answer {
        let bank = match self.bank(&command.bank_code) {
            Ok(bank) => bank,
            Err(why) => return Answer::NotSent { why },
        };
        if let Err(error) = command.check() {
            return Answer::NotSent {
                why: NotSentWhy::Malformed(error),
            };
        }
        let request = TransferRequest {
            business_date: command.business_date.to_string(),
            number: six_digits(command.number),
            from: command.from.clone(),
            to: command.to.clone(),
            amount: command.amount,
        };
        let limits = Limits {
            timeout: bank.transfer_timeout,
            body: SMALL,
        };
        let reply = self
            .call(
                Method::POST,
                &bank.bank_code,
                "/transfers",
                Some(&request),
                limits,
            )
            .await;
        let reply = match reply {
            Ok(reply) => reply,
            Err(failed) => return failed.into(),
        };
        // A 4xx from the bank itself carries its code; from anything in between it
        // carries none, or one that is in no table.
        if !reply.status.is_client_error() && reply.status != reqwest::StatusCode::OK {
            return Answer::Unknown {
                why: UnknownWhy::Status(reply.status.as_u16()),
            };
        }
        let about = (command.business_date, command.number);
        match understand(bank, about, &reply) {
            // The bank has just been told of it: that it knows nothing proves nothing.
            Ok((Answer::NotFound, code)) => Answer::Unknown {
                why: UnknownWhy::CodeOutOfPlace(code),
            },
            Ok((answer, _)) => answer,
            Err(why) => Answer::Unknown { why },
        }
    }

    /// Asks what became of a command, by its original date and number.
    pub async fn inquire(&self, bank_code: &str, business_date: NaiveDate, number: u32) -> Answer {
        let bank = match self.bank(bank_code) {
            Ok(bank) => bank,
            Err(why) => return Answer::NotSent { why },
        };
        let path = format!("/transfers/{business_date}/{}", six_digits(number));
        let limits = Limits {
            timeout: bank.inquiry_timeout,
            body: SMALL,
        };
        let reply = match self
            .call(Method::GET, bank_code, &path, None::<&()>, limits)
            .await
        {
            Ok(reply) => reply,
            Err(failed) => return failed.into(),
        };
        // A refusal of the *inquiry* comes as a 4xx, and must not be taken for a
        // refusal of the transfer: only a 200 speaks of the transfer.
        if reply.status != reqwest::StatusCode::OK {
            return Answer::Unknown {
                why: UnknownWhy::Status(reply.status.as_u16()),
            };
        }
        match understand(bank, (business_date, number), &reply) {
            Ok((answer, _)) => answer,
            Err(why) => Answer::Unknown { why },
        }
    }
}

/// The highest fee that is believed, won a command.
const FEE_MAX: i64 = 1_000_000;

/// The longest reference of a bank, in bytes.
const REFERENCE_MAX: usize = 64;

/// The answer in the bank's body, with its code.
fn understand(
    bank: &Bank,
    (business_date, number): (NaiveDate, u32),
    reply: &Reply,
) -> Result<(Answer, String), UnknownWhy> {
    let body: TransferAnswer = reply.json()?;
    let ours = body.bank_code == bank.bank_code
        && body.business_date == business_date.to_string()
        && body.number == six_digits(number);
    if !ours {
        return Err(UnknownWhy::OtherTransaction(format!(
            "{} {} {}",
            body.bank_code, body.business_date, body.number
        )));
    }
    // A fee beyond all reason is no fee: the ledger must not take a bank's lie.
    if !(0..=FEE_MAX).contains(&body.fee) {
        return Err(UnknownWhy::Unreadable(format!("a fee of {}", body.fee)));
    }
    let Some(class) = bank.classify(&body.code) else {
        return Err(UnknownWhy::CodeNotInTable(body.code));
    };
    let answer = match class {
        Class::Done => done(&body)?,
        Class::Refused(reason) => Answer::Refused {
            code: body.code.clone(),
            reason,
            fee: body.fee,
        },
        Class::InProgress => Answer::InProgress,
        Class::NotFound => Answer::NotFound,
    };
    Ok((answer, body.code))
}

/// "Done" without a reference or an instant is not believed.
fn done(body: &TransferAnswer) -> Result<Answer, UnknownWhy> {
    match (&body.bank_reference, body.executed_at) {
        // It is kept in tables, so it must be text that a table can hold.
        (Some(reference), Some(executed_at))
            if reference.len() <= REFERENCE_MAX && !reference.contains(char::is_control) =>
        {
            Ok(Answer::Done {
                bank_reference: reference.clone(),
                fee: body.fee,
                executed_at,
            })
        }
        _ => Err(UnknownWhy::Unreadable(
            "done, without reference or instant".to_owned(),
        )),
    }
}
