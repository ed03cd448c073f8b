//! The commit after the call: many answers, one commit.

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
use mypay_schemas::firmbanking::FirmbankingResult;
use sqlx::{PgConnection, PgPool, Row};
use tokio::sync::{Notify, mpsc};
use uuid::Uuid;

use super::Workers;
use super::outcome::{Answered, Next};
use crate::bank_result::ResultHead;

/// How many answers one commit takes at the most.
const BATCH: usize = 1_024;
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
/// States that the bank's own word changes, whatever became of the lease.
const UNSETTLED: [&str; 4] = ["pending", "sending", "unknown", "manual"];

/// Writes down what became of commands, in the name of one outbox.
#[derive(Clone)]
pub(super) struct Recorder {
    pub(super) pool: PgPool,
    encoders: Arc<Encoders>,
    writer: String,
    bell: Arc<Notify>,
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
        }
    }

    /// Starts the task that writes answers down.
    pub(super) fn start(&self) -> (mpsc::Sender<Answered>, tokio::task::JoinHandle<()>) {
        let (sender, mut queue) = mpsc::channel(QUEUE);
        let recorder = self.clone();
        let task = tokio::spawn(async move {
            let mut answers = Vec::with_capacity(BATCH);
            while queue.recv_many(&mut answers, BATCH).await > 0 {
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
        let changed = self
            .settle(&mut transaction, answers, LIVE.as_slice(), at)
            .await?;
        if changed.len() < answers.len() {
            late(&mut transaction, answers, &changed, at).await?;
        }
        transaction.commit().await?;
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
        let changed = change(connection, answers, states, at).await?;
        let by_lease: HashMap<(Uuid, i64), &Answered> = answers
            .iter()
            .map(|answered| ((answered.firmbanking_id, answered.fence), answered))
            .collect();
        let mut book = Book::new(korean_day(at), []);
        let mut events = Vec::new();
        let mut finished = Vec::new();
        for changed in &changed {
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
            events.push(self.event(changed, answered, &outcome)?);
            finished.push((changed.firmbanking_id, outcome));
        }
        mypay_ledger::write(connection, &book, at, &Limits::default()).await?;
        queue_log::finish(connection, Flow::Firmbanking.name(), &finished).await?;
        outbox::write(connection, &self.writer, &events, at).await?;
        Ok(changed)
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

/// Keeps what answers said that changed nothing any more: their lease had run
/// out, or the command was settled without them. A bank's own word against what
/// we hold for settled is for people.
async fn late(
    connection: &mut PgConnection,
    answers: &[Answered],
    changed: &[Changed],
    at: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let changed: std::collections::HashSet<(Uuid, i64)> = changed
        .iter()
        .map(|changed| (changed.firmbanking_id, changed.fence))
        .collect();
    let late: Vec<&Answered> = answers
        .iter()
        .filter(|answered| !changed.contains(&(answered.firmbanking_id, answered.fence)))
        .collect();
    let contradicted = sqlx::query(
        "WITH late AS (
             SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[]) AS l(id, state, detail)
         ), history AS (
             INSERT INTO banking.firmbanking_history (firmbanking_id, changed_at, state, detail)
             SELECT f.firmbanking_id, $4, f.state, 'a late answer (' || l.state || '): ' || l.detail
               FROM late l JOIN banking.firmbanking f ON f.firmbanking_id = l.id
         )
         SELECT f.firmbanking_id::text, f.state, l.state, l.detail
           FROM late l JOIN banking.firmbanking f ON f.firmbanking_id = l.id
          WHERE l.state IN ('done', 'refused') AND f.state IN ('done', 'refused')
            AND l.state <> f.state",
    )
    .bind(
        late.iter()
            .map(|answered| answered.firmbanking_id)
            .collect::<Vec<_>>(),
    )
    .bind(
        late.iter()
            .map(|answered| answered.next.name())
            .collect::<Vec<_>>(),
    )
    .bind(
        late.iter()
            .map(|answered| answered.detail.replace('\0', ""))
            .collect::<Vec<_>>(),
    )
    .bind(at)
    .fetch_all(connection)
    .await?;
    for row in contradicted {
        let (id, ours): (String, String) = (row.try_get(0)?, row.try_get(1)?);
        let (theirs, detail): (String, String) = (row.try_get(2)?, row.try_get(3)?);
        tracing::error!(
            id,
            ours,
            theirs,
            detail,
            "the bank contradicts what was settled"
        );
    }
    tracing::warn!(
        late = late.len(),
        "answers came after their lease had run out"
    );
    Ok(())
}

/// Writes the answers whose lease still holds, and the bank's own word in any
/// case; gives those commands.
async fn change(
    connection: &mut PgConnection,
    answers: &[Answered],
    states: &[&str],
    at: DateTime<Utc>,
) -> Result<Vec<Changed>, sqlx::Error> {
    let state = |answered: &Answered| match answered.next {
        Next::Done { .. } => "done",
        Next::Refused { .. } => "refused",
        Next::Pending { .. } | Next::HolderChecked => "pending",
        Next::Unknown { .. } => "unknown",
        Next::Manual => "manual",
    };
    let due_at = |answered: &Answered| match answered.next {
        Next::Pending { due_at } | Next::Unknown { due_at } => due_at,
        _ => at,
    };
    let rows = sqlx::query(
        "WITH answered AS (
             SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::timestamptz[], $5::bigint[],
                                  $6::text[], $7::text[], $8::boolean[], $9::text[], $12::boolean[])
                    AS a(id, fence, state, due_at, fee, reason, bank_reference, holder_checked, detail,
                         conclusive)
         ), changed AS (
             UPDATE banking.firmbanking f
                SET state = a.state, due_at = a.due_at, fee = a.fee, reason = a.reason,
                    bank_reference = a.bank_reference,
                    holder_checked = f.holder_checked OR a.holder_checked,
                    leased_until = NULL, changed_at = $10
               FROM answered a
              WHERE f.firmbanking_id = a.id
                AND ((f.fence = a.fence AND f.state = ANY($11))
                     OR (a.conclusive AND f.transaction_number IS NOT NULL AND f.state = ANY($13)))
             RETURNING f.firmbanking_id, f.origin_id, f.correlation_id, f.purpose, f.from_bank,
                       f.amount, f.business_date,
                       f.transaction_number, f.traceparent,
                       CASE WHEN f.to_ours THEN f.to_bank END AS to_ours,
                       a.fence, a.state, a.detail
         ), history AS (
             INSERT INTO banking.firmbanking_history (firmbanking_id, changed_at, state, detail)
             SELECT firmbanking_id, $10, state, detail FROM changed
         )
         SELECT * FROM changed",
    )
    .bind(answers.iter().map(|answered| answered.firmbanking_id).collect::<Vec<_>>())
    .bind(answers.iter().map(|answered| answered.fence).collect::<Vec<_>>())
    .bind(answers.iter().map(state).collect::<Vec<_>>())
    .bind(answers.iter().map(due_at).collect::<Vec<_>>())
    .bind(answers.iter().map(|answered| answered.next.fee()).collect::<Vec<_>>())
    .bind(
        answers
            .iter()
            .map(|answered| match &answered.next {
                Next::Refused { reason, .. } => Some(reason.as_str()),
                _ => None,
            })
            .collect::<Vec<_>>(),
    )
    .bind(
        answers
            .iter()
            .map(|answered| match &answered.next {
                Next::Done { bank_reference, .. } => Some(bank_reference.as_str()),
                _ => None,
            })
            .collect::<Vec<_>>(),
    )
    .bind(answers.iter().map(|answered| answered.next == Next::HolderChecked).collect::<Vec<_>>())
    .bind(answers.iter().map(|answered| answered.detail.replace('\0', "")).collect::<Vec<_>>())
    .bind(at)
    .bind(states)
    .bind(answers.iter().map(|answered| answered.conclusive).collect::<Vec<_>>())
    .bind(UNSETTLED)
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(Changed {
                firmbanking_id: row.try_get(0)?,
                origin_id: row.try_get(1)?,
                correlation_id: row.try_get(2)?,
                purpose: row.try_get(3)?,
                from_bank: row.try_get(4)?,
                amount: row.try_get(5)?,
                business_date: row.try_get(6)?,
                number: row.try_get(7)?,
                traceparent: row.try_get(8)?,
                to_ours: row.try_get(9)?,
                fence: row.try_get(10)?,
            })
        })
        .collect()
}
