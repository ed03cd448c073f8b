//! The database stage: fence, claim, load, decide, write, commit.
//!
//! A batch is one PostgreSQL commit: the claims on its messages, what they
//! change, and their outcomes. There is no instant at which one is there
//! without the others.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;

use chrono::{DateTime, Utc};
use mypay_idempotency::horizon::Horizon;
use mypay_idempotency::is_transient;
use mypay_idempotency::lane::{self, Counts, Lane};
use mypay_idempotency::queue_log::{self, Claim, Outcome};
use mypay_idempotency::transaction::Event;
use mypay_ledger::WriteError;
use mypay_schemas::ContentHash;
use mypay_schemas::encoders::EncodersError;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::dead_letter::{Place, Why, dead_letter};
use super::fate::{Fate, Fates, fates, look_up, repeated};
use super::handler::{Arrived, Handler, Verdict};
use super::intake::Arrival;
use super::metrics::{Metrics, Step};
use super::recent::Recent;

/// How a batch is attempted.
#[derive(Debug, Clone, Default)]
pub struct Mode {
    /// Look every id up first: the claim met ids that are known already.
    pub careful: bool,
    /// Lock the accounts while loading: one changed under the last attempt.
    pub locked: bool,
    /// The one message of the batch is beyond our code: a dead letter.
    pub defect: Option<String>,
}

/// Why an attempt had no effect.
#[derive(Debug, thiserror::Error)]
pub enum AttemptError {
    /// Another process has the lane.
    #[error("another process has taken the lane over")]
    Fenced,
    /// To be tried again at once, in another way.
    #[error("to be done again")]
    Again(Mode),
    /// To be tried again when the database is back.
    #[error("the database: {0}")]
    Transient(sqlx::Error),
    /// The database does not answer.
    #[error("the database took longer than {0:?}")]
    TimedOut(std::time::Duration),
    /// Our own code or data are wrong; trying again changes nothing.
    #[error("{0}")]
    Defect(String),
}

impl From<sqlx::Error> for AttemptError {
    fn from(error: sqlx::Error) -> Self {
        if is_transient(&error) {
            AttemptError::Transient(error)
        } else {
            AttemptError::Defect(error.to_string())
        }
    }
}

impl From<EncodersError> for AttemptError {
    fn from(error: EncodersError) -> Self {
        AttemptError::Defect(error.to_string())
    }
}

/// The lane of a batch, under its epoch.
pub struct Fence<'a> {
    /// The lane.
    pub lane: &'a Lane,
    /// The epoch that this process raised it to.
    pub epoch: i64,
    /// What is known to be in Kafka.
    pub emitted: i64,
}

/// What every batch of a flow is attempted with.
pub struct Stage<'a, H> {
    /// The flow.
    pub handler: &'a H,
    /// The database.
    pub pool: &'a PgPool,
    /// The ids that can be claimed.
    pub horizon: &'a Horizon,
    /// Where the time goes.
    pub metrics: &'a Metrics,
}

/// Attempts a batch; gives its events, in the order of the offsets.
pub async fn attempt<H: Handler>(
    stage: &Stage<'_, H>,
    fence: &Fence<'_>,
    batch: &[Arrival<H::Message>],
    recent: &Recent,
    mode: &Mode,
) -> Result<Vec<Event>, AttemptError> {
    let Stage {
        handler,
        pool,
        horizon,
        metrics,
    } = *stage;
    let Some(last) = batch.last() else {
        return Ok(Vec::new());
    };
    let mut watch = metrics.watch();
    let mut transaction = pool.begin().await?;
    let before = lane::advance(
        &mut transaction,
        fence.lane,
        fence.epoch,
        last.offset() + 1,
        fence.emitted,
    )
    .await?
    .ok_or(AttemptError::Fenced)?;
    watch.was(Step::Fence);
    let at = before.at;
    let seen = look_up::<H>(
        &mut transaction,
        fence.lane,
        horizon,
        &before,
        batch,
        recent,
        mode,
    )
    .await?;
    let waiting = seen.waiting;
    let Fates {
        mut fates,
        rivals,
        queues,
    } = fates::<H>(seen, fence.lane, horizon, &before, batch, mode);
    watch.was(Step::Claim);
    let fresh: Vec<&Arrived<H::Message>> = fresh(batch, &fates).collect();
    let mut outcomes = Vec::new();
    let mut decided = None;
    if !fresh.is_empty() {
        let mut state = handler
            .load(&mut transaction, &fresh, at, mode.locked)
            .await?;
        watch.was(Step::Load);
        let verdicts = decide(handler, &mut state, &fresh, rivals, at)?;
        watch.was(Step::Decide);
        let claims = claims(&fresh, &verdicts);
        claim(&mut transaction, fence.lane, &claims, mode, waiting).await?;
        outcomes = judged(&mut fates, &fresh, verdicts, before.emitted_offset);
        decided = Some(state);
    }
    queues.write(&mut transaction, fence.lane, at).await?;
    let counts = counts(batch, &fates, before.next_offset);
    if counts.handled + counts.duplicates + counts.dead_letters > 0 {
        lane::count(&mut transaction, fence.lane, counts).await?;
    }
    watch.was(Step::Claim);
    let events = events(handler, fence.lane, batch, fates, outcomes)?;
    watch.was(Step::Events);
    // The balances come last: their rows are locked from here to the commit, and
    // other lanes wait for them.
    if let Some(state) = decided {
        write(handler, &mut transaction, state, at, mode).await?;
        watch.was(Step::Write);
    }
    transaction.commit().await?;
    watch.was(Step::Commit);
    metrics.batches.observe(batch.len() as f64);
    metrics.handled.inc_by(counts.handled as u64);
    metrics.duplicates.inc_by(counts.duplicates as u64);
    metrics.dead_letters.inc_by(counts.dead_letters as u64);
    Ok(events)
}

