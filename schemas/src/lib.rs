//! The Avro contract of my-pay.
//!
//! `schemas/*.avsc` are the contract with the outside; the types here are its
//! Rust side, one file a flow. [`wire`] is the Confluent wire format,
//! [`registry`] registers and checks the schemas, and [`decoder`] reads what
//! older and newer writers wrote.
//!
//! The records carry no namespace, so that `MemberReceiver` in a union is
//! `MemberReceiver` for every client, whatever its language.

pub mod closing;
pub mod decoder;
pub mod encoders;
pub mod firmbanking;
pub mod flow;
pub mod identity;
pub mod payment;
pub mod recharge;
pub mod registry;
pub mod remittance;
pub mod request;
pub mod reversal;
pub mod settlement;
pub mod trace;
pub mod wire;

pub use flow::Flow;
pub use request::{Canonical, ContentHash, Request, ResultStatus};

/// A schema and the topic whose values it describes.
#[derive(Debug, Clone, Copy)]
pub struct Subject {
    /// The topic, as in `my.recharge.request`.
    pub topic: &'static str,
    /// The record's name, as in `RechargeRequest`.
    pub record: &'static str,
    /// The schema's text, as it stands in `schemas/`.
    pub schema: &'static str,
}

impl Subject {
    /// The registry's subject under TopicNameStrategy: `<topic>-value`.
    pub fn subject(&self) -> String {
        format!("{}-value", self.topic)
    }

    /// The subject of a topic, or `None` where the topic carries no Avro of ours.
    pub fn of_topic(topic: &str) -> Option<&'static Subject> {
        SUBJECTS.iter().find(|subject| subject.topic == topic)
    }
}

macro_rules! subjects {
    ($($topic:literal, $record:literal, $file:literal;)*) => {
        /// Every subject of the project.
        pub const SUBJECTS: &[Subject] = &[$(Subject {
            topic: $topic,
            record: $record,
            schema: include_str!(concat!("../", $file)),
        }),*];
    };
}

subjects! {
    "my.recharge.request", "RechargeRequest", "recharge_request.avsc";
    "my.recharge.result", "RechargeResult", "recharge_result.avsc";
    "my.remittance.request", "RemittanceRequest", "remittance_request.avsc";
    "my.remittance.result", "RemittanceResult", "remittance_result.avsc";
    "my.payment.request", "PaymentRequest", "payment_request.avsc";
    "my.payment.result", "PaymentResult", "payment_result.avsc";
    "my.settlement.request", "SettlementRequest", "settlement_request.avsc";
    "my.settlement.result", "SettlementResult", "settlement_result.avsc";
    "my.firmbanking.request", "FirmbankingRequest", "firmbanking_request.avsc";
    "my.firmbanking.result", "FirmbankingResult", "firmbanking_result.avsc";
    "my.firmbanking.reversal", "FirmbankingReversal", "firmbanking_reversal.avsc";
    "my.remittance.reversal", "RemittanceReversal", "remittance_reversal.avsc";
    "my.settlement.reversal", "SettlementReversal", "settlement_reversal.avsc";
    "my.closing.request", "ClosingRequest", "closing_request.avsc";
    "my.closing.result", "ClosingResult", "closing_result.avsc";
    "my.closing.reversal", "ClosingReversal", "closing_reversal.avsc";
}
