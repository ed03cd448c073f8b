//! Our words for a bank's refusals.

use serde::{Deserialize, Serialize};

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident => $text:literal,)*) => {
        /// Why a bank refused, in our words; the same at every bank.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        #[non_exhaustive]
        pub enum Reason { $($(#[$doc])* $name,)* }

        impl Reason {
            /// Every reason.
            pub const ALL: [Self; [$($text),*].len()] = [$(Self::$name),*];

            /// The code that results and tables carry.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

reasons! {
    /// The debited account has too little.
    InsufficientFundsAtBank => "insufficient_funds_at_bank",
    /// The account does not exist.
    NoSuchAccount => "no_such_account",
    /// The account was closed.
    AccountClosed => "account_closed",
    /// The account was reported stolen.
    StolenAccount => "stolen_account",
    /// The bank has suspended the account.
    AccountSuspended => "account_suspended",
    /// The holder's name is another.
    HolderMismatch => "holder_mismatch",
    /// The amount is beyond the bank's limit.
    AmountLimit => "amount_limit",
    /// Another cause, which the bank tells by telephone.
    RefusedByBank => "refused_by_bank",
    /// The number is known with other content: a defect on our side.
    NumberUsedWithOtherContent => "number_used_with_other_content",
    /// The bank could not read the command: a defect on our side.
    FormatError => "format_error",
    /// No corporate account of ours at that bank.
    NoContract => "no_contract",
    /// The bank rests; see [`Reason::is_passing`].
    BankResting => "bank_resting",
}

impl Reason {
    /// The reason of that code.
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == code)
    }

    /// Whether the refusal is of the hour and not of the command.
    ///
    /// The bank then keeps nothing of it: the command waits, and goes out again
    /// with the same number. It is not a failure.
    pub fn is_passing(self) -> bool {
        self == Self::BankResting
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_in_the_table_is_the_code_in_our_results() {
        for reason in Reason::ALL {
            let json = serde_json::to_string(&reason).unwrap();
            assert_eq!(json, format!("\"{reason}\""));
        }
    }
}
