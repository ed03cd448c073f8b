//! Reads `answer_codes.yaml` and refuses what would be dangerous to guess at.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::{Bank, BreakerRule, Class, RateRule, Reason};
use crate::rest_window::RestWindow;

/// The longest right to inquire that is believed, in seconds.
const LAPSE_MAX: u64 = 10 * 366 * 86_400;

/// Why a table cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClassTableError {
    /// The file cannot be read.
    #[error("cannot read the table of answer codes {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The file is not of the expected form.
    #[error("the table of answer codes is malformed: {0}")]
    Malformed(#[from] serde_norway::Error),
    /// Two entries for one bank.
    #[error("bank {0} is there twice")]
    BankTwice(String),
    /// Two entries for one code: which of them would count?
    #[error("bank {bank}: the code {code:?} is there twice")]
    CodeTwice {
        /// The bank.
        bank: String,
        /// The code.
        code: String,
    },
    /// `refused` without a reason, or a reason without `refused`.
    #[error("bank {bank}, code {code:?}: a reason goes with `refused`, and only with it")]
    ReasonMismatch {
        /// The bank.
        bank: String,
        /// The code.
        code: String,
    },
    /// Something else that cannot be.
    #[error("bank {bank}: {why}")]
    Impossible {
        /// The bank.
        bank: String,
        /// What is wrong.
        why: &'static str,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TableFile {
    banks: Vec<BankEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BankEntry {
    bank_code: String,
    name: String,
    no_such_transaction_is_trustworthy: bool,
    settling_time: u64,
    inquiry_lapse: u64,
    #[serde(default)]
    rest_window: RestWindow,
    fee: i64,
    transfer_timeout_ms: u64,
    inquiry_timeout_ms: u64,
    #[serde(default)]
    breaker: BreakerEntry,
    #[serde(default)]
    rate_limit: RateEntry,
    codes: Vec<CodeEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BreakerEntry {
    failures: u32,
    open_ms: u64,
    probes: usize,
}

impl Default for BreakerEntry {
    fn default() -> Self {
        Self {
            failures: 20,
            open_ms: 10_000,
            probes: 3,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RateEntry {
    per_second: u32,
    burst: u32,
}

impl Default for RateEntry {
    fn default() -> Self {
        Self {
            per_second: 1_000,
            burst: 1_000,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CodeEntry {
    code: String,
    class: ClassName,
    reason: Option<Reason>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum ClassName {
    Done,
    Refused,
    InProgress,
    NotFound,
}

pub(super) fn parse(yaml: &str) -> Result<BTreeMap<String, Bank>, ClassTableError> {
    let file: TableFile = serde_norway::from_str(yaml)?;
    let mut banks = BTreeMap::new();
    for entry in file.banks {
        let bank = bank(entry)?;
        let code = bank.bank_code.clone();
        if banks.insert(code.clone(), bank).is_some() {
            return Err(ClassTableError::BankTwice(code));
        }
    }
    Ok(banks)
}

fn bank(entry: BankEntry) -> Result<Bank, ClassTableError> {
    let impossible = |why| ClassTableError::Impossible {
        bank: entry.bank_code.clone(),
        why,
    };
    if entry.bank_code.len() != 3 || !entry.bank_code.bytes().all(|b| b.is_ascii_digit()) {
        return Err(impossible("a bank code is three digits"));
    }
    if !(0..=1_000_000).contains(&entry.fee) {
        return Err(impossible("the fee is not in 0..=1000000 won"));
    }
    if entry.inquiry_lapse <= entry.settling_time {
        return Err(impossible(
            "the right to inquire lapses before the bank has settled",
        ));
    }
    if entry.inquiry_lapse > LAPSE_MAX {
        return Err(impossible("nobody may inquire for more than ten years"));
    }
    if entry.transfer_timeout_ms == 0 || entry.inquiry_timeout_ms == 0 {
        return Err(impossible(
            "a time-out of 0 would make every answer unknown",
        ));
    }
    if entry.breaker.failures == 0 || entry.breaker.probes == 0 {
        return Err(impossible(
            "a breaker without failures or probes never closes",
        ));
    }
    if entry.rate_limit.per_second == 0 || entry.rate_limit.burst == 0 {
        return Err(impossible(
            "a rate limit of 0 would hold every command for ever",
        ));
    }
    let codes = entry
        .codes
        .into_iter()
        .map(|code| class(&entry.bank_code, code))
        .collect::<Result<Vec<_>, _>>()?;
    let mut by_code = HashMap::with_capacity(codes.len());
    for (code, class) in &codes {
        if by_code.insert(code.clone(), *class).is_some() {
            return Err(ClassTableError::CodeTwice {
                bank: entry.bank_code,
                code: code.clone(),
            });
        }
    }
    Ok(Bank {
        bank_code: entry.bank_code,
        name: entry.name,
        no_such_transaction_is_trustworthy: entry.no_such_transaction_is_trustworthy,
        settling_time: Duration::from_secs(entry.settling_time),
        inquiry_lapse: Duration::from_secs(entry.inquiry_lapse),
        rest_window: entry.rest_window,
        fee: entry.fee,
        transfer_timeout: Duration::from_millis(entry.transfer_timeout_ms),
        inquiry_timeout: Duration::from_millis(entry.inquiry_timeout_ms),
        breaker: BreakerRule {
            failures: entry.breaker.failures,
            open_for: Duration::from_millis(entry.breaker.open_ms),
            probes: entry.breaker.probes,
        },
        rate_limit: RateRule {
            per_second: entry.rate_limit.per_second,
            burst: entry.rate_limit.burst,
        },
        codes,
        by_code,
    })
}

fn class(bank: &str, entry: CodeEntry) -> Result<(String, Class), ClassTableError> {
    let class = match (entry.class, entry.reason) {
        (ClassName::Done, None) => Class::Done,
        (ClassName::InProgress, None) => Class::InProgress,
        (ClassName::NotFound, None) => Class::NotFound,
        (ClassName::Refused, Some(reason)) => Class::Refused(reason),
        _ => {
            return Err(ClassTableError::ReasonMismatch {
                bank: bank.to_owned(),
                code: entry.code,
            });
        }
    };
    Ok((entry.code, class))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "banks:\n- {bank_code: '004', name: KB, \
        no_such_transaction_is_trustworthy: true, settling_time: 1, inquiry_lapse: 2, fee: 1, \
        transfer_timeout_ms: 1, inquiry_timeout_ms: 1, codes: []}";

    fn table(fee: i64, codes: &str) -> Result<BTreeMap<String, Bank>, ClassTableError> {
        parse(&format!(
            "banks:\n- {{bank_code: '004', name: KB, no_such_transaction_is_trustworthy: true, \
             settling_time: 1, inquiry_lapse: 2, fee: {fee}, transfer_timeout_ms: 1, \
             inquiry_timeout_ms: 1, codes: [{codes}]}}"
        ))
    }

    #[test]
    fn a_table_that_could_mean_two_things_is_refused() {
        assert!(table(1, "{code: '0000', class: done}").is_ok());
        let twice = table(
            1,
            "{code: '1', class: done}, {code: '1', class: in_progress}",
        );
        assert!(matches!(twice, Err(ClassTableError::CodeTwice { .. })));
        let bare = table(1, "{code: '1', class: refused}");
        assert!(matches!(bare, Err(ClassTableError::ReasonMismatch { .. })));
        let odd = table(1, "{code: '1', class: done, reason: stolen_account}");
        assert!(matches!(odd, Err(ClassTableError::ReasonMismatch { .. })));
        assert!(matches!(
            table(1, "{code: '1', class: other}"),
            Err(ClassTableError::Malformed(_))
        ));
        assert!(table(-1, "").is_err());
        let lapse = |lapse: &str| parse(&TABLE.replace("inquiry_lapse: 2", lapse));
        assert!(lapse("inquiry_lapse: 316224000").is_ok());
        assert!(lapse("inquiry_lapse: 316224001").is_err());
        let with = |rules: &str| parse(&TABLE.replace("codes:", &format!("{rules}, codes:")));
        assert!(with("breaker: {failures: 1, open_ms: 1, probes: 1}").is_ok());
        assert!(with("breaker: {failures: 0, open_ms: 1, probes: 1}").is_err());
        assert!(with("rate_limit: {per_second: 0, burst: 1}").is_err());
    }

    /// Some readers of YAML take `0011` for the octal number 9.
    #[test]
    fn a_code_without_quotes_keeps_its_zeros() {
        let banks = table(
            1,
            "{code: 0011, class: done}, {code: 11, class: in_progress}",
        )
        .unwrap();
        assert_eq!(banks["004"].classify("0011"), Some(Class::Done));
        assert_eq!(banks["004"].classify("11"), Some(Class::InProgress));
        assert_eq!(banks["004"].classify("9"), None);
    }
}
