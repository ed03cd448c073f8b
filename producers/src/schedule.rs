//! Settlement runs by the clock.
//!
//! At each time of a cron expression, read in Korea, a settlement request is put
//! in the queue and in an outbox, in one commit. Its id follows from the time: so
//! any number of schedulers, and one that starts anew, make one run of it.

use std::time::Duration;

use chrono::{DateTime, SubsecRound, Utc};
use chrono_tz::Asia::Seoul;
use croner::Cron;
use croner::errors::CronError;
use mypay_idempotency::outbox;
use mypay_idempotency::queue_log::{self, Waiting};
use mypay_idempotency::transaction::Event;
use mypay_schemas::encoders::{Encoders, EncodersError};
use mypay_schemas::settlement::SettlementRequest;
use mypay_schemas::{Flow, Request};
use sqlx::{PgPool, Row};
use uuid::Uuid;

/// The longest sleep: a clock that is set, or a machine that slept, is noticed.
const LOOK: Duration = Duration::from_secs(30);
const AGAIN: Duration = Duration::from_secs(5);
/// A time that passed while nothing ran is made up for, if it is not older than
/// this; the latest one only, since its cut holds those before it.
const MADE_UP_FOR: chrono::TimeDelta = chrono::TimeDelta::days(2);

/// When runs are made, in Korea.
#[derive(Debug, Clone)]
pub struct Schedule(Cron);

/// Why a time's request was not put.
#[derive(Debug, thiserror::Error)]
enum PutError {
    #[error("PostgreSQL: {0}")]
    Database(#[from] sqlx::Error),
    #[error("the database's clock is behind this one, and says that it is not time yet")]
    Early,
    #[error("the request does not fit its schema: {0}")]
    Encoding(#[from] EncodersError),
}

impl std::str::FromStr for Schedule {
    type Err = CronError;

    /// Reads a cron expression: minute, hour, day of the month, month, day of the
    /// week.
    fn from_str(text: &str) -> Result<Self, CronError> {
        Ok(Self(text.parse()?))
    }
}

impl Schedule {
    /// The first time after an instant.
    fn next(&self, after: DateTime<Utc>) -> Result<DateTime<Utc>, CronError> {
        let after = after.with_timezone(&Seoul);
        Ok(self.0.find_next_occurrence(&after, false)?.to_utc())
    }

    /// The last time up to an instant.
    fn last(&self, until: DateTime<Utc>) -> Result<DateTime<Utc>, CronError> {
        let until = until.with_timezone(&Seoul);
        Ok(self.0.find_previous_occurrence(&until, true)?.to_utc())
    }

    /// Puts a request for each time, for ever, into the outbox of `writer`.
    pub async fn run(self, pool: PgPool, encoders: std::sync::Arc<Encoders>, writer: &'static str) {
        let mut done = None;
        loop {
            let now = Utc::now();
            let due = self.last(now).ok().filter(|due| now - due < MADE_UP_FOR);
            if let Some(due) = due.filter(|due| Some(*due) != done) {
                match put(&pool, &encoders, writer, due).await {
                    Ok(new) => {
                        tracing::info!(%due, new, "the scheduled settlement is requested");
                        done = Some(due);
                    }
                    Err(error) => {
                        tracing::warn!(%due, %error, "the scheduled settlement waits");
                        tokio::time::sleep(AGAIN).await;
                        continue;
                    }
                }
            }
            let next = self.next(now).ok();
            let wait = next.and_then(|next| (next - Utc::now()).to_std().ok());
            // At least a moment: a time that is due is seen by the next look.
            let wait = wait.unwrap_or(LOOK).clamp(Duration::from_millis(5), LOOK);
            tokio::time::sleep(wait).await;
        }
    }
}

/// The request of a time, always the same.
fn request(due: DateTime<Utc>) -> (Uuid, SettlementRequest) {
    let millis = due.timestamp_millis();
    let hash = blake3::hash(format!("scheduled settlement {millis}").as_bytes());
    let mut random = [0; 10];
    random.copy_from_slice(&hash.as_bytes()[..10]);
    // Version 7, as any client's: a request that nothing of ours stands behind.
    let id = uuid::Builder::from_unix_timestamp_millis(millis.unsigned_abs(), &random).into_uuid();
    let request = SettlementRequest {
        message_id: id.to_string(),
        correlation_id: id.to_string(),
        requested_at: millis,
        cut_at: millis,
        franchise_id: None,
        causation_id: None,
    };
    (id, request)
}

/// Puts the request of a time; false where it was there.
async fn put(
    pool: &PgPool,
    encoders: &Encoders,
    writer: &str,
    due: DateTime<Utc>,
) -> Result<bool, PutError> {
    let (id, request) = request(due);
    let topic = Flow::Settlement.request_topic();
    let waiting = Waiting {
        consumer: Flow::Settlement.name(),
        message_id: id,
        content_hash: request.content_hash(),
        requested_by: None,
    };
    let event = Event {
        topic,
        key: request.key().as_bytes().to_vec(),
        payload: encoders.encode(topic, &request)?,
        traceparent: None,
        headers: Vec::new(),
    };
    let at = Utc::now().trunc_subsecs(6);
    let mut transaction = pool.begin().await?;
    // Runs go by the database's clock; to it a cut must not lie in the future.
    let early: bool = sqlx::query("SELECT clock_timestamp() < $1")
        .bind(due)
        .fetch_one(&mut *transaction)
        .await?
        .try_get(0)?;
    if early {
        return Err(PutError::Early);
    }
    let new = !queue_log::wait(&mut transaction, &[waiting], at)
        .await?
        .is_empty();
    if new {
        outbox::write(&mut transaction, writer, &[event], at).await?;
    }
    transaction.commit().await?;
    Ok(new)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utc(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn four_in_the_morning_is_meant_in_korea() {
        let schedule: Schedule = "0 4 * * *".parse().unwrap();
        let four = utc("2026-03-16T19:00:00Z");
        assert_eq!(schedule.next(utc("2026-03-16T18:59:59Z")).unwrap(), four);
        assert_eq!(schedule.last(four).unwrap(), four);
        assert_eq!(schedule.last(utc("2026-03-17T18:59:59Z")).unwrap(), four);
        assert_eq!(schedule.next(four).unwrap(), utc("2026-03-17T19:00:00Z"));
        assert!("at four".parse::<Schedule>().is_err());
    }

    #[test]
    fn a_time_has_one_request_and_a_client_could_have_sent_it() {
        let (id, first) = request(utc("2026-03-16T19:00:00Z"));
        assert_eq!(request(utc("2026-03-16T19:00:00Z")), (id, first.clone()));
        assert_ne!(request(utc("2026-03-16T19:01:00Z")).0, id);
        assert_eq!(id.get_version_num(), 7);
        assert_eq!(mypay_schemas::identity::time_of(id), first.cut_at);
    }
}
