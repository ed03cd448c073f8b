//! The bank's answers in the bank's own codes.

use std::collections::HashMap;

use chrono::{DateTime, Utc};

use super::transfer::{State, Transfer, TransferKey};
use crate::classes::{Class, ClassTable, Reason};
use crate::command::six_digits;
use crate::wire::TransferAnswer;

/// A bank without a code for something that can happen to it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("bank {bank} has no code for {class:?} in the table: the dummy bank cannot play it")]
pub struct TableLacks {
    /// The bank.
    pub bank: String,
    /// What has no code.
    pub class: Class,
}

/// The codes by bank and class.
#[derive(Debug)]
pub(super) struct Answers(HashMap<String, HashMap<Class, String>>);

impl Answers {
    pub(super) fn new(table: &ClassTable) -> Result<Self, TableLacks> {
        let mut banks = HashMap::new();
        for bank in table.banks() {
            let refusals = Reason::ALL.into_iter().map(Class::Refused);
            let mut codes = HashMap::new();
            for class in refusals.chain([Class::Done, Class::InProgress, Class::NotFound]) {
                let code = bank.code_for(class).ok_or_else(|| TableLacks {
                    bank: bank.bank_code.clone(),
                    class,
                })?;
                codes.insert(class, code.to_owned());
            }
            banks.insert(bank.bank_code.clone(), codes);
        }
        Ok(Self(banks))
    }

    /// Whether the dummy plays that bank.
    pub(super) fn has(&self, bank_code: &str) -> bool {
        self.0.contains_key(bank_code)
    }

    /// The bank's code for a class.
    pub(super) fn code(&self, bank_code: &str, class: Class) -> &str {
        // Every bank has every class since `new`; a bank that is not played was
        // turned away at the door.
        self.0
            .get(bank_code)
            .and_then(|codes| codes.get(&class))
            .map_or("", String::as_str)
    }

    /// An answer without money in it.
    pub(super) fn bare(&self, key: &TransferKey, class: Class, message: String) -> TransferAnswer {
        TransferAnswer {
            bank_code: key.bank_code.clone(),
            business_date: key.business_date.to_string(),
            number: six_digits(key.number),
            code: self.code(&key.bank_code, class).to_owned(),
            message,
            bank_reference: None,
            fee: 0,
            executed_at: None,
        }
    }

    /// The answer that a recorded transfer has, now and whenever it is asked for.
    pub(super) fn of(&self, transfer: &Transfer) -> TransferAnswer {
        match transfer.state {
            State::InProgress { .. } => self.bare(
                &transfer.key,
                Class::InProgress,
                "being processed".to_owned(),
            ),
            State::Refused(reason) => self.bare(
                &transfer.key,
                Class::Refused(reason),
                reason.as_str().replace('_', " "),
            ),
            State::Done { executed_at, fee } => self.done(&transfer.key, executed_at, fee),
        }
    }

    fn done(&self, key: &TransferKey, executed_at: DateTime<Utc>, fee: i64) -> TransferAnswer {
        let date = key.business_date.format("%Y%m%d");
        TransferAnswer {
            // Made of what never changes, so that it needs no place of its own.
            bank_reference: Some(format!("{}{date}{}", key.bank_code, six_digits(key.number))),
            executed_at: Some(executed_at),
            fee,
            ..self.bare(key, Class::Done, "done".to_owned())
        }
    }
}
