//! `my.remittance.request` and `my.remittance.result`.

use serde::{Deserialize, Serialize};

use crate::request::{Canonical, Request, ResultStatus, common_fields};

/// Another member's my money.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberReceiver {
    /// UUID of the member.
    pub member_id: String,
}

/// An account at a bank.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BankReceiver {
    /// Three digits.
    pub bank_code: String,
    /// Digits, as written by the client.
    pub account_number: String,
    /// Whose account it is.
    pub holder_name: String,
}

/// Where remitted money goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Receiver {
    /// To a member: the ledger only.
    MemberReceiver(MemberReceiver),
    /// To a bank account: the ledger, then firmbanking.
    BankReceiver(BankReceiver),
}

/// Remit my money of a member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemittanceRequest {
    /// UUID version 7.
    pub message_id: String,
    /// UUID of the first request of the business transaction.
    pub correlation_id: String,
    /// Milliseconds since the epoch.
    pub requested_at: i64,
    /// UUID of the member whose my money goes down.
    pub sender_id: String,
    /// Where the money goes.
    pub receiver: Receiver,
    /// Whole won.
    pub amount: i64,
    /// UUID of the message that caused this one.
    #[serde(default)]
    pub causation_id: Option<String>,
}

impl Request for RemittanceRequest {
    const RECORD: &'static str = "RemittanceRequest";
    common_fields!();
    fn amount(&self) -> Option<i64> {
        Some(self.amount)
    }
    fn key(&self) -> &str {
        &self.sender_id
    }
    fn canonical(&self, content: &mut Canonical) {
        content.text(&self.sender_id);
        content.number(self.amount);
        match &self.receiver {
            Receiver::MemberReceiver(member) => {
                content.text("member");
                content.text(&member.member_id);
            }
            Receiver::BankReceiver(bank) => {
                content.text("bank");
                content.text(&bank.bank_code);
                content.text(&bank.account_number);
                content.text(&bank.holder_name);
            }
        }
    }
}

/// The one result of a [`RemittanceRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemittanceResult {
    /// Derived from the request's id.
    pub message_id: String,
    /// The request's id.
    pub request_id: String,
    /// Copied from the request.
    pub correlation_id: String,
    /// The outcome.
    pub status: ResultStatus,
    /// Reason code of a rejection.
    #[serde(default)]
    pub reason: Option<String>,
    /// Milliseconds since the epoch.
    pub occurred_at: i64,
    /// UUID of the sender.
    pub sender_id: String,
    /// Whole won.
    pub amount: i64,
    /// Whole won, taken from the sender besides the amount.
    pub fee: i64,
    /// What brought the outcome about.
    #[serde(default)]
    pub causation_id: Option<String>,
    /// Whole won recharged from the sender's bank account on the way; it stays on
    /// the balance where the remittance is rejected all the same.
    #[serde(default)]
    pub topped_up: i64,
}
