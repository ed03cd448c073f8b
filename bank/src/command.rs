//! The command that moves real money.

use chrono::{Datelike, NaiveDate};

use crate::account::{AccountError, BankAccount};

/// The highest number that we hand out on a (business date, bank).
///
/// Six digits would go on to 999,999; the rest is kept for the bank's own tests
/// and for commands typed by hand.
pub const MAX_NUMBER: u32 = 950_000;

/// The most that one command may move, in won. Far above any payout of ours: it
/// is there so that a wrong sign or unit is caught before it reaches a bank.
pub const MAX_AMOUNT: i64 = 100_000_000_000;

/// One transfer, named for ever by (bank, business date, number).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransferCommand {
    /// The bank that executes; `from` lies there.
    pub bank_code: String,
    /// The day in Korea to which the number belongs.
    pub business_date: NaiveDate,
    /// 1 to [`MAX_NUMBER`], sent as six digits.
    pub number: u32,
    /// The account that is debited.
    pub from: BankAccount,
    /// The account that is credited.
    pub to: BankAccount,
    /// Won, more than 0.
    pub amount: i64,
}

/// Why a command cannot be sent to any bank.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// The number is outside 1 to [`MAX_NUMBER`].
    #[error("the number {0} is not in 1..={MAX_NUMBER}")]
    Number(u32),
    /// The amount is outside 1 to [`MAX_AMOUNT`].
    #[error("the amount {0} is not in 1..={MAX_AMOUNT}")]
    Amount(i64),
    /// An account is malformed.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// An account number has characters that should have been normalised away.
    #[error("the account {0} is not normalised")]
    NotNormalised(BankAccount),
    /// `from` is not an account of the executing bank.
    #[error("bank {bank} cannot debit the account {from}")]
    NotThatBanksAccount {
        /// The executing bank.
        bank: String,
        /// The account to be debited.
        from: BankAccount,
    },
    /// `from` and `to` are the same account.
    #[error("both sides are the account {0}")]
    SameAccount(BankAccount),
    /// The business date is not of this century.
    #[error("the business date {0} is out of range")]
    BusinessDate(NaiveDate),
}

impl TransferCommand {
    /// Whether any bank could take this. Pure; called again before each send.
    pub fn check(&self) -> Result<(), CommandError> {
        if !(1..=MAX_NUMBER).contains(&self.number) {
            return Err(CommandError::Number(self.number));
        }
        if !(1..=MAX_AMOUNT).contains(&self.amount) {
            return Err(CommandError::Amount(self.amount));
        }
        // A year of five digits would also be longer on the wire than eight characters.
        if !(2000..2100).contains(&self.business_date.year()) {
            return Err(CommandError::BusinessDate(self.business_date));
        }
        for account in [&self.from, &self.to] {
            if BankAccount::new(&account.bank_code, &account.account_number)? != *account {
                return Err(CommandError::NotNormalised(account.clone()));
            }
        }
        if self.from.bank_code != self.bank_code {
            return Err(CommandError::NotThatBanksAccount {
                bank: self.bank_code.clone(),
                from: self.from.clone(),
            });
        }
        if self.from == self.to {
            return Err(CommandError::SameAccount(self.from.clone()));
        }
        Ok(())
    }

    /// The hash of all that the command says, kept beside its number.
    ///
    /// It is committed before the first byte goes out: a resend with the same
    /// number and another hash would be another transfer, and must not happen.
    pub fn content_hash(&self) -> [u8; 32] {
        // Every field is of fixed width or digits only, so `|` cannot be forged.
        let canonical = format!(
            "{}|{}|{}|{}|{}|{}|{}|{}",
            self.bank_code,
            self.business_date,
            six_digits(self.number),
            self.from.bank_code,
            self.from.account_number,
            self.to.bank_code,
            self.to.account_number,
            self.amount
        );
        *blake3::hash(canonical.as_bytes()).as_bytes()
    }
}

/// A transaction number as banks want it: `42` is `000042`.
pub fn six_digits(number: u32) -> String {
    format!("{number:06}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command() -> TransferCommand {
        TransferCommand {
            bank_code: "004".into(),
            business_date: NaiveDate::from_ymd_opt(2026, 3, 2).unwrap(),
            number: 42,
            from: BankAccount::new("004", "110000001").unwrap(),
            to: BankAccount::new("020", "220000002").unwrap(),
            amount: 10_000,
        }
    }

    #[test]
    fn every_field_is_in_the_hash() {
        let first = command();
        let mut others = vec![first.clone(); 5];
        others[0].number = 43;
        others[1].amount = 10_001;
        others[2].business_date = first.business_date.succ_opt().unwrap();
        others[3].to = BankAccount::new("020", "220000003").unwrap();
        others[4].from = BankAccount::new("004", "110000002").unwrap();
        for other in others {
            assert_ne!(other.content_hash(), first.content_hash(), "{other:?}");
        }
        assert_eq!(command().content_hash(), first.content_hash());
    }

    #[test]
    fn a_command_that_no_bank_could_take_is_found_before_it_is_sent() {
        assert_eq!(command().check(), Ok(()));
        for number in [0, 950_001, u32::MAX] {
            assert!(
                TransferCommand {
                    number,
                    ..command()
                }
                .check()
                .is_err()
            );
        }
        for amount in [0, -1, i64::MIN, i64::MAX, MAX_AMOUNT + 1] {
            assert!(
                TransferCommand {
                    amount,
                    ..command()
                }
                .check()
                .is_err()
            );
        }
        let to = command().from;
        assert!(TransferCommand { to, ..command() }.check().is_err());
        assert!(
            TransferCommand {
                bank_code: "020".into(),
                ..command()
            }
            .check()
            .is_err()
        );
        assert!(
            TransferCommand {
                business_date: NaiveDate::MAX,
                ..command()
            }
            .check()
            .is_err()
        );
    }
}
