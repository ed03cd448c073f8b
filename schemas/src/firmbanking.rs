//! `my.firmbanking.request` and `my.firmbanking.result`.

use serde::{Deserialize, Serialize};

use crate::request::{Canonical, Request, ResultStatus, common_fields};

/// The purpose of a command that tops up my money.
pub const PURPOSE_RECHARGE: &str = "recharge";
/// The purpose of a command that pays a remittance out.
pub const PURPOSE_REMITTANCE: &str = "remittance";
/// The purpose of a command that pays a franchise.
pub const PURPOSE_SETTLEMENT: &str = "settlement";
/// The purpose of a command that pays out what a closed member has left.
pub const PURPOSE_CLOSING: &str = "closing";
/// The purpose of a command that brings a payout back, from its receiver's account to
/// ours at the same bank. Its origin is the payout's command.
pub const PURPOSE_UNDO: &str = "undo";
/// The purposes that are kept for ourselves.
pub const RESERVED: [&str; 5] = [
    PURPOSE_RECHARGE,
    PURPOSE_REMITTANCE,
    PURPOSE_SETTLEMENT,
    PURPOSE_CLOSING,
    PURPOSE_UNDO,
];

/// The id of the command that a request brings about.
///
/// The purpose is part of it: a client may use one id for requests of two flows.
pub fn id_of_command(purpose: &str, request: uuid::Uuid) -> uuid::Uuid {
    crate::identity::derive(request, &format!("firmbanking {purpose}"))
}

/// An account at a bank.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct BankAccount {
    /// Three digits.
    pub bank_code: String,
    /// Digits.
    pub account_number: String,
}

/// Move real money from one bank account to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirmbankingRequest {
    /// UUID version 7 from a client, version 8 from another flow.
    pub message_id: String,
    /// UUID of the first request of the business transaction.
    pub correlation_id: String,
    /// Milliseconds since the epoch.
    pub requested_at: i64,
    /// `recharge`, `remittance`, `settlement`, `closing`, `undo`, or a client's own word.
    pub purpose: String,
    /// The account to debit.
    pub from: BankAccount,
    /// The account to credit.
    pub to: BankAccount,
    /// Whole won.
    pub amount: i64,
    /// Whose account `to` must be; asked of the bank before the command goes out.
    #[serde(default)]
    pub to_holder_name: Option<String>,
    /// UUID of the request of another flow that stands behind this one; of an undo, the
    /// command that it brings back.
    #[serde(default)]
    pub causation_id: Option<String>,
}

impl Request for FirmbankingRequest {
    const RECORD: &'static str = "FirmbankingRequest";
    common_fields!();
    fn amount(&self) -> Option<i64> {
        Some(self.amount)
    }
    fn key(&self) -> &str {
        &self.message_id
    }
    fn canonical(&self, content: &mut Canonical) {
        content.text(&self.purpose);
        for account in [&self.from, &self.to] {
            content.text(&account.bank_code);
            content.text(&account.account_number);
        }
        content.number(self.amount);
        content.text(self.to_holder_name.as_deref().unwrap_or(""));
    }
}

/// The one result of a [`FirmbankingRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirmbankingResult {
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
    /// Copied from the request.
    pub purpose: String,
    /// The request of another flow that asked for this.
    #[serde(default)]
    pub origin_id: Option<String>,
    /// Whole won.
    pub amount: i64,
    /// The bank that was commanded.
    pub bank_code: String,
    /// `YYYY-MM-DD` in Korea.
    #[serde(default)]
    pub business_date: Option<String>,
    /// Our number of the command.
    #[serde(default)]
    pub transaction_number: Option<i64>,
    /// What the bank took, whole won.
    pub fee: i64,
    /// What brought the outcome about.
    #[serde(default)]
    pub causation_id: Option<String>,
}
