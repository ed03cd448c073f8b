//! All that an audit compares, by the consumer that it concerns.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use mypay_schemas::Flow;

use crate::bank::Bank;
use crate::flows::Tables;
use crate::interned::{Code, Interned};
use crate::ledger::Ledger;
use crate::rows::{
    DeadLetter, Lane, Message, Place, Poison, Repeated, ResultEvent, ReversalEvent, Row, Source,
    Status,
};

/// The reason in the row of a message that people have given up.
pub(crate) const GIVEN_UP: &str = "given_up";

/// What one consumer has read, kept and answered.
#[derive(Default)]
pub(crate) struct FlowData {
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
    /// Results that were put through again.
    pub repeated: Vec<Repeated>,
    /// Its events of what came back, by what that is.
    pub came_back: Vec<ReversalEvent>,
    /// The ends of that topic's partitions *before* the snapshot.
    pub came_back_before: HashMap<i32, i64>,
    /// Events of what came back that are older than this may have been deleted;
    /// milliseconds.
    pub came_back_floor: i64,
    /// What lies on its result, reversal or dead-letter topic and is none.
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
    /// Lowest offsets that its result topic's partitions still have.
    pub results_low: HashMap<i32, i64>,
    /// Results older than this may have been deleted; milliseconds.
    pub results_floor: i64,
    /// Dead letters older than this may have been deleted; milliseconds.
    pub dead_letters_floor: i64,
    /// Requests that wait in the outbox.
    pub outbox_requests: Vec<u128>,
    /// Requests whose result waits in the outbox.
    pub outbox_results: Vec<u128>,
    /// Commands that came back, whose event waits in the outbox.
    pub outbox_reversals: Vec<u128>,
    /// Messages that people have given up.
    pub given_up: HashSet<u128>,
}

impl FlowData {
    /// The lane that a place belongs to.
    pub(crate) fn lane(&self, place: &Place) -> Lane {
        self.lanes
            .get(&(place.source, place.partition))
            .copied()
            .unwrap_or_default()
    }

    /// Whether the message at a place was handled at the snapshot.
    pub(crate) fn handled(&self, place: &Place) -> bool {
        place.offset < self.lane(place).next_offset
    }

    /// Whether all that comes of a place is in Kafka for certain.
    pub(crate) fn emitted(&self, place: &Place) -> bool {
        place.offset < self.lane(place).emitted_offset
    }

    /// Whether the topic still has a place.
    pub(crate) fn retained(&self, place: &Place) -> bool {
        place.offset
            >= self
                .low
                .get(&(place.source, place.partition))
                .copied()
                .unwrap_or(0)
    }
}

/// All that is compared.
#[derive(Default)]
pub(crate) struct Data {
    /// Each consumer's, by the flow's number.
    pub flows: [FlowData; Flow::ALL.len()],
    /// Reason codes, and other texts that repeat.
    pub reasons: Arc<Interned>,
    /// The instant of the snapshot, milliseconds.
    pub now: i64,
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
    /// Nothing yet, with texts that others use too.
    pub(crate) fn with_reasons(reasons: Arc<Interned>) -> Self {
        Self {
            reasons,
            ..Self::default()
        }
    }

    /// A consumer's data.
    pub(crate) fn flow(&self, flow: Flow) -> &FlowData {
        &self.flows[flow as usize]
    }

    /// Whether a row says that people have given its message up, and they have: then
    /// no consumer has handled it, and it has no result.
    pub(crate) fn is_given_up(&self, of: &FlowData, row: &Row) -> bool {
        (row.status, row.success, row.place) == (Status::Done, false, None)
            && of.given_up.contains(&row.id)
            && self.reasons.text(row.reason) == GIVEN_UP
    }

    /// A consumer's data, to be filled.
    pub(crate) fn flow_mut(&mut self, flow: Flow) -> &mut FlowData {
        &mut self.flows[flow as usize]
    }
}
