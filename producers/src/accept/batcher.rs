//! Takes all that wait, and writes them with one commit.

use std::sync::Arc;
use std::time::{Duration, Instant};

use mypay_idempotency::horizon::Horizon;
use mypay_idempotency::is_transient;
use mypay_schemas::encoders::Encoders;
use sqlx::PgPool;
use tokio::sync::{Notify, mpsc, watch};

use super::{AcceptError, Acceptance, Answer, Queued, Submission, store};
use crate::metrics::Metrics;

/// The most requests in one commit.
const BATCH: usize = 1_000;
/// For so long a batch is tried again; then its clients are told to.
///
/// A connection that broke shows itself at its first statement, so the first
/// tries after a restart of the database fail.
const RETRY_FOR: Duration = Duration::from_secs(2);
const RETRY_AFTER: Duration = Duration::from_millis(50);
/// A database that takes longer than this for a batch does not answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Writes batches of requests under a writer's name.
pub(crate) struct Batcher {
    pub(crate) pool: PgPool,
    pub(crate) writer: String,
    /// Rung when something was written, for the relay.
    pub(crate) bell: Arc<Notify>,
    pub(crate) metrics: Arc<Metrics>,
    /// Turns true when nothing more shall be taken in.
    pub(crate) closed: watch::Receiver<bool>,
}

impl Batcher {
    /// Begins to write what the returned [`Acceptance`] takes in; the task ends
    /// when it was closed and all that was taken in is answered.
    pub(crate) fn spawn(
        self,
        encoders: Arc<Encoders>,
        horizon: Arc<Horizon>,
    ) -> (Acceptance, tokio::task::JoinHandle<()>) {
        let (acceptance, queue) = Acceptance::new(encoders, horizon);
        (acceptance, tokio::spawn(self.run(queue)))
    }

    async fn run(mut self, mut queue: mpsc::Receiver<Queued>) {
        let mut batch = Vec::with_capacity(BATCH);
        let mut closed = self.closed.clone();
        loop {
            tokio::select! {
                // What was taken in before is still received, up to the last.
                () = until(&mut closed), if !queue.is_closed() => queue.close(),
                taken = queue.recv_many(&mut batch, BATCH) => match taken {
                    0 => return,
                    _ => self.settle(&mut batch).await,
                },
            }
        }
    }

    /// Writes a batch and answers its clients.
    async fn settle(&mut self, batch: &mut Vec<Queued>) {
        let began = Instant::now();
        let submissions: Vec<&Submission> = batch.iter().map(|queued| &queued.submission).collect();
        let answers = self.write(&submissions).await;
        self.metrics.batch(batch.len(), began.elapsed());
        // Before the answers: the message is on its way when its client is told.
        self.bell.notify_one();
        for (queued, answer) in batch.drain(..).zip(answers) {
            if let Ok(answer) = &answer {
                self.metrics.answered(queued.submission.flow, answer);
            }
            // A client that is gone will ask again, with the same id.
            let _ = queued.answer.send(answer);
        }
    }

    /// What came of each request, in their order.
    async fn write(&self, batch: &[&Submission]) -> Vec<Result<Answer, AcceptError>> {
        match self.store(batch).await {
            Ok(answers) => answers.into_iter().map(Ok).collect(),
            // One of them breaks a rule of the database, and is found by writing
            // them one by one: the others are not to blame.
            Err(AcceptError::Defect) if batch.len() > 1 => {
                let mut answers = Vec::with_capacity(batch.len());
                for submission in batch {
                    let alone = self.store(&[submission]).await;
                    answers.push(alone.map(|mut answers| answers.remove(0)));
                }
                answers
            }
            Err(error) => batch.iter().map(|_| Err(error)).collect(),
        }
    }

    /// Writes a batch, again and again while the trouble may pass.
    ///
    /// That is safe even where a commit went through and its answer got lost:
    /// the requests are then found, with their own content.
    async fn store(&self, batch: &[&Submission]) -> Result<Vec<Answer>, AcceptError> {
        let began = Instant::now();
        loop {
            let stored =
                tokio::time::timeout(PATIENCE, store::store(&self.pool, &self.writer, batch));
            match stored.await {
                Ok(Ok(answers)) => return Ok(answers),
                Ok(Err(error)) if is_transient(&error) => {
                    tracing::warn!(%error, requests = batch.len(), "a batch was not accepted");
                }
                Ok(Err(error)) => {
                    tracing::error!(%error, requests = batch.len(), "a batch cannot be accepted");
                    return Err(AcceptError::Defect);
                }
                Err(_) => tracing::warn!(requests = batch.len(), "the database does not answer"),
            }
            if began.elapsed() >= RETRY_FOR {
                return Err(AcceptError::Unavailable);
            }
            tokio::time::sleep(RETRY_AFTER).await;
        }
    }
}

/// Waits until the batcher is told to close.
async fn until(closed: &mut watch::Receiver<bool>) {
    // An error means that nobody is left who could tell: close as well.
    let _ = closed.wait_for(|closed| *closed).await;
}
