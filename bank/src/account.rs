//! A bank account as banks write it: three digits and a number.

use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;

/// An account at a bank. [`BankAccount::new`] normalises and checks.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BankAccount {
    /// The bank's three-digit code, such as `004`.
    pub bank_code: String,
    /// Digits only.
    pub account_number: String,
}

/// Why an account cannot be one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AccountError {
    /// The bank code is not three digits.
    #[error("a bank code is three digits")]
    BankCode,
    /// The account number is not 6 to 20 digits.
    #[error("an account number is 6 to 20 digits (dashes and spaces are left out)")]
    AccountNumber,
}

impl BankAccount {
    /// An account from what people write: dashes and spaces are left out.
    pub fn new(bank_code: &str, account_number: &str) -> Result<Self, AccountError> {
        let bank_code = bank_code.trim();
        if bank_code.len() != 3 || !bank_code.bytes().all(|b| b.is_ascii_digit()) {
            return Err(AccountError::BankCode);
        }
        Ok(Self {
            bank_code: bank_code.to_owned(),
            account_number: normalise(account_number)?,
        })
    }
}

/// `123-45 6789` becomes `123456789`; anything else than digits is refused.
fn normalise(written: &str) -> Result<String, AccountError> {
    // Before the copy, so that a megabyte of dashes is not gone through.
    if written.len() > 64 {
        return Err(AccountError::AccountNumber);
    }
    let digits: String = written
        .chars()
        .filter(|c| !matches!(c, '-' | ' '))
        .collect();
    let fits = (6..=20).contains(&digits.len());
    if fits && digits.bytes().all(|b| b.is_ascii_digit()) {
        Ok(digits)
    } else {
        Err(AccountError::AccountNumber)
    }
}

impl std::fmt::Display for BankAccount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.bank_code, self.account_number)
    }
}

/// Whether two names of a holder are the same: without blanks, since banks pad and
/// people space them, and composed, since some banks write Hangul as its letters.
pub fn same_holder(one: &str, other: &str) -> bool {
    let letters = |name: &str| -> String {
        let name = name.chars().filter(|letter| !letter.is_whitespace());
        name.nfc().collect()
    };
    letters(one) == letters(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dashes_and_spaces_are_left_out() {
        let account = BankAccount::new("004", " 123-45 6789-01").unwrap();
        assert_eq!(account.account_number, "12345678901");
    }

    #[test]
    fn a_holder_is_the_same_however_the_name_is_spaced_and_composed() {
        let letters: String = "김하나".nfd().collect();
        assert_ne!(letters, "김하나");
        assert!(same_holder(&letters, " 김 하나 "));
        assert!(same_holder("Hana Kim", "HanaKim "));
        assert!(!same_holder("김하나", "김하니"));
        assert!(!same_holder("김하나", ""));
    }

    #[test]
    fn whatever_is_seen_in_a_name_counts() {
        for (one, other) in [
            ("김하나", "김-하나"),
            ("김하나", "김.하나"),
            ("김하나", "(주)김하나"),
            ("Hana Kim", "HANA KIM"),
            ("Hana Kim", "Ｈａｎａ　Ｋｉｍ"),
            ("김하나", "김하나1"),
            ("김하나", "김하나\u{301}"),
            // And what is not seen is no blank.
            ("김하나", "김\u{3164}하나"),
            ("김하나", "김하나\u{200b}"),
        ] {
            assert!(!same_holder(one, other), "{one} {other}");
        }
    }

    #[test]
    fn what_is_no_account_is_refused() {
        assert_eq!(
            BankAccount::new("04", "123456"),
            Err(AccountError::BankCode)
        );
        assert_eq!(
            BankAccount::new("0a4", "123456"),
            Err(AccountError::BankCode)
        );
        for bad in [
            "",
            "12345",
            "123456789012345678901",
            "12345a",
            "１２３４５６",
            "'; DROP",
        ] {
            assert_eq!(
                BankAccount::new("004", bad),
                Err(AccountError::AccountNumber),
                "{bad}"
            );
        }
        assert!(BankAccount::new("004", &"-".repeat(1_000_000)).is_err());
    }
}