fn fresh<'a, M>(batch: &'a [Arrival<M>], fates: &[Fate]) -> impl Iterator<Item = &'a Arrived<M>> {
    batch
        .iter()
        .zip(fates)
        .filter_map(|(arrival, fate)| match (arrival, fate) {
            (Arrival::Request(arrived), Fate::Fresh) => Some(&**arrived),
            _ => None,
        })
}

/// A handler's verdict, or the content that another message of the batch has just
/// claimed the id with.
type Judged = Result<Verdict, ContentHash>;

/// Turns verdicts into fates; gives the outcomes of those that are handled.
fn judged<M>(
    fates: &mut [Fate],
    fresh: &[&Arrived<M>],
    verdicts: Vec<Judged>,
    emitted_offset: i64,
) -> Vec<Outcome> {
    let fates = fates.iter_mut().filter(|fate| matches!(fate, Fate::Fresh));
    fates
        .zip(fresh)
        .zip(verdicts)
        .filter_map(|((fate, arrived), verdict)| match verdict {
            Ok(Verdict::Handled(outcome)) => Some(outcome),
            Ok(Verdict::Ignored) => {
                *fate = Fate::Nothing;
                None
            }
            // Its letter is in Kafka for certain: somebody has set the offsets back.
            Ok(Verdict::Dead(_)) if arrived.offset < emitted_offset => {
                *fate = Fate::Nothing;
                None
            }
            Err(claimed) => {
                *fate = repeated(claimed, arrived.content_hash);
                None
            }
            Ok(Verdict::Dead(reason)) => {
                let detail = "no request of ours stands behind this message".to_string();
                *fate = Fate::Dead(Why { reason, detail });
                None
            }
        })
        .collect()
}

/// Decides on each message. A panic is a defect of ours, not the end of the
/// process: it would come back with the message, for ever.
fn decide<H: Handler>(
    handler: &H,
    state: &mut H::State,
    fresh: &[&Arrived<H::Message>],
    rivals: bool,
    at: DateTime<Utc>,
) -> Result<Vec<Judged>, AttemptError> {
    let mut claimed: HashMap<Uuid, ContentHash> = HashMap::new();
    std::panic::catch_unwind(AssertUnwindSafe(|| {
        let one = |arrived: &&Arrived<H::Message>| {
            if rivals && let Some(content) = claimed.get(&arrived.id) {
                return Err(*content);
            }
            let verdict = handler.decide(state, arrived, at);
            if rivals && matches!(verdict, Verdict::Handled(_)) {
                claimed.insert(arrived.id, arrived.content_hash);
            }
            Ok(verdict)
        };
        fresh.iter().map(one).collect()
    }))
    .map_err(|panic| {
        let what = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("a panic");
        AttemptError::Defect(format!("deciding panicked: {what}"))
    })
}

