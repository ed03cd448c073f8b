//! The six flows and the names of their topics.

use std::fmt;
use std::str::FromStr;

/// A kind of request, with topics of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Flow {
    /// A member's bank account to my money.
    Recharge,
    /// My money to a member or to an account at a bank.
    Remittance,
    /// My money to a franchise.
    Payment,
    /// What a franchise is owed, to its bank account.
    Settlement,
    /// Real money from bank account to bank account.
    Firmbanking,
    /// A membership ends: what is left of my money, to the member's bank account.
    Closing,
}

impl Flow {
    /// All flows, in the order in which people name them.
    pub const ALL: [Flow; 6] = [
        Flow::Recharge,
        Flow::Remittance,
        Flow::Payment,
        Flow::Settlement,
        Flow::Firmbanking,
        Flow::Closing,
    ];

    /// The flow's name, which is also its consumer group's and its consumer's
    /// name in `queue_log`.
    pub const fn name(self) -> &'static str {
        match self {
            Flow::Recharge => "recharge",
            Flow::Remittance => "remittance",
            Flow::Payment => "payment",
            Flow::Settlement => "settlement",
            Flow::Firmbanking => "firmbanking",
            Flow::Closing => "closing",
        }
    }

    /// The topic of the flow's requests.
    pub const fn request_topic(self) -> &'static str {
        match self {
            Flow::Recharge => "my.recharge.request",
            Flow::Remittance => "my.remittance.request",
            Flow::Payment => "my.payment.request",
            Flow::Settlement => "my.settlement.request",
            Flow::Firmbanking => "my.firmbanking.request",
            Flow::Closing => "my.closing.request",
        }
    }

    /// The topic of the flow's results.
    pub const fn result_topic(self) -> &'static str {
        match self {
            Flow::Recharge => "my.recharge.result",
            Flow::Remittance => "my.remittance.result",
            Flow::Payment => "my.payment.result",
            Flow::Settlement => "my.settlement.result",
            Flow::Firmbanking => "my.firmbanking.result",
            Flow::Closing => "my.closing.result",
        }
    }

    /// The topic of the requests that can never work.
    pub const fn dead_letter_topic(self) -> &'static str {
        match self {
            Flow::Recharge => "my.recharge.request.dlq",
            Flow::Remittance => "my.remittance.request.dlq",
            Flow::Payment => "my.payment.request.dlq",
            Flow::Settlement => "my.settlement.request.dlq",
            Flow::Firmbanking => "my.firmbanking.request.dlq",
            Flow::Closing => "my.closing.request.dlq",
        }
    }
}

impl fmt::Display for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Flow {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Flow::ALL
            .into_iter()
            .find(|flow| flow.name() == text)
            .ok_or_else(|| {
                format!(
                    "there is no flow '{text}': use recharge, remittance, payment, settlement, firmbanking or closing"
                )
            })
    }
}
