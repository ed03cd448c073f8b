//! The commit after the call: many answers, one commit.

mod rows;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use mypay_decide::limits::korean_day;
use mypay_decide::{Book, Limits, firmbanking};
use mypay_idempotency::outbox;
use mypay_idempotency::queue_log::{self, Outcome};
use mypay_idempotency::transaction::Event;
use mypay_ledger::WriteError;
use mypay_schemas::Flow;
use mypay_schemas::encoders::{Encoders, EncodersError};
use mypay_schemas::firmbanking::{FirmbankingResult, PURPOSE_UNDO};
use mypay_schemas::reversal::FIRMBANKING_REVERSAL;
use sqlx::{PgConnection, PgPool};
use tokio::sync::{Notify, mpsc};
use uuid::Uuid;

use super::Workers;
use super::metrics::BankMetrics;
use super::outcome::{Answered, Next};
use super::undos::{self, Ended};
use crate::bank_result::ResultHead;

/// How many answers one commit takes at the most.
const BATCH: usize = 1_024;
/// From so many answers during one commit on, more are waited for: a commit costs
/// much, and an answer in it little.
const BUSY: usize = 32;
/// For so long.
const GATHER: Duration = Duration::from_millis(15);
/// How many answers may wait.
const QUEUE: usize = 2_048;

