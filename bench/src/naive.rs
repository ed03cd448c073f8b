//! What most write first: a consumer that handles one message after the other.
//!
//! Each message is one transaction (claim, balances, posting), its result is
//! sent and waited for, and then its offset is committed. It is honest and it
//! is correct as long as it lives: a crash between the database's commit and
//! the result loses the result, since the claim then finds the message done.
//! It is here to be measured against; nothing else uses it.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use mypay_decide::book::EntryKind;
use mypay_schemas::Request;
use mypay_schemas::decoder::Decoder;
use mypay_schemas::identity::derive;
use mypay_schemas::remittance::{Receiver, RemittanceRequest, RemittanceResult};
use mypay_schemas::{Flow, ResultStatus};
use rdkafka::consumer::{CommitMode, Consumer, StreamConsumer};
use rdkafka::message::Message;
use rdkafka::producer::{FutureProducer, FutureRecord};
use serde::Serialize;
use sqlx::postgres::PgPoolOptions;
use sqlx::{PgConnection, PgPool, Row};
use uuid::Uuid;

use crate::requests::{Feeder, Load, Maker};
use crate::results::{Answers, Interpreter, Reader};
use crate::town::Town;
use crate::usage::until_quiet;
use crate::world::World;

/// The name under which it claims.
const CONSUMER: &str = "bench-naive";
const PATIENCE: Duration = Duration::from_secs(60);

/// How the naive consumer did.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Naive {
    /// How many requests it was given.
    pub count: usize,
    /// Requests with a result, a second.
    pub messages_per_second: f64,
}

/// Fills the topic with so many remittances and lets the naive consumer work
/// them off, each with its result.
pub async fn drain(world: &World, town: &Town, count: usize) -> anyhow::Result<Naive> {
    let (topic, results) = (
        Flow::Remittance.request_topic(),
        Flow::Remittance.result_topic(),
    );
    let requests = Reader::at_end(&world.endpoints.kafka_bootstrap, topic)?;
    let reader = Reader::at_end(&world.endpoints.kafka_bootstrap, results)?;
    let maker = Maker {
        flow: Flow::Remittance,
        town,
        load: Load::Even,
        encoders: &world.encoders,
    };
    let feeder = Feeder::new(&world.endpoints.kafka_bootstrap, 50)?;
    let mut asked = Vec::with_capacity(count);
    for _ in 0..count {
        let request = maker.make()?;
        feeder.put(Flow::Remittance, &request)?;
        asked.push(request.id);
    }
    feeder.flush()?;
    until_quiet(Duration::from_secs(30)).await;

    let naive = NaiveConsumer::connect(world, &requests)?;
    let seconds = naive.run(world, count).await?;
    let mut answers = Answers::default();
    let mut interpreter = Interpreter::new(Flow::Remittance, &world.endpoints.registry_url);
    for _ in 0..count {
        let payload = reader.next(PATIENCE, <[u8]>::to_vec)?;
        let payload = payload.context("a result of the naive consumer is missing")?;
        answers.add(interpreter.read(&payload).await?);
    }
    answers.are_once_for(asked.into_iter())?;
    Ok(Naive {
        count,
        messages_per_second: count as f64 / seconds,
    })
}

struct NaiveConsumer {
    consumer: StreamConsumer,
    producer: FutureProducer,
    pool: PgPool,
}

impl NaiveConsumer {
    fn connect(world: &World, from: &Reader) -> anyhow::Result<Self> {
        let consumer: StreamConsumer = mypay_kafka::client(&world.endpoints.kafka_bootstrap)
            // The flow's own group, in which nobody else is now: what is handled
            // here must not come to the flow's consumer, too.
            .set("group.id", "mypay.remittance")
            .set("enable.auto.commit", "false")
            .create()?;
        consumer.assign(from.begin())?;
        let producer = mypay_kafka::client(&world.endpoints.kafka_bootstrap)
            .set("enable.idempotence", "true")
            .set("linger.ms", "0")
            .create()?;
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .connect_lazy(&world.endpoints.database_url)?;
        Ok(Self {
            consumer,
            producer,
            pool,
        })
    }

