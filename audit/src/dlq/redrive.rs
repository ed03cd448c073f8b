//! Puts the messages of dead letters through again.

use std::collections::{BTreeMap, HashMap};

use chrono::Utc;
use mypay_idempotency::horizon;
use mypay_schemas::Flow;
use serde::Serialize;
use sqlx::PgPool;
use uuid::Uuid;

use super::choose::{About, choose};
use super::judge::{self, Original};
use super::letter::Letter;
use super::parked::Parked;
use super::{known, originals, parked, read};
use crate::Servers;
use crate::at::At;
use crate::error::AuditError;
use crate::produce::Again;
use crate::queue_log::given_up;

/// Which letters are meant: those that all of these fit.
#[derive(Debug, Clone, Default)]
pub struct Selector {
    /// Of this flow's consumer.
    pub flow: Option<Flow>,
    /// Of this fingerprint.
    pub fingerprint: Option<String>,
    /// Of this message.
    pub message_id: Option<Uuid>,
}

impl Selector {
    pub(super) fn takes(&self, letter: &Letter) -> bool {
        let id = || letter.named().map(|message| message.id);
        self.flow.is_none_or(|flow| flow == letter.flow)
            && self
                .fingerprint
                .as_ref()
                .is_none_or(|fingerprint| *fingerprint == letter.fingerprint)
            && self.message_id.is_none_or(|wanted| id() == Some(wanted))
    }

    /// Whether a queue is meant, whatever letters there are.
    pub(super) fn takes_queue(&self, flow: Flow, queue: &[Parked]) -> bool {
        self.fingerprint.is_none()
            && self.flow.is_none_or(|wanted| wanted == flow)
            && self
                .message_id
                .is_none_or(|wanted| queue.iter().any(|parked| parked.id == wanted))
    }
}

/// Why a message is not put through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LeftOut {
    /// It is handled.
    Done,
    /// Its id was used with other content.
    Conflict,
    /// People have given it up.
    GivenUp,
    /// Its id is too old to be claimed now, or lies too far ahead.
    Unclaimable,
    /// It does not lie where its letter says, nor anything else.
    Gone,
    /// Another message lies where its letter says.
    OtherBytes,
    /// Its consumer cannot read it today either.
    Unreadable,
    /// It waits in its key's queue behind one that is left out.
    Behind,
}

impl LeftOut {
    /// For people.
    pub fn text(self) -> &'static str {
        match self {
            LeftOut::Done => "done, or in progress at a bank",
            LeftOut::Conflict => "id used with other content; it would die of that",
            LeftOut::Unclaimable => "its id is too old to be claimed now, or lies too far ahead",
            LeftOut::GivenUp => "given up by `mypay dlq release`",
            LeftOut::Gone => "gone from its topic",
            LeftOut::OtherBytes => "another message lies there now",
            LeftOut::Unreadable => "cannot be read today either; it would die again",
            LeftOut::Behind => {
                "parked behind one that is left out; `mypay dlq release` gives that up"
            }
        }
    }
}

/// What a redrive does.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Letters that were selected.
    pub letters: u64,
    /// Of these, letters of a message that another one is of, too.
    pub repeated: u64,
    /// Messages that are left out, by the reason.
    pub left_out: BTreeMap<LeftOut, u64>,
    /// Parked keys that are put through as a whole.
    pub queues: Vec<Queue>,
    /// The messages that are put through, in their order.
    pub messages: Vec<Put>,
}

/// A parked key.
#[derive(Debug, Clone, Serialize)]
pub struct Queue {
    /// Whose consumer has parked it.
    pub flow: String,
    /// The key.
    pub key: String,
    /// How many messages wait.
    pub parked: u64,
}

/// A message that is put through.
#[derive(Debug, Clone, Serialize)]
pub struct Put {
    /// Whose consumer it died at.
    pub flow: String,
    /// Its id.
    pub message_id: Option<Uuid>,
    /// Where it lies.
    pub place: String,
    /// Whether it is put through for the queue that it waits in.
    pub parked: bool,
}

/// What a redrive would do, and all that is needed for it.
pub struct Plan {
    /// What it does.
    pub report: Report,
    order: Vec<At<'static>>,
    originals: HashMap<At<'static>, Original>,
}

/// Finds out what is to be put through.
///
/// # Errors
/// [`AuditError::NoSuchLetter`] where nothing is selected, others where a server could
/// not be read.
pub async fn redrive(servers: &Servers, selector: &Selector) -> Result<Plan, AuditError> {
    let letters = read::letters(servers, selector.flow).await?;
    let pool = mypay_database::pool(&servers.database_url, 1)?;
    let queues = parked::queues(&pool).await?;
    let selected = letters.iter().filter(|letter| selector.takes(letter));
    let ids = selected.filter_map(|letter| Some((letter.flow, letter.named()?.id)));
    let about = About {
        queues: &queues,
        known: &known(&pool, ids).await?,
        given_up: &given_up(&pool).await?,
        clock: clock(&pool).await?,
    };
    let choice = choose(&letters, selector, &about);
    if choice.letters == 0 && choice.queues.is_empty() {
        return Err(AuditError::NoSuchLetter("is selected".to_string()));
    }
    let places = choice.wanted.iter().flat_map(|wanted| {
        let flow = wanted.flow;
        wanted.places.iter().map(move |at| (*at, flow))
    });
    let originals = fetch(servers, places.collect()).await?;
    let mut left_out = choice.left_out;
    let put = judge::judge(choice.wanted, &originals, &mut left_out);
    let report = Report {
        letters: choice.letters,
        repeated: choice.repeated,
        left_out,
        queues: choice
            .queues
            .into_iter()
            .map(|key| Queue {
                parked: queues.get(&key).map_or(0, |queue| queue.len() as u64),
                flow: key.0.to_string(),
                key: key.1,
            })
            .collect(),
        messages: put
            .iter()
            .map(|(wanted, at)| Put {
                flow: wanted.flow.to_string(),
                message_id: wanted.id,
                place: at.to_string(),
                parked: wanted.queue.is_some(),
            })
            .collect(),
    };
    Ok(Plan {
        report,
        order: put.into_iter().map(|(_, at)| at).collect(),
        originals,
    })
}

/// Now, and from when on ids are remembered.
async fn clock(pool: &PgPool) -> Result<(i64, i64), AuditError> {
    let mut connection = pool.acquire().await?;
    let horizon = horizon::oldest(&mut connection).await?;
    Ok((Utc::now().timestamp_millis(), horizon))
}

async fn fetch(
    servers: &Servers,
    places: BTreeMap<At<'static>, Flow>,
) -> Result<HashMap<At<'static>, Original>, AuditError> {
    let servers = servers.clone();
    let runtime = tokio::runtime::Handle::current();
    tokio::task::spawn_blocking(move || originals::fetch(&servers, &runtime, &places)).await?
}

impl Plan {
    /// Puts the messages through; tells how many.
    ///
    /// # Errors
    /// [`AuditError::Kafka`] where a message could not be produced. Those before it
    /// were; the same redrive once more does no harm to them.
    pub async fn apply(self, servers: &Servers) -> Result<u64, AuditError> {
        let bootstrap = servers.bootstrap.clone();
        tokio::task::spawn_blocking(move || {
            let mut again = Again::new(&bootstrap, "mypay.redrive")?;
            for at in &self.order {
                if let Some(original) = self.originals.get(at) {
                    again.put(&original.message)?;
                }
            }
            again.finish()
        })
        .await?
    }
}