/// Why answers were not written.
#[derive(Debug, thiserror::Error)]
pub(super) enum RecordError {
    #[error("PostgreSQL: {0}")]
    Database(#[from] sqlx::Error),
    #[error("the ledger: {0}")]
    Ledger(#[from] WriteError),
    #[error("{0}")]
    Encoding(#[from] EncodersError),
}

impl RecordError {
    pub(super) fn is_transient(&self) -> bool {
        match self {
            RecordError::Database(error) | RecordError::Ledger(WriteError::Database(error)) => {
                mypay_idempotency::is_transient(error)
            }
            RecordError::Ledger(WriteError::Shortfall) | RecordError::Encoding(_) => false,
        }
    }
}

/// States that an answer of the lease that its call was made under changes.
///
/// As parameters of the statement: written out, the states would match the
/// partial index of what is due, and the planner, who takes that for small,
/// would walk all of it for each answer (a second for 256 answers with 8,000
/// commands due).
const LIVE: [&str; 3] = ["pending", "sending", "unknown"];

/// Writes down what became of commands, in the name of one outbox.
#[derive(Clone)]
pub(super) struct Recorder {
    pub(super) pool: PgPool,
    encoders: Arc<Encoders>,
    writer: String,
    bell: Arc<Notify>,
    metrics: BankMetrics,
}

/// A command whose state was changed, as the table has it.
pub(super) struct Changed {
    pub(super) firmbanking_id: Uuid,
    /// The lease of the answer that was written.
    fence: i64,
    origin_id: Option<Uuid>,
    correlation_id: String,
    purpose: String,
    from_bank: String,
    /// The bank of the receiving account, where that is ours too.
    to_ours: Option<String>,
    amount: i64,
    business_date: Option<chrono::NaiveDate>,
    number: Option<i32>,
    traceparent: Option<String>,
}

impl Changed {
    fn answered(&self) -> firmbanking::Answered<'_> {
        firmbanking::Answered {
            firmbanking_id: self.firmbanking_id,
            purpose: &self.purpose,
            from_bank: &self.from_bank,
            to_ours: self.to_ours.as_deref(),
            amount: self.amount,
        }
    }
}

impl Recorder {
    pub(super) fn new(workers: &Workers) -> Self {
        Self {
            pool: workers.pool.clone(),
            encoders: Arc::clone(&workers.encoders),
            writer: workers.writer.clone(),
            bell: Arc::clone(&workers.bell),
            metrics: workers.metrics.clone(),
        }
    }

    /// Starts the task that writes answers down.
    pub(super) fn start(&self) -> (mpsc::Sender<Answered>, tokio::task::JoinHandle<()>) {
        let (sender, mut queue) = mpsc::channel(QUEUE);
        let recorder = self.clone();
        let task = tokio::spawn(async move {
            let mut answers = Vec::with_capacity(BATCH);
            while queue.recv_many(&mut answers, BATCH).await > 0 {
                if (BUSY..BATCH).contains(&answers.len()) {
                    tokio::time::sleep(GATHER).await;
                    while answers.len() < BATCH
                        && let Ok(answer) = queue.try_recv()
                    {
                        answers.push(answer);
                    }
                }
                recorder.record_until_done(&answers).await;
                answers.clear();
            }
        });
        (sender, task)
    }

    /// Says that something was written into the outbox.
    pub(super) fn ring(&self) {
        self.bell.notify_one();
    }

    /// Writes answers, however long the database is away. They are worth it: an
    /// answer that is lost costs an inquiry.
    async fn record_until_done(&self, answers: &[Answered]) {
        loop {
            match self.record(answers).await {
                Ok(()) => {
                    self.bell.notify_one();
                    return;
                }
                Err(error) if error.is_transient() => {
                    tracing::warn!(%error, answers = answers.len(), "the banks' answers are not written yet");
                    tokio::time::sleep(Duration::from_millis(500)).await;
                }
                Err(error) => {
                    tracing::error!(%error, answers = answers.len(), "answers that cannot be written; trying them one by one");
                    self.record_apart(answers).await;
                    return;
                }
            }
        }
    }

    /// Writes each answer in a commit of its own, so that one that cannot be
    /// written does not hold up the others. Its lease runs out, and an inquiry
    /// asks again.
    async fn record_apart(&self, answers: &[Answered]) {
        for answered in answers {
            if let Err(error) = self.record(std::slice::from_ref(answered)).await {
                let id = answered.firmbanking_id;
                tracing::error!(%id, %error, "this answer could not be written");
            }
        }
        self.bell.notify_one();
    }

    async fn record(&self, answers: &[Answered]) -> Result<(), RecordError> {
        let at = now();
        let mut transaction = self.pool.begin().await?;
        let changed = rows::change(&mut transaction, answers, &LIVE, at).await?;
        let mut contradicting = Vec::new();
        // These change commands, too: before accounts and the outbox are locked.
        if changed.len() < answers.len() {
            contradicting = rows::late(&mut transaction, answers, &changed, at).await?;
        }
        self.follow(&mut transaction, answers, &changed, at).await?;
        transaction.commit().await?;
        for bank_code in &contradicting {
            self.metrics.contradicted(bank_code);
        }
        Ok(())
    }

    /// Changes commands that are in one of these states, and writes all that
    /// follows: postings, `queue_log`, results. The caller commits.
    pub(super) async fn settle(
        &self,
        connection: &mut PgConnection,
        answers: &[Answered],
        states: &[&str],
        at: DateTime<Utc>,
    ) -> Result<Vec<Changed>, RecordError> {
        let changed = rows::change(connection, answers, states, at).await?;
        self.follow(connection, answers, &changed, at).await?;
        Ok(changed)
    }

    /// Writes what follows from commands that were changed.
    async fn follow(
        &self,
        connection: &mut PgConnection,
        answers: &[Answered],
        changed: &[Changed],
        at: DateTime<Utc>,
    ) -> Result<(), RecordError> {
        let by_lease: HashMap<(Uuid, i64), &Answered> = answers
            .iter()
            .map(|answered| ((answered.firmbanking_id, answered.fence), answered))
            .collect();
        let mut book = Book::new(korean_day(at), []);
        let mut events = Vec::new();
        let mut finished = Vec::new();
        let mut undos = Vec::new();
        for changed in changed {
            // Two answers to one command may be here, of two leases.
            let Some(answered) = by_lease.get(&(changed.firmbanking_id, changed.fence)) else {
                continue;
            };
            let outcome = match &answered.next {
                Next::Done { fee, .. } => {
                    changed.answered().done(&mut book, *fee);
                    Outcome::success(at)
                }
                Next::Refused { reason, fee } => {
                    changed.answered().charged(&mut book, *fee);
                    Outcome::rejected(reason.clone(), at)
                }
                _ => continue,
            };
            if changed.purpose == PURPOSE_UNDO {
                undos.push(Ended {
                    undo_id: changed.firmbanking_id,
                    refused_for: outcome.reason.clone(),
                });
            }
            events.push(self.event(changed, answered, &outcome)?);
            finished.push((changed.firmbanking_id, outcome));
        }
        // Commands' rows before accounts, and the outbox last: as everybody has it.
        let came_back = undos::end(connection, &undos, at).await?;
        mypay_ledger::write(connection, &book, at, &Limits::default()).await?;
        queue_log::finish(connection, Flow::Firmbanking.name(), &finished).await?;
        outbox::write(connection, &self.writer, &events, at).await?;
        self.tell(connection, FIRMBANKING_REVERSAL, came_back, at)
            .await
    }

    /// Writes events that hang on no answer.
    pub(super) async fn tell<T: serde::Serialize>(
        &self,
        connection: &mut PgConnection,
        topic: &'static str,
        records: Vec<(String, Option<String>, T)>,
        at: DateTime<Utc>,
    ) -> Result<(), RecordError> {
        let events = records
            .into_iter()
            .map(|(key, traceparent, record)| self.encoded(topic, key, traceparent, &record))
            .collect::<Result<Vec<_>, EncodersError>>()?;
        outbox::write(connection, &self.writer, &events, at).await?;
        Ok(())
    }

    fn event(
        &self,
        changed: &Changed,
        answered: &Answered,
        outcome: &Outcome,
    ) -> Result<Event, EncodersError> {
        let request_id = changed.firmbanking_id.to_string();
        let head = ResultHead::ended(&request_id, outcome.success == Some(true), outcome);
        let record = FirmbankingResult {
            message_id: head.message_id,
            request_id: request_id.clone(),
            correlation_id: changed.correlation_id.clone(),
            status: head.status,
            reason: head.reason,
            occurred_at: head.occurred_at,
            purpose: changed.purpose.clone(),
            origin_id: changed.origin_id.map(|id| id.to_string()),
            amount: changed.amount,
            bank_code: changed.from_bank.clone(),
            business_date: changed.business_date.map(|date| date.to_string()),
            transaction_number: changed.number.map(i64::from),
            fee: answered.next.fee(),
            causation_id: Some(request_id.clone()),
        };
        let topic = Flow::Firmbanking.result_topic();
        // Keyed by the request that asked, so that its consumer sees the
        // answers to one request in order.
        let key = changed
            .origin_id
            .unwrap_or(changed.firmbanking_id)
            .to_string();
        self.encoded(topic, key, changed.traceparent.clone(), &record)
    }

    fn encoded<T: serde::Serialize>(
        &self,
        topic: &'static str,
        key: String,
        traceparent: Option<String>,
        record: &T,
    ) -> Result<Event, EncodersError> {
        Ok(Event {
            topic,
            key: key.into_bytes(),
            payload: self.encoders.encode(topic, record)?,
            traceparent,
            headers: Vec::new(),
        })
    }
}

/// Now, as exact as events are.
pub(super) fn now() -> DateTime<Utc> {
    chrono::DurationRound::duration_trunc(Utc::now(), chrono::TimeDelta::milliseconds(1))
        .unwrap_or_else(|_| Utc::now())
}
