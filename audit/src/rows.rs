//! What is compared, as compact rows: no row holds a text, and a message costs
//! little more than a hundred bytes.

use mypay_schemas::Flow;
use mypay_schemas::reversal::FIRMBANKING_REVERSAL;

use crate::interned::Code;
use crate::sorted::has_id;

/// Which topic a consumer has a message from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Source {
    /// Its own requests.
    Request,
    /// The banks' results.
    Bank,
    /// What banks have undone.
    Reversal,
    /// The results of recharges that top up.
    TopUp,
    /// None that it reads.
    Other,
}

/// Where a message lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Place {
    /// The topic, as its consumer sees it.
    pub source: Source,
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
}

impl Source {
    /// What a topic is to a consumer.
    pub(crate) fn of(flow: Flow, topic: &str) -> Self {
        if topic == flow.request_topic() {
            Source::Request
        } else if topic == Flow::Firmbanking.result_topic() && flow != Flow::Firmbanking {
            Source::Bank
        } else if topic == FIRMBANKING_REVERSAL
            && matches!(flow, Flow::Remittance | Flow::Settlement | Flow::Closing)
        {
            Source::Reversal
        } else if topic == Flow::Recharge.result_topic()
            && matches!(flow, Flow::Remittance | Flow::Payment)
        {
            Source::TopUp
        } else {
            Source::Other
        }
    }
}

impl Place {
    /// For people: `my.recharge.request-3@17`.
    pub(crate) fn shown(&self, flow: Flow) -> String {
        let topic = match self.source {
            Source::Request => flow.request_topic(),
            Source::Bank => Flow::Firmbanking.result_topic(),
            Source::Reversal => FIRMBANKING_REVERSAL,
            Source::TopUp => Flow::Recharge.result_topic(),
            Source::Other => "?",
        };
        format!("{topic}-{}@{}", self.partition, self.offset)
    }
}

/// What a request is, as far as the journal tells kinds apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Remittance between members.
    ToMember,
    /// Remittance to a bank account.
    ToBank,
    /// Cancel of a payment.
    Cancel,
    /// Any other request of a client.
    Plain,
    /// What follows from a request of ours: a flow's command to a bank, a bank's
    /// result for the flow that asked, a recharge that tops up, its result, and a
    /// payment that goes on.
    Follows,
}

/// A message that a consumer claims.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Message {
    /// Its id.
    pub id: u128,
    /// Hash of its canonical content.
    pub content: u128,
    /// Who pays: sender, member. Nil where that is no UUID.
    pub payer: u128,
    /// Who is paid: receiver, franchise; the request behind a bank's result, or
    /// behind a recharge's.
    pub payee: u128,
    /// Whole won.
    pub amount: i64,
    /// The broker's time, milliseconds since the epoch.
    pub at: i64,
    /// Where it lies.
    pub place: Place,
    /// Hash of its bytes.
    pub bytes: u64,
    /// What it is.
    pub kind: Kind,
}

/// A message that no consumer can claim, and that goes to the dead letters.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Poison {
    /// Where it lies.
    pub place: Place,
    /// Hash of its bytes.
    pub bytes: u64,
    /// The broker's time.
    pub at: i64,
    /// Why it cannot be claimed.
    pub reason: Code,
}

/// A result event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ResultEvent {
    /// The request's id.
    pub request: u128,
    /// Its own id.
    pub message_id: u128,
    /// The fee of a remittance, the commission of a payment: whole won.
    pub extra: i64,
    /// What was recharged on the way, whole won.
    pub topped_up: i64,
    /// Its offset.
    pub offset: i64,
    /// Its partition.
    pub partition: i32,
    /// Reason code.
    pub reason: Code,
    /// Whether its status is COMPLETED.
    pub completed: bool,
}

/// A result that was put through again for those that read it, and says so: it is no
/// second result.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Repeated {
    /// What it says.
    pub event: ResultEvent,
    /// The offset, in its partition, of the one that it repeats.
    pub of: i64,
}

/// An event that tells that something has come back.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ReversalEvent {
    /// What came back: a remittance, a payout, a command.
    pub origin: u128,
    /// Its own id.
    pub message_id: u128,
    /// Whole won.
    pub amount: i64,
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
}

/// A dead letter.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DeadLetter {
    /// The place that its headers name.
    pub place: Place,
    /// Hash of its bytes.
    pub bytes: u64,
    /// Why it is dead.
    pub reason: Code,
    /// Its own offset in the dead-letter topic.
    pub offset: i64,
}

/// How far a message has come, by `queue_log`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    /// Put in the queue, not handled.
    Waiting,
    /// A bank has yet to answer.
    Processing,
    /// Handled.
    Done,
}

/// A row of `queue_log`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    /// The message.
    pub id: u128,
    /// Hash of its canonical content.
    pub content: u128,
    /// When it was handled, milliseconds since the epoch; 0 where it was not.
    pub processed_at: i64,
    /// Where it was handled.
    pub place: Option<Place>,
    /// Reason code.
    pub reason: Code,
    /// How far it has come.
    pub status: Status,
    /// Whether the outcome is a success.
    pub success: bool,
}

/// A lane of a consumer at the instant of the snapshot.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Lane {
    /// Offsets below are handled.
    pub next_offset: i64,
    /// Results of offsets below are in Kafka for certain.
    pub emitted_offset: i64,
}

has_id!(Message => id, ResultEvent => request, ReversalEvent => origin, Row => id);

/// An id for people.
pub(crate) fn shown(id: u128) -> String {
    uuid::Uuid::from_u128(id).to_string()
}
