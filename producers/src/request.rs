//! What the requests of all flows have in common when a client sends them.

use std::fmt;

use chrono::NaiveDate;
use mypay_bank::BankAccount;
use mypay_bank::account::AccountError;
use mypay_decide::book::valid_amount;
use mypay_decide::limits::AMOUNT_MAX;
use mypay_schemas::{Flow, Request};
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::written::{self, Wrong};

/// The longest name of an account's holder, in characters.
pub const HOLDER_NAME_MAX: usize = mypay_decide::firmbanking::HOLDER_NAME_MAX;

/// What a client sends: the Avro request without what the edge adds to it.
pub trait Body: DeserializeOwned + Send + 'static {
    /// The flow that it belongs to.
    const FLOW: Flow;
    /// The message that it becomes.
    type Request: Request + Serialize + Send;

    /// The member whose money it moves, or the franchise in whose name it acts:
    /// nobody else may make it. `None` for what only our own people ask for.
    fn owner(&self) -> Option<Owner<'_>>;

    /// Checks what can be checked without looking anything up, and makes the
    /// message. Whether the member exists or has the money is decided by the
    /// consumer, and told in the result.
    fn into_request(self, head: Head) -> Result<Self::Request, Refusal>;
}

/// Whose money a request moves, or in whose name it acts.
#[derive(Debug, Clone, Copy)]
pub struct Owner<'a> {
    /// The field that says so.
    pub field: &'static str,
    /// The member or franchise, as the client writes it.
    pub id: &'a str,
}

/// What the edge adds to a client's request.
#[derive(Debug, Clone)]
pub struct Head {
    /// UUID version 7.
    pub message_id: String,
    /// UUID of the first request of the business transaction.
    pub correlation_id: String,
    /// Milliseconds since the epoch.
    pub requested_at: i64,
}

/// Which part of a request is at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Its id: no request can be made with it.
    Id,
    /// Its content.
    Content,
}

/// Why a request is refused before anything is written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {detail}")]
pub struct Refusal {
    /// The part at fault.
    pub fault: Fault,
    /// Reason code, part of the contract with clients.
    pub reason: &'static str,
    /// For people.
    pub detail: String,
    /// The field at fault, from the outside in, as in `receiver/holder_name`.
    pub field: Option<String>,
}

impl Refusal {
    /// The id is at fault.
    pub fn of_id(reason: &'static str, detail: impl Into<String>) -> Self {
        Self {
            fault: Fault::Id,
            reason,
            detail: detail.into(),
            field: None,
        }
    }

    /// The content is at fault, and no field of it in particular.
    pub fn of_body(reason: &'static str, detail: impl Into<String>) -> Self {
        Self {
            fault: Fault::Content,
            reason,
            detail: detail.into(),
            field: None,
        }
    }

    /// The same of another field.
    pub fn at(self, field: &str) -> Self {
        Self {
            field: Some(field.to_owned()),
            ..self
        }
    }

    /// A field is at fault; the detail says what it must be.
    pub fn of_field(reason: &'static str, field: &str, detail: impl fmt::Display) -> Self {
        Self {
            fault: Fault::Content,
            reason,
            detail: format!("{field}: {detail}"),
            field: Some(field.to_owned()),
        }
    }
}

/// An id of a member or franchise, in its one spelling.
///
/// The id is the message's key: two spellings would be two keys, in two
/// partitions, and the order of an account's messages would be lost.
pub fn uuid(field: &str, written: &str) -> Result<String, Refusal> {
    if written.len() == 36
        && let Ok(id) = Uuid::try_parse(written)
    {
        return Ok(id.to_string());
    }
    Err(Refusal::of_field(
        "invalid_uuid",
        field,
        "a UUID such as 0199a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b",
    ))
}

/// An amount that a request may move, whole won.
pub fn amount(won: i64) -> Result<i64, Refusal> {
    valid_amount(won).map_err(|reason| {
        let detail = format!("whole won from 1 to {AMOUNT_MAX}");
        Refusal::of_field(reason.code(), "amount", detail)
    })
}

/// A text of 1 to `most` characters on one line, in its composed form (NFC),
/// without blanks around it.
pub fn text(field: &str, text: &str, most: usize) -> Result<String, Refusal> {
    written::line(text, most).map_err(|wrong| of_wrong(field, wrong))
}

/// An e-mail address.
pub fn email(field: &str, address: &str) -> Result<String, Refusal> {
    written::email(address).map_err(|wrong| of_wrong(field, wrong))
}

/// A date of the years 2000 to 2999.
pub fn date(field: &str, date: NaiveDate) -> Result<NaiveDate, Refusal> {
    written::date(date).map_err(|wrong| of_wrong(field, wrong))
}

fn of_wrong(field: &str, (code, detail): Wrong) -> Refusal {
    Refusal::of_field(code, field, detail)
}

/// A bank account in its one spelling: digits.
///
/// Two spellings would be two contents, and the second try of a client that
/// writes the dashes elsewhere would be a conflict. `fields` are those of the bank's
/// code and of the number.
pub fn account(fields: [&str; 2], bank_code: &str, number: &str) -> Result<BankAccount, Refusal> {
    let [code_field, number_field] = fields;
    BankAccount::new(bank_code, number).map_err(|error| match error {
        AccountError::BankCode => Refusal::of_field("invalid_bank_code", code_field, error),
        AccountError::AccountNumber => {
            Refusal::of_field("invalid_account_number", number_field, error)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_one_spelling() {
        let written = "0199A1B2-C3D4-7E5F-8A9B-0C1D2E3F4A5B";
        assert_eq!(uuid("member_id", written).unwrap(), written.to_lowercase());
        for bad in [
            "",
            "42",
            "0199a1b2c3d47e5f8a9b0c1d2e3f4a5b",
            "{0199a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b}",
        ] {
            let refusal = uuid("member_id", bad).unwrap_err();
            assert_eq!(
                (refusal.fault, refusal.reason),
                (Fault::Content, "invalid_uuid"),
                "{bad}"
            );
        }
    }

    #[test]
    fn only_whole_won_within_bounds_are_an_amount() {
        assert!(amount(1).is_ok() && amount(AMOUNT_MAX).is_ok());
        for bad in [0, -1, i64::MIN, AMOUNT_MAX + 1, i64::MAX] {
            assert_eq!(amount(bad).unwrap_err().reason, "invalid_amount");
        }
    }

    #[test]
    fn a_text_is_short_and_on_one_line() {
        assert_eq!(text("order_ref", " 주문-7 ", 4).unwrap(), "주문-7");
        for (bad, reason) in [
            ("", "field_empty"),
            ("  ", "field_empty"),
            ("12345", "field_too_long"),
            ("a\nb", "field_has_control_characters"),
            ("a\0b", "field_has_control_characters"),
        ] {
            let refusal = text("order_ref", bad, 4).unwrap_err();
            assert_eq!(refusal.reason, reason, "{bad:?}");
            assert_eq!(refusal.field.as_deref(), Some("order_ref"));
        }
    }

    #[test]
    fn an_account_has_one_spelling() {
        const FROM: [&str; 2] = ["from/bank_code", "from/account_number"];
        let one = account(FROM, "004", "123-45 6789").unwrap();
        assert_eq!(one, account(FROM, "004", "123456789").unwrap());
        let refused = |code, number| account(FROM, code, number).unwrap_err();
        let refusal = refused("4", "123456789");
        assert_eq!(refusal.reason, "invalid_bank_code");
        assert_eq!(refusal.field.as_deref(), Some("from/bank_code"));
        assert_eq!(refused("004", "12345678x").reason, "invalid_account_number");
    }
}
