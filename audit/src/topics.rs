//! What lies on the topics.

mod came_back;
mod dead_letters;
mod reader;
mod requests;
mod results;
mod reversals;

use std::hash::{DefaultHasher, Hasher};

use mypay_schemas::Flow;
use mypay_schemas::reversal::{
    CLOSING_REVERSAL, FIRMBANKING_REVERSAL, REMITTANCE_REVERSAL, SETTLEMENT_REVERSAL,
};
use rdkafka::message::{BorrowedMessage, Message as _};
use uuid::Uuid;

use crate::data::{Data, FlowData};
use crate::decoding::Decoding;
use crate::error::AuditError;
use crate::interned::Interned;
use crate::kafka::Span;
use crate::read;
use crate::rows::{DeadLetter, Message, Poison, Repeated, ResultEvent, ReversalEvent, Source};
use crate::sorted;
use reader::Reader;
pub(crate) use requests::MESSAGE_MAX;

/// Who tells where what has come back.
pub(crate) const CAME_BACK: [(Flow, &str); 4] = [
    (Flow::Firmbanking, FIRMBANKING_REVERSAL),
    (Flow::Remittance, REMITTANCE_REVERSAL),
    (Flow::Settlement, SETTLEMENT_REVERSAL),
    (Flow::Closing, CLOSING_REVERSAL),
];

/// Who tells on a topic what has come back.
pub(crate) fn came_back(topic: &str) -> Option<Flow> {
    CAME_BACK
        .into_iter()
        .find_map(|(flow, of_flow)| (of_flow == topic).then_some(flow))
}

/// The ends of the topics at an instant.
pub(crate) struct Ends {
    pub(crate) requests: Vec<Span>,
    pub(crate) results: Vec<Span>,
    pub(crate) dead_letters: Vec<Span>,
    pub(crate) reversals: Vec<Span>,
}

/// What a topic is to its flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Request,
    Result,
    DeadLetter,
    /// The banks' reversals, which flows read.
    Reversal,
    /// What a flow makes of them.
    CameBack,
}

/// What was found in a share, by the consumer that it concerns.
#[derive(Default)]
struct Taken {
    messages: Vec<(Flow, Vec<Message>)>,
    timeless: Vec<Message>,
    poison: Vec<(Flow, Poison)>,
    results: Vec<ResultEvent>,
    repeated: Vec<Repeated>,
    came_back: Vec<ReversalEvent>,
    dead_letters: Vec<DeadLetter>,
    strange: Vec<(String, String)>,
    /// The time of the first message of partitions that lost older ones.
    floor: i64,
    read: u64,
}

/// Reads all topics into `data`; tells how many messages there were. Blocks.
pub(crate) fn read(
    bootstrap: &str,
    registry_url: &str,
    runtime: &tokio::runtime::Handle,
    ends: &Ends,
    data: &mut Data,
) -> Result<u64, AuditError> {
    note_low(ends, data);
    let spans: Vec<Span> = [
        &ends.requests,
        &ends.results,
        &ends.dead_letters,
        &ends.reversals,
    ]
    .into_iter()
    .flatten()
    .copied()
    .collect();
    let reasons = &data.reasons;
    let shares = read::in_parallel(
        read::shares(&spans),
        || Reader {
            decoding: Decoding::new(registry_url, runtime),
            reasons,
        },
        |reader, share| {
            let (flow, role) = role(share.0.first().map_or("", |span| span.topic));
            Ok((flow, role, reader.read(bootstrap, share, flow, role)?))
        },
    )?;
    let mut read = 0;
    for (flow, role, taken) in shares {
        read += taken.read;
        put(data, flow, role, taken);
    }
    for flow in &mut data.flows {
        // By place too, so that of several occurrences the first comes first.
        flow.messages
            .sort_unstable_by_key(|message| (message.id, message.place));
        sorted::sort(&mut flow.timeless);
        flow.dead_letters
            .sort_unstable_by_key(|letter| (letter.place, letter.offset));
        sorted::sort(&mut flow.results);
        sorted::sort(&mut flow.came_back);
    }
    Ok(read)
}

/// The requests in some spans of a flow's topic.
#[derive(Default)]
pub(crate) struct Requests {
    /// Those whose ids carry a time.
    pub(crate) messages: Vec<Message>,
    /// How many ids carry none.
    pub(crate) timeless: u64,
    /// How many cannot be read, or have no UUID for an id.
    pub(crate) undecodable: u64,
}