fn claims<M>(fresh: &[&Arrived<M>], verdicts: &[Judged]) -> Vec<Claim> {
    fresh
        .iter()
        .zip(verdicts)
        .filter_map(|(arrived, verdict)| match verdict {
            Ok(Verdict::Handled(outcome)) => Some(Claim {
                message_id: arrived.id,
                content_hash: arrived.content_hash,
                offset: arrived.offset,
                created_at: arrived.created_at,
                outcome: outcome.clone(),
            }),
            Ok(Verdict::Ignored | Verdict::Dead(_)) | Err(_) => None,
        })
        .collect()
}

/// Claims the messages of a batch. Most are new, and copied in; where some wait
/// or may be known, each is looked for.
async fn claim(
    connection: &mut PgConnection,
    lane: &Lane,
    claims: &[Claim],
    mode: &Mode,
    waiting: bool,
) -> Result<(), AttemptError> {
    let (consumer, topic, partition) = (lane.consumer, &lane.topic, lane.partition);
    let all = if mode.careful || waiting {
        let claimed = queue_log::claim(connection, consumer, topic, partition, claims).await?;
        claimed == claims.len() as u64
    } else {
        queue_log::claim_new(connection, consumer, topic, partition, claims).await?
    };
    if !all {
        // Known from further back, or another lane has just taken one: both are
        // found by looking, and the second attempt looks at every id.
        return Err(AttemptError::Again(Mode {
            careful: true,
            ..mode.clone()
        }));
    }
    Ok(())
}

async fn write<H: Handler>(
    handler: &H,
    connection: &mut PgConnection,
    state: H::State,
    at: DateTime<Utc>,
    mode: &Mode,
) -> Result<(), AttemptError> {
    match handler.write(connection, state, at).await {
        Ok(()) => Ok(()),
        Err(WriteError::Shortfall) if !mode.locked => Err(AttemptError::Again(Mode {
            locked: true,
            ..mode.clone()
        })),
        Err(WriteError::Shortfall) => Err(AttemptError::Defect(
            "an account did not bear its change though it was locked".to_string(),
        )),
        Err(WriteError::Database(error)) => Err(error.into()),
    }
}

fn counts<M>(batch: &[Arrival<M>], fates: &[Fate], next_offset: i64) -> Counts {
    let mut counts = Counts::default();
    for (arrival, fate) in batch.iter().zip(fates) {
        // What comes again after a crash was counted the first time.
        if arrival.offset() < next_offset {
            continue;
        }
        match fate {
            Fate::Fresh | Fate::Unclaimable(_) => counts.handled += 1,
            Fate::Duplicate => counts.duplicates += 1,
            Fate::Dead(_) => counts.dead_letters += 1,
            Fate::Again(_) | Fate::Nothing => {}
        }
    }
    counts
}

fn events<H: Handler>(
    handler: &H,
    lane: &Lane,
    batch: &[Arrival<H::Message>],
    fates: Vec<Fate>,
    outcomes: Vec<Outcome>,
) -> Result<Vec<Event>, AttemptError> {
    let mut outcomes = outcomes.into_iter();
    let mut events = Vec::with_capacity(batch.len());
    for (arrival, fate) in batch.iter().zip(fates) {
        let (arrived, raw) = match arrival {
            Arrival::Request(arrived) | Arrival::Unclaimable { arrived, .. } => {
                (Some(&**arrived), Some(&arrived.raw))
            }
            Arrival::Dead { raw, .. } => (None, Some(raw)),
            Arrival::Foreign { .. } => (None, None),
        };
        let outcome = match fate {
            Fate::Nothing | Fate::Duplicate => continue,
            Fate::Fresh => outcomes.next(),
            Fate::Again(outcome) => Some(outcome),
            // No row keeps the instant, so it is the message's own: the same
            // event again after a crash must have the same.
            Fate::Unclaimable(reason) => {
                arrived.map(|arrived| Outcome::rejected(reason.code(), arrived.created_at))
            }
            Fate::Dead(why) => {
                let place = Place {
                    topic: &lane.topic,
                    partition: lane.partition,
                    offset: arrival.offset(),
                };
                events.extend(raw.map(|raw| dead_letter(H::FLOW, place, raw, &why)));
                continue;
            }
        };
        if let (Some(arrived), Some(outcome)) = (arrived, outcome) {
            events.extend(handler.events(arrived, &outcome)?);
        }
    }
    Ok(events)
}

/// Remembers a batch's ids for the lane's next batches.
pub fn remember<M>(recent: &mut Recent, batch: &[Arrival<M>]) {
    for arrival in batch {
        if let Arrival::Request(arrived) = arrival {
            recent.insert(arrived.id);
        }
    }
}
