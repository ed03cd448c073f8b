//! `POST /remittances` to `my.remittance.request`.

use mypay_schemas::Flow;
use mypay_schemas::remittance::{BankReceiver, MemberReceiver, Receiver, RemittanceRequest};
use serde::Deserialize;

use crate::request::{Body, HOLDER_NAME_MAX, Head, Owner, Refusal, account, amount, text, uuid};

/// Remit my money to a member or to an account at a bank.
#[derive(Debug, Clone, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RemittanceBody {
    /// UUID of the member whose my money goes down.
    #[schema(format = Uuid, example = "0199a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b")]
    pub sender_id: String,
    /// Where the money goes.
    pub receiver: ReceiverBody,
    /// Whole won.
    #[schema(example = 30_000, minimum = 1, maximum = 100_000_000_000i64)]
    pub amount: i64,
}

/// A member, or an account at a bank.
#[derive(Debug, Clone, Deserialize, utoipa::ToSchema)]
#[serde(
    untagged,
    expecting = "a receiver is {member_id} or {bank_code, account_number, holder_name}"
)]
pub enum ReceiverBody {
    /// Another member's my money.
    Member(MemberBody),
    /// An account at a bank.
    Bank(BankBody),
}

/// Another member.
#[derive(Debug, Clone, Deserialize, utoipa::ToSchema)]
// Its own name is taken in the description, by the member that is created.
#[schema(as = ReceivingMember)]
#[serde(deny_unknown_fields)]
pub struct MemberBody {
    /// UUID of the member.
    #[schema(format = Uuid, example = "0199a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5c")]
    pub member_id: String,
}

/// An account at a bank, and whose it is.
#[derive(Debug, Clone, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BankBody {
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
    /// Compared with the bank's own record before money moves.
    #[schema(example = "김하나", min_length = 1, max_length = 100)]
    pub holder_name: String,
}

impl Body for RemittanceBody {
    const FLOW: Flow = Flow::Remittance;
    type Request = RemittanceRequest;

    fn owner(&self) -> Option<Owner<'_>> {
        Some(Owner {
            field: "sender_id",
            id: &self.sender_id,
        })
    }

    fn into_request(self, head: Head) -> Result<RemittanceRequest, Refusal> {
        Ok(RemittanceRequest {
            sender_id: uuid("sender_id", &self.sender_id)?,
            receiver: self.receiver.check()?,
            amount: amount(self.amount)?,
            message_id: head.message_id,
            correlation_id: head.correlation_id,
            requested_at: head.requested_at,
            causation_id: None,
        })
    }
}

const RECEIVER: [&str; 2] = ["receiver/bank_code", "receiver/account_number"];

impl ReceiverBody {
    fn check(self) -> Result<Receiver, Refusal> {
        match self {
            Self::Member(member) => Ok(Receiver::MemberReceiver(MemberReceiver {
                member_id: uuid("receiver/member_id", &member.member_id)?,
            })),
            Self::Bank(bank) => {
                let account = account(RECEIVER, &bank.bank_code, &bank.account_number)?;
                Ok(Receiver::BankReceiver(BankReceiver {
                    bank_code: account.bank_code,
                    account_number: account.account_number,
                    holder_name: text("receiver/holder_name", &bank.holder_name, HOLDER_NAME_MAX)?,
                }))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head() -> Head {
        Head {
            message_id: "m".into(),
            correlation_id: "c".into(),
            requested_at: 7,
        }
    }

    fn body(json: &str) -> Result<RemittanceBody, serde_json::Error> {
        serde_json::from_str(json)
    }

    const SENDER: &str = r#""sender_id":"0199a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b""#;

    #[test]
    fn a_receiver_is_a_member_or_a_bank_account() {
        let member = body(&format!(
            r#"{{{SENDER},"receiver":{{"member_id":"0199a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5c"}},"amount":1}}"#
        ));
        let request = member.unwrap().into_request(head()).unwrap();
        assert!(matches!(request.receiver, Receiver::MemberReceiver(_)));
        let bank = body(&format!(
            r#"{{{SENDER},"receiver":{{"bank_code":"004","account_number":"110-123-456789","holder_name":" 김하나 "}},"amount":1}}"#
        ));
        let Receiver::BankReceiver(bank) = bank.unwrap().into_request(head()).unwrap().receiver
        else {
            panic!("a bank account");
        };
        assert_eq!(
            (&*bank.account_number, &*bank.holder_name),
            ("110123456789", "김하나")
        );
    }

    #[test]
    fn a_receiver_that_is_both_or_neither_is_refused() {
        for receiver in [
            "{}",
            r#"{"member_id":"0199a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5c","bank_code":"004"}"#,
            r#"{"bank_code":"004","account_number":"110123456789"}"#,
            "null",
        ] {
            let error =
                body(&format!(r#"{{{SENDER},"receiver":{receiver},"amount":1}}"#)).unwrap_err();
            assert!(
                error.to_string().contains("a receiver is {member_id} or"),
                "{error}"
            );
        }
    }
}
