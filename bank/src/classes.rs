//! What a bank's answer code means: data, not code.

mod parse;
mod reason;

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

pub use parse::ClassTableError;
pub use reason::Reason;

use chrono::{DateTime, TimeDelta, Utc};

use crate::rest_window::RestWindow;

/// The variable that names another table than the built-in one: a file.
pub const TABLE_VARIABLE: &str = "MYPAY_BANK_ANSWER_CODES";
/// The table of the release, `answer_codes.yaml`.
const EMBEDDED: &str = include_str!("../answer_codes.yaml");

/// What an answer code says about the transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// The money has moved.
    Done,
    /// The money has not moved and will not under this number.
    Refused(Reason),
    /// The bank has it and has not decided.
    InProgress,
    /// The bank knows no such transaction (an answer to an inquiry).
    NotFound,
}

/// When commands to a bank are held back because it does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerRule {
    /// After so many calls in a row that brought no answer.
    pub failures: u32,
    /// For so long.
    pub open_for: Duration,
    /// Then so many commands go out to find out.
    pub probes: usize,
}

/// How many calls a bank takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateRule {
    /// Calls a second, of all our processes together.
    pub per_second: u32,
    /// At once, after a pause.
    pub burst: u32,
}

/// One bank: its rules and its codes.
#[derive(Debug, Clone)]
pub struct Bank {
    /// Three digits.
    pub bank_code: String,
    /// For people.
    pub name: String,
    /// Whether "no such transaction", after the settling time, may be believed.
    pub no_such_transaction_is_trustworthy: bool,
    /// How long after a command "no such transaction" may still become "done".
    pub settling_time: Duration,
    /// How long after a command the bank answers inquiries about it.
    pub inquiry_lapse: Duration,
    /// When the bank rests.
    pub rest_window: RestWindow,
    /// Won for each executed command.
    pub fee: i64,
    /// How long to wait for the answer to a transfer.
    pub transfer_timeout: Duration,
    /// How long to wait for the answer to anything else.
    pub inquiry_timeout: Duration,
    /// When commands are held back.
    pub breaker: BreakerRule,
    /// How many calls it takes.
    pub rate_limit: RateRule,
    /// In the order of the file.
    codes: Vec<(String, Class)>,
    by_code: HashMap<String, Class>,
}

impl Bank {
    /// The class of an answer code. **`None` is unknown**, never "refused".
    pub fn classify(&self, code: &str) -> Option<Class> {
        self.by_code.get(code).copied()
    }

    /// The first code that this bank has for a class.
    pub fn code_for(&self, class: Class) -> Option<&str> {
        self.codes
            .iter()
            .find(|(_, this)| *this == class)
            .map(|(code, _)| code.as_str())
    }

    /// The last instant for an inquiry about what was sent then: well before the right
    /// to inquire lapses, and not while the bank rests.
    pub fn ask_by(&self, sent_at: DateTime<Utc>) -> DateTime<Utc> {
        let ask_by = self.lapses_at(sent_at) - self.lapse_margin();
        self.rest_window.awake_until(ask_by)
    }

    /// When what was sent then is a case at the latest: halfway from [`Self::ask_by`] to
    /// the lapse, so that people can still ask the bank.
    pub fn case_by(&self, sent_at: DateTime<Utc>) -> DateTime<Utc> {
        self.lapses_at(sent_at) - self.lapse_margin() / 2
    }

    /// When the right to inquire about what was sent then lapses.
    pub fn lapses_at(&self, sent_at: DateTime<Utc>) -> DateTime<Utc> {
        sent_at + delta(self.inquiry_lapse)
    }

    /// How long before the lapse the last inquiry is made: an hour, and less of a right
    /// that is short (in tests).
    fn lapse_margin(&self) -> TimeDelta {
        (delta(self.inquiry_lapse) / 10).min(TimeDelta::hours(1))
    }
}

/// The table holds no time that does not fit (see `parse`).
fn delta(duration: Duration) -> TimeDelta {
    TimeDelta::from_std(duration).unwrap_or(TimeDelta::zero())
}

/// All contracted banks by code.
#[derive(Debug, Clone)]
pub struct ClassTable {
    banks: BTreeMap<String, Bank>,
}

impl ClassTable {
    /// The table that was built in.
    pub fn embedded() -> Self {
        Self::parse(EMBEDDED).expect("the built-in table is parsed by this crate's tests")
    }

