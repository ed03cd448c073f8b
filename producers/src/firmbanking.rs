//! `POST /firmbankings` to `my.firmbanking.request`.

use mypay_decide::firmbanking::is_reserved;
use mypay_schemas::Flow;
use mypay_schemas::firmbanking::{BankAccount, FirmbankingRequest};
use serde::Deserialize;

use crate::request::{Body, HOLDER_NAME_MAX, Head, Owner, Refusal, account, amount, text};

/// The longest purpose, in characters.
const PURPOSE_MAX: usize = 40;

/// Move money of ours from one bank account to another.
#[derive(Debug, Clone, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FirmbankingBody {
    /// Why, at most 40 characters. `recharge`, `remittance`, `settlement` and
    /// `closing` are kept for the flows of these names.
    #[schema(example = "transfer", min_length = 1, max_length = 40)]
    pub purpose: String,
    /// The account to debit, one of ours.
    pub from: AccountBody,
    /// The account to credit.
    pub to: AccountBody,
    /// Whole won.
    #[schema(example = 1_000_000, minimum = 1, maximum = 100_000_000_000i64)]
    pub amount: i64,
    /// Whose account `to` must be; the bank's own record is asked first. It may be left
    /// out where `to` is an account of ours.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 100)]
    pub to_holder_name: Option<String>,
}

/// An account at a bank.
#[derive(Debug, Clone, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AccountBody {
    /// Three digits.
    #[schema(example = "004", pattern = "^[0-9]{3}$")]
    pub bank_code: String,
    /// 6 to 20 digits; dashes and spaces are left out.
    #[schema(
        example = "110-123-456789",
        pattern = "^[- ]*([0-9][- ]*){6,20}$",
        max_length = 64
    )]
    pub account_number: String,
}

impl AccountBody {
    fn check(&self, fields: [&str; 2]) -> Result<BankAccount, Refusal> {
        let account = account(fields, &self.bank_code, &self.account_number)?;
        Ok(BankAccount {
            bank_code: account.bank_code,
            account_number: account.account_number,
        })
    }
}

impl FirmbankingBody {
    /// The account to credit, where it is not said whose it is: it must be one of ours.
    pub(crate) fn nameless_receiver(&self) -> Option<BankAccount> {
        // One that cannot be read is refused for that.
        let receiver = || self.to.check(["to/bank_code", "to/account_number"]).ok();
        self.to_holder_name.is_none().then(receiver).flatten()
    }
}

impl Body for FirmbankingBody {
    const FLOW: Flow = Flow::Firmbanking;
    type Request = FirmbankingRequest;

    fn owner(&self) -> Option<Owner<'_>> {
        None
    }

    fn into_request(self, head: Head) -> Result<FirmbankingRequest, Refusal> {
        let to_holder_name = self
            .to_holder_name
            .map(|name| text("to_holder_name", &name, HOLDER_NAME_MAX))
            .transpose()?;
        let purpose = text("purpose", &self.purpose, PURPOSE_MAX)?;
        if is_reserved(&purpose) {
            let detail = format!("{purpose} is kept for the flow of that name");
            return Err(Refusal::of_field("reserved_purpose", "purpose", detail));
        }
        Ok(FirmbankingRequest {
            purpose,
            from: self.from.check(["from/bank_code", "from/account_number"])?,
            to: self.to.check(["to/bank_code", "to/account_number"])?,
            amount: amount(self.amount)?,
            to_holder_name,
            message_id: head.message_id,
            correlation_id: head.correlation_id,
            requested_at: head.requested_at,
            causation_id: None,
        })
    }
}
