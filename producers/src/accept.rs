//! The durable acceptance: many requests, one commit.
//!
//! A commit costs an fsync, whatever it holds. So whoever asks puts its request
//! into a queue, and a batcher takes all that wait and commits them together:
//! alone a request waits for nobody, and under load a commit carries hundreds.

mod batcher;
mod identity;
mod store;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use mypay_idempotency::horizon::Horizon;
use mypay_idempotency::queue_log::Known;
use mypay_idempotency::transaction::Event;
use mypay_schemas::encoders::{Encoders, EncodersError};
use mypay_schemas::{ContentHash, Flow, Request};
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

pub(crate) use batcher::Batcher;
pub use identity::{correlation_id, message_id, traceparent};

use crate::request::{Body, Head, Refusal};

/// How many requests may wait for the batcher.
///
/// At 5,000 a second, less than a second's worth: who comes later is told to
/// come again, instead of waiting longer than it will listen.
const CAPACITY: usize = 4_000;

/// What a request carries besides its content.
#[derive(Debug, Clone)]
pub struct Envelope {
    /// The request's id, checked by [`Acceptance::check_id`].
    pub message_id: Uuid,
    /// The business transaction; the request itself where `None`.
    pub correlation_id: Option<Uuid>,
    /// W3C trace context.
    pub traceparent: Option<String>,
    /// Who makes it, as "member <id>" or "staff <name>"; `None` for what no person
    /// asks for over HTTP.
    pub requested_by: Option<String>,
}

/// A request, checked and encoded.
#[derive(Debug, Clone)]
pub struct Submission {
    /// The flow that it belongs to.
    pub flow: Flow,
    /// Its id.
    pub message_id: Uuid,
    /// Hash of its canonical content.
    pub content_hash: ContentHash,
    /// Who makes it.
    pub requested_by: Option<String>,
    /// The message for its topic.
    pub event: Event,
}

/// What came of a request.
#[derive(Debug, Clone)]
pub enum Answer {
    /// It was new, and is durable now.
    Accepted {
        /// When.
        at: DateTime<Utc>,
    },
    /// It was here before; this is known of it.
    Known(Known),
    /// Its id belongs to another request: other content, or another flow.
    Conflict {
        /// The flow of the other request.
        flow: Flow,
    },
}

/// Why a request got no answer. It is not known to be durable: ask again with
/// the same id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AcceptError {
    /// More come in than can be written.
    #[error("more requests come in than can be written")]
    Overloaded,
    /// The database does not answer.
    #[error("the database does not answer")]
    Unavailable,
    /// The database refuses what we write: a defect of ours.
    #[error("the request could not be written")]
    Defect,
}

/// Why a request could not be prepared.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// It can never be accepted.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// It does not fit its schema: a defect of ours.
    #[error(transparent)]
    Encoding(#[from] EncodersError),
}

struct Queued {
    submission: Submission,
    answer: oneshot::Sender<Result<Answer, AcceptError>>,
}

/// Accepts requests; cheap to clone.
#[derive(Clone)]
pub struct Acceptance {
    queue: mpsc::Sender<Queued>,
    encoders: Arc<Encoders>,
    horizon: Arc<Horizon>,
}

impl Acceptance {
    fn new(encoders: Arc<Encoders>, horizon: Arc<Horizon>) -> (Self, mpsc::Receiver<Queued>) {
        let (queue, receiver) = mpsc::channel(CAPACITY);
        (
            Self {
                queue,
                encoders,
                horizon,
            },
            receiver,
        )
    }

    /// The id as the client wrote it, where a request can be made with it.
    pub fn check_id(&self, written: &str) -> Result<Uuid, Refusal> {
        message_id(written, &self.horizon, Utc::now())
    }

    /// Checks and encodes a request.
    pub fn prepare<B: Body>(
        &self,
        envelope: Envelope,
        body: B,
    ) -> Result<Submission, PrepareError> {
        let id = envelope.message_id;
        let head = Head {
            message_id: id.to_string(),
            correlation_id: envelope.correlation_id.unwrap_or(id).to_string(),
            requested_at: Utc::now().timestamp_millis(),
        };
        let request = body.into_request(head)?;
        let topic = B::FLOW.request_topic();
        Ok(Submission {
            flow: B::FLOW,
            message_id: id,
            content_hash: request.content_hash(),
            requested_by: envelope.requested_by,
            event: Event {
                topic,
                key: request.key().as_bytes().to_vec(),
                payload: self.encoders.encode(topic, &request)?,
                traceparent: envelope.traceparent,
                headers: Vec::new(),
            },
        })
    }

    /// Accepts a request, or says at once that too many wait.
    pub async fn accept(&self, submission: Submission) -> Result<Answer, AcceptError> {
        let (answer, answered) = oneshot::channel();
        self.queue
            .try_send(Queued { submission, answer })
            .map_err(|refused| match refused {
                mpsc::error::TrySendError::Full(_) => AcceptError::Overloaded,
                mpsc::error::TrySendError::Closed(_) => AcceptError::Unavailable,
            })?;
        Pending(answered).answer().await
    }

    /// Puts a request in the queue, when there is room; requests of one caller
    /// are written in the order of its calls.
    pub async fn enqueue(&self, submission: Submission) -> Result<Pending, AcceptError> {
        let (answer, answered) = oneshot::channel();
        self.queue
            .send(Queued { submission, answer })
            .await
            .map_err(|_| AcceptError::Unavailable)?;
        Ok(Pending(answered))
    }
}

/// A request in the queue.
pub struct Pending(oneshot::Receiver<Result<Answer, AcceptError>>);

impl Pending {
    /// What came of it.
    pub async fn answer(self) -> Result<Answer, AcceptError> {
        // The batcher ends only with the process's work.
        self.0.await.unwrap_or(Err(AcceptError::Unavailable))
    }
}
