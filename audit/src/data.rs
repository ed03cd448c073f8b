//! What an audit compares, as compact rows: no row holds a text, and a message
//! costs little more than a hundred bytes.

use std::collections::{HashMap, HashSet};

use mypay_schemas::Flow;

use crate::bank::Bank;
use crate::flows::Tables;
use crate::interned::{Code, Interned};
use crate::ledger::Ledger;
use crate::sorted::has_id;

/// Which topic a consumer has a message from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// Its own requests.
    Request,
    /// The banks' results.
    Bank,
    /// None that it reads.
    Other,
}

/// Where a message lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The topic, as its consumer sees it.
    pub source: Source,
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
}

impl Place {
    /// For people: `my.recharge.request-3@17`.
    pub fn shown(&self, flow: Flow) -> String {
        let topic = match self.source {
            Source::Request => flow.request_topic(),
            Source::Bank => Flow::Firmbanking.result_topic(),
            Source::Other => "?",
        };
        format!("{topic}-{}@{}", self.partition, self.offset)
    }
}

/// What a request is, as far as the journal tells kinds apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Remittance between members.
    ToMember,
    /// Remittance to a bank account.
    ToBank,
    /// Any other request; a bank's result for the flow that reads it.
    Plain,
}

/// A message that a consumer claims.
#[derive(Debug, Clone, Copy)]
pub struct Message {
    /// Its id.
    pub id: u128,
    /// Hash of its canonical content.
    pub content: u128,
    /// Who pays: sender, member. Nil where that is no UUID.
    pub payer: u128,
    /// Who is paid: receiver, franchise; the request behind a bank's result.
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
pub struct Poison {
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
#[derive(Debug, Clone, Copy)]
pub struct ResultEvent {
    /// The request's id.
    pub request: u128,
    /// Its own id.
    pub message_id: u128,
    /// The fee of a remittance, the commission of a payment: whole won.
    pub extra: i64,
    /// Its offset.
    pub offset: i64,
    /// The broker's time.
    pub at: i64,
    /// Its partition.
    pub partition: i32,
    /// Reason code.
    pub reason: Code,
    /// Whether its status is COMPLETED.
    pub completed: bool,
}

/// A dead letter.
#[derive(Debug, Clone, Copy)]
pub struct DeadLetter {
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
pub enum Status {
    /// Put in the queue, not handled.
    Waiting,
    /// A bank has yet to answer.
    Processing,
    /// Handled.
    Done,
}

/// A row of `queue_log`.
#[derive(Debug, Clone, Copy)]
pub struct Row {
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
pub struct Lane {
    /// Offsets below are handled.
    pub next_offset: i64,
    /// Results of offsets below are in Kafka for certain.
    pub emitted_offset: i64,
}

has_id!(Message => id, ResultEvent => request, Row => id);

/// What one consumer has read, kept and answered.
#[derive(Default)]
pub struct FlowData {
    /// Requests and banks' results whose ids carry a time, by id and place.
    pub messages: Vec<Message>,
    /// Requests whose ids carry no time.
    pub timeless: Vec<Message>,
    /// What goes to the dead letters whatever `queue_log` says.
    pub poison: Vec<Poison>,
    /// Its dead letters, by the place that they name.
    pub dead_letters: Vec<DeadLetter>,
    /// Its results, by request.
    pub results: Vec<ResultEvent>,
    /// What lies on its result or dead-letter topic and is neither.
    pub strange: Vec<(String, String)>,
    /// Its rows of `queue_log`, by id.
    pub rows: Vec<Row>,
    /// Its lanes.
    pub lanes: HashMap<(Source, i32), Lane>,
    /// Lowest offsets that its topics still have.
    pub low: HashMap<(Source, i32), i64>,
    /// The ends of its result topic's partitions *before* the snapshot: what
    /// lies below was committed in PostgreSQL before.
    pub results_before: HashMap<i32, i64>,
    /// Results older than this may have been deleted; milliseconds.
    pub results_floor: i64,
    /// Dead letters older than this may have been deleted; milliseconds.
    pub dead_letters_floor: i64,
    /// Requests that wait in the outbox.
    pub outbox_requests: Vec<u128>,
    /// Requests whose result waits in the outbox.
    pub outbox_results: Vec<u128>,
}

impl FlowData {
    /// The lane that a place belongs to.
    pub fn lane(&self, place: &Place) -> Lane {
        self.lanes.get(&(place.source, place.partition)).copied().unwrap_or_default()
    }

    /// Whether the message at a place was handled at the snapshot.
    pub fn handled(&self, place: &Place) -> bool {
        place.offset < self.lane(place).next_offset
    }

    /// Whether all that comes of a place is in Kafka for certain.
    pub fn emitted(&self, place: &Place) -> bool {
        place.offset < self.lane(place).emitted_offset
    }

    /// Whether the topic still has a place.
    pub fn retained(&self, place: &Place) -> bool {
        place.offset >= self.low.get(&(place.source, place.partition)).copied().unwrap_or(0)
    }

    /// Whether some of the requests may have been deleted by retention.
    pub fn requests_were_deleted(&self) -> bool {
        self.low.iter().any(|((source, _), low)| *source == Source::Request && *low > 0)
    }
}

/// All that is compared.
#[derive(Default)]
pub struct Data {
    /// Each consumer's, by the flow's number.
    pub flows: [FlowData; 5],
    /// Reason codes.
    pub reasons: Interned,
    /// The start of the oldest partition of `queue_log`, milliseconds.
    pub horizon: i64,
    /// What the flows own besides.
    pub tables: Tables,
    /// Postings and accounts.
    pub ledger: Ledger,
    /// Commands that were numbered after the snapshot: bank, business date, number.
    pub later_numbers: HashSet<(Code, i32, i32)>,
    /// The banks' own statements; why not, where they could not be had.
    pub bank: Option<Result<Bank, String>>,
}

impl Data {
    /// A consumer's data.
    pub fn flow(&self, flow: Flow) -> &FlowData {
        &self.flows[flow as usize]
    }

    /// A consumer's data, to be filled.
    pub fn flow_mut(&mut self, flow: Flow) -> &mut FlowData {
        &mut self.flows[flow as usize]
    }
}

/// An id for people.
pub fn shown(id: u128) -> String {
    uuid::Uuid::from_u128(id).to_string()
}