    /// Handles so many messages; tells how many seconds it took.
    async fn run(&self, world: &World, count: usize) -> anyhow::Result<f64> {
        let mut decoder = Decoder::new(&world.endpoints.registry_url);
        let mut began = None;
        for _ in 0..count {
            let message = tokio::time::timeout(PATIENCE, self.consumer.recv())
                .await
                .context("no request came")??;
            // From the first message on, as the other from its assignment on.
            let _ = *began.get_or_insert_with(Instant::now);
            let request: RemittanceRequest = decoder
                .decode(message.payload().unwrap_or_default())
                .await?;
            let place = (message.partition(), message.offset());
            let mut transaction = self.pool.begin().await?;
            if !handle(&mut transaction, &request, place).await? {
                bail!("the naive consumer was given a duplicate");
            }
            transaction.commit().await?;
            let topic = Flow::Remittance.result_topic();
            let payload = world.encoders.encode(topic, &result(&request)?)?;
            let record = FutureRecord::to(topic).key(request.key()).payload(&payload);
            self.producer
                .send(record, PATIENCE)
                .await
                .map_err(|(error, _)| error)?;
            self.consumer.commit_message(&message, CommitMode::Sync)?;
        }
        Ok(began.map_or(0.0, |began| began.elapsed().as_secs_f64()))
    }
}

/// Claims, moves the money and writes the posting; false for a duplicate.
async fn handle(
    connection: &mut PgConnection,
    request: &RemittanceRequest,
    (partition, offset): (i32, i64),
) -> anyhow::Result<bool> {
    let id = Uuid::try_parse(&request.message_id)?;
    let claimed = sqlx::query(
        r#"INSERT INTO queue_log (consumer, message_id, status, created_timestamp,
                  processed_timestamp, processed_status, content_hash, topic, partition, "offset",
                  attempts)
           VALUES ($1, $2, 'done', now(), now(), 'success', $3, $4, $5, $6, 1)
           ON CONFLICT DO NOTHING"#,
    )
    .bind(CONSUMER)
    .bind(id)
    .bind(&request.content_hash()[..])
    .bind(Flow::Remittance.request_topic())
    .bind(partition)
    .bind(offset)
    .execute(&mut *connection)
    .await?
    .rows_affected();
    if claimed == 0 {
        return Ok(false);
    }
    let Receiver::MemberReceiver(receiver) = &request.receiver else {
        bail!("remittances to members only");
    };
    let (sender, receiver) = (
        Uuid::try_parse(&request.sender_id)?,
        Uuid::try_parse(&receiver.member_id)?,
    );
    let rows = sqlx::query(
        "SELECT account_id, balance FROM money.account WHERE account_id = ANY($1)
          ORDER BY account_id FOR UPDATE",
    )
    .bind([sender, receiver])
    .fetch_all(&mut *connection)
    .await?;
    let balance = rows
        .iter()
        .find(|row| row.get::<Uuid, _>(0) == sender)
        .map(|row| row.get::<i64, _>(1))
        .context("the sender has an account")?;
    if balance < request.amount || rows.len() != 2 {
        bail!("members of a measurement have money enough");
    }
    for (account, change) in [(sender, -request.amount), (receiver, request.amount)] {
        sqlx::query("UPDATE money.account SET balance = balance + $2 WHERE account_id = $1")
            .bind(account)
            .bind(change)
            .execute(&mut *connection)
            .await?;
    }
    sqlx::query(
        "INSERT INTO money.posting (entry_id, line, kind, debit, credit, amount, posted_at)
         VALUES ($1, 0, $2, $3, $4, $5, now())",
    )
    .bind(id)
    .bind(EntryKind::Remittance as i16)
    .bind(sender)
    .bind(receiver)
    .bind(request.amount)
    .execute(&mut *connection)
    .await?;
    Ok(true)
}

fn result(request: &RemittanceRequest) -> anyhow::Result<RemittanceResult> {
    let id = Uuid::try_parse(&request.message_id)?;
    Ok(RemittanceResult {
        message_id: derive(id, "result").to_string(),
        request_id: request.message_id.clone(),
        correlation_id: request.correlation_id.clone(),
        status: ResultStatus::Completed,
        reason: None,
        occurred_at: request.requested_at,
        sender_id: request.sender_id.clone(),
        amount: request.amount,
        fee: 0,
        causation_id: Some(request.message_id.clone()),
        topped_up: 0,
    })
}