    /// A table from a file, in place of the built-in one.
    pub fn from_path(path: &Path) -> Result<Self, ClassTableError> {
        let yaml = std::fs::read_to_string(path).map_err(|source| ClassTableError::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(&yaml)
    }

    /// The table that [`TABLE_VARIABLE`] names, or the built-in one.
    pub fn of_environment() -> Result<Self, ClassTableError> {
        Self::named(std::env::var_os(TABLE_VARIABLE))
    }

    /// The table of a file, where one is named; set to nothing, none is.
    fn named(file: Option<OsString>) -> Result<Self, ClassTableError> {
        match file.filter(|file| !file.is_empty()) {
            Some(file) => Self::from_path(Path::new(&file)),
            None => Ok(Self::embedded()),
        }
    }

    /// A table from YAML text.
    pub fn parse(yaml: &str) -> Result<Self, ClassTableError> {
        parse::parse(yaml).map(|banks| Self { banks })
    }

    /// The rules of a bank; `None`: we have no contract with it.
    pub fn bank(&self, bank_code: &str) -> Option<&Bank> {
        self.banks.get(bank_code)
    }

    /// All banks, by code.
    pub fn banks(&self) -> impl Iterator<Item = &Bank> {
        self.banks.values()
    }

    /// The class of a code at a bank. **`None` is unknown.**
    pub fn classify(&self, bank_code: &str, code: &str) -> Option<Class> {
        self.bank(bank_code)?.classify(code)
    }

    /// The same table with other times or fees, for tests that cannot wait.
    pub fn adjusted(mut self, adjust: impl FnMut(&mut Bank)) -> Self {
        self.banks.values_mut().for_each(adjust);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_code_means_other_things_at_other_banks() {
        let table = ClassTable::embedded();
        let stolen = Class::Refused(Reason::StolenAccount);
        assert_eq!(table.classify("004", "0011"), Some(Class::InProgress));
        assert_eq!(table.classify("020", "0011"), Some(stolen));
        assert_eq!(table.classify("004", "0419"), Some(stolen));
        assert_eq!(table.classify("088", "0419"), Some(Class::InProgress));
        assert_eq!(table.classify("088", "0412"), Some(Class::NotFound));
    }

    #[test]
    fn the_environment_names_another_table() {
        let other = EMBEDDED.replace("\"004\"", "\"994\"");
        assert_ne!(other, EMBEDDED);
        let path = std::env::temp_dir().join(format!("codes-{}.yaml", std::process::id()));
        std::fs::write(&path, other).unwrap();
        let table = ClassTable::named(Some(path.clone().into())).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert!(table.bank("994").is_some() && table.bank("004").is_none());
        for nothing in [None, Some(OsString::new())] {
            assert!(ClassTable::named(nothing).unwrap().bank("004").is_some());
        }
        assert!(
            ClassTable::named(Some(path.into())).is_err(),
            "it is gone, and no other will do"
        );
    }

    #[test]
    fn a_code_that_is_not_in_the_table_is_unknown() {
        let table = ClassTable::embedded();
        assert_eq!(table.classify("004", "9999"), None);
        assert_eq!(table.classify("004", ""), None);
        assert_eq!(table.classify("999", "0000"), None);
    }

    #[test]
    fn the_last_inquiry_and_the_case_come_before_the_right_to_inquire_lapses() {
        for bank in ClassTable::embedded().banks() {
            // Each hour of a day: at some of them the lapse is in the bank's rest.
            for hour in 0..24 {
                let sent_at = DateTime::from_timestamp(1_772_400_000 + hour * 3_600, 0).unwrap();
                let (ask_by, case_by) = (bank.ask_by(sent_at), bank.case_by(sent_at));
                assert!(!bank.rest_window.contains(ask_by), "{} {hour}", bank.name);
                assert!(sent_at < ask_by && ask_by < case_by);
                assert!(case_by < bank.lapses_at(sent_at));
                assert!(bank.lapses_at(sent_at) - ask_by < TimeDelta::hours(3));
            }
        }
    }

    #[test]
    fn each_bank_has_a_code_for_whatever_can_happen() {
        for bank in ClassTable::embedded().banks() {
            let refusals = Reason::ALL.into_iter().map(Class::Refused);
            let classes = [Class::Done, Class::InProgress, Class::NotFound];
            for class in refusals.chain(classes) {
                assert!(
                    bank.code_for(class).is_some(),
                    "{} has no code for {class:?}",
                    bank.name
                );
            }
        }
    }
}