/// Reads requests of a flow. Blocks.
pub(crate) fn requests(
    bootstrap: &str,
    registry_url: &str,
    runtime: &tokio::runtime::Handle,
    flow: Flow,
    spans: &[Span],
) -> Result<Requests, AuditError> {
    let reasons = &Interned::default();
    let shares = read::in_parallel(
        read::shares(spans),
        || Reader {
            decoding: Decoding::new(registry_url, runtime),
            reasons,
        },
        |reader, share| reader.read(bootstrap, share, flow, Role::Request),
    )?;
    let mut requests = Requests::default();
    for taken in shares {
        requests.timeless += taken.timeless.len() as u64;
        requests.undecodable += taken.poison.len() as u64;
        for (_, messages) in taken.messages {
            append(&mut requests.messages, messages);
        }
    }
    Ok(requests)
}

fn note_low(ends: &Ends, data: &mut Data) {
    for flow in Flow::ALL {
        let requests = ends
            .requests
            .iter()
            .filter(|span| span.topic == flow.request_topic());
        let bank = ends
            .results
            .iter()
            .filter(|span| span.topic == Flow::Firmbanking.result_topic());
        let recharges = ends
            .results
            .iter()
            .filter(|span| span.topic == Flow::Recharge.result_topic());
        let low = requests
            .map(|span| ((Source::Request, span.partition), span.low))
            .chain(bank.map(|span| ((Source::Bank, span.partition), span.low)))
            .chain(recharges.map(|span| ((Source::TopUp, span.partition), span.low)))
            .chain(
                ends.reversals
                    .iter()
                    .filter(|span| span.topic == FIRMBANKING_REVERSAL)
                    .map(|span| ((Source::Reversal, span.partition), span.low)),
            );
        data.flow_mut(flow).low = low.collect();
        let results = ends
            .results
            .iter()
            .filter(|span| span.topic == flow.result_topic());
        data.flow_mut(flow).results_low = results.map(|span| (span.partition, span.low)).collect();
    }
}

fn role(topic: &str) -> (Flow, Role) {
    Flow::ALL
        .into_iter()
        .find_map(|flow| {
            let role = if topic == flow.request_topic() {
                Role::Request
            } else if topic == flow.result_topic() {
                Role::Result
            } else if topic == flow.dead_letter_topic() {
                Role::DeadLetter
            } else if came_back(topic) == Some(flow) {
                match flow {
                    Flow::Firmbanking => Role::Reversal,
                    _ => Role::CameBack,
                }
            } else {
                return None;
            };
            Some((flow, role))
        })
        .unwrap_or((Flow::Recharge, Role::Request))
}

fn put(data: &mut Data, flow: Flow, role: Role, taken: Taken) {
    for (flow, messages) in taken.messages {
        append(&mut data.flow_mut(flow).messages, messages);
    }
    for (flow, poison) in taken.poison {
        data.flow_mut(flow).poison.push(poison);
    }
    let flow: &mut FlowData = data.flow_mut(flow);
    append(&mut flow.timeless, taken.timeless);
    append(&mut flow.results, taken.results);
    append(&mut flow.repeated, taken.repeated);
    append(&mut flow.came_back, taken.came_back);
    append(&mut flow.dead_letters, taken.dead_letters);
    append(&mut flow.strange, taken.strange);
    match role {
        Role::Request => {}
        Role::Reversal | Role::CameBack => {
            flow.came_back_floor = flow.came_back_floor.max(taken.floor);
        }
        Role::Result => flow.results_floor = flow.results_floor.max(taken.floor),
        Role::DeadLetter => flow.dead_letters_floor = flow.dead_letters_floor.max(taken.floor),
    }
}

fn append<T>(to: &mut Vec<T>, mut from: Vec<T>) {
    if to.is_empty() {
        *to = from;
    } else {
        to.append(&mut from);
    }
}

fn at(message: &BorrowedMessage<'_>) -> i64 {
    message.timestamp().to_millis().unwrap_or_default()
}

/// The most of a message's bytes that a dead letter carries.
const DEAD_LETTER_MAX: usize = 1_500_000;

/// A hash that tells whether two messages have the same bytes, in this process;
/// of larger ones, those that a dead letter keeps.
fn hash_of(payload: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(&payload[..payload.len().min(DEAD_LETTER_MAX)]);
    hasher.finish()
}

/// A UUID as a number; nil where the text is none.
fn uuid(text: &str) -> u128 {
    Uuid::try_parse(text).map_or(0, |id| id.as_u128())
}

/// The messages of a share that concern a consumer.
fn messages_of(taken: &mut Taken, flow: Flow) -> &mut Vec<Message> {
    // One consumer for requests, up to three for the banks' results, two for
    // the recharges'.
    let place = match taken.messages.iter().position(|(other, _)| *other == flow) {
        Some(place) => place,
        None => {
            taken.messages.push((flow, Vec::new()));
            taken.messages.len() - 1
        }
    };
    &mut taken.messages[place].1
}
