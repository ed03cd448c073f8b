//! Requests, and their way to the topics.

use std::time::Duration;

use anyhow::Context;
use chrono::Utc;
use mypay_schemas::closing::ClosingRequest;
use mypay_schemas::payment::PaymentRequest;
use mypay_schemas::recharge::RechargeRequest;
use mypay_schemas::remittance::{BankReceiver, MemberReceiver, Receiver, RemittanceRequest};
use mypay_schemas::{Flow, Request};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{DeliveryFuture, FutureProducer, FutureRecord};
use serde::Serialize;
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::world::World;

/// A message on its way to a topic: its bytes, whatever they are.
#[derive(Debug, Clone, Default)]
pub struct Outgoing {
    /// The topic.
    pub topic: &'static str,
    /// The record's key.
    pub key: Option<Vec<u8>>,
    /// The record's value; `None` is a tombstone.
    pub payload: Option<Vec<u8>>,
    /// The record's headers.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The partition, where the key shall not decide it.
    pub partition: Option<i32>,
}

/// Where a message was put.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Placed {
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
}

/// A remittance between members, under a new id.
pub fn remittance(sender: Uuid, receiver: Uuid, amount: i64) -> RemittanceRequest {
    let message_id = Uuid::now_v7().to_string();
    RemittanceRequest {
        correlation_id: message_id.clone(),
        message_id,
        requested_at: Utc::now().timestamp_millis(),
        sender_id: sender.to_string(),
        receiver: Receiver::MemberReceiver(MemberReceiver {
            member_id: receiver.to_string(),
        }),
        amount,
        causation_id: None,
    }
}

/// A remittance to an account at a bank, under a new id.
pub fn payout(sender: Uuid, to: BankReceiver, amount: i64) -> RemittanceRequest {
    let receiver = Receiver::BankReceiver(to);
    RemittanceRequest {
        receiver,
        ..remittance(sender, sender, amount)
    }
}

/// A payment, under a new id.
pub fn payment(member: Uuid, franchise: Uuid, order_ref: &str, amount: i64) -> PaymentRequest {
    let message_id = Uuid::now_v7().to_string();
    PaymentRequest {
        correlation_id: message_id.clone(),
        message_id,
        requested_at: Utc::now().timestamp_millis(),
        member_id: member.to_string(),
        franchise_id: franchise.to_string(),
        order_ref: order_ref.to_owned(),
        amount,
        causation_id: None,
        cancels: None,
        cancel_reason: None,
        cancels_rest: false,
    }
}

/// A cancel of a payment, under a new id; of all that is left where the amount is 0.
pub fn cancel(paid: &PaymentRequest, amount: i64) -> PaymentRequest {
    let message_id = Uuid::now_v7().to_string();
    PaymentRequest {
        correlation_id: message_id.clone(),
        message_id,
        amount,
        cancels: Some(paid.message_id.clone()),
        cancel_reason: Some("out of stock".to_owned()),
        cancels_rest: amount == 0,
        ..paid.clone()
    }
}

/// A recharge, under a new id.
pub fn recharge(member: Uuid, amount: i64) -> RechargeRequest {
    let message_id = Uuid::now_v7().to_string();
    RechargeRequest {
        correlation_id: message_id.clone(),
        message_id,
        requested_at: Utc::now().timestamp_millis(),
        member_id: member.to_string(),
        amount,
        causation_id: None,
    }
}

/// A closing of a membership, under a new id.
pub fn closing(member: Uuid) -> ClosingRequest {
    let message_id = Uuid::now_v7().to_string();
    ClosingRequest {
        correlation_id: message_id.clone(),
        message_id,
        requested_at: Utc::now().timestamp_millis(),
        member_id: member.to_string(),
        pays_out: true,
        reason: "moves abroad".to_owned(),
        causation_id: None,
    }
}

impl World {
    /// A request as a message, under its own key.
    pub fn message<R: Request + Serialize>(
        &self,
        flow: Flow,
        request: &R,
    ) -> anyhow::Result<Outgoing> {
        Ok(Outgoing {
            topic: flow.request_topic(),
            key: Some(request.key().as_bytes().to_vec()),
            payload: Some(self.encoders.encode(flow.request_topic(), request)?),
            ..Outgoing::default()
        })
    }

    /// Puts messages on their topics, in this order; tells where each lies.
    pub async fn send(
        &self,
        messages: impl IntoIterator<Item = Outgoing>,
    ) -> anyhow::Result<Vec<Placed>> {
        send(&producer(&self.endpoints.kafka_bootstrap)?, messages).await
    }

    /// Puts messages on their topics, about so many a second, while the test
    /// goes on. Keeps trying while brokers are away.
    pub fn pump(
        &self,
        messages: Vec<Outgoing>,
        per_second: usize,
    ) -> anyhow::Result<JoinHandle<anyhow::Result<Vec<Placed>>>> {
        const BEAT: Duration = Duration::from_millis(20);
        let producer = producer(&self.endpoints.kafka_bootstrap)?;
        let a_beat = (per_second * BEAT.as_millis() as usize / 1_000).max(1);
        Ok(tokio::spawn(async move {
            let mut beat = tokio::time::interval(BEAT);
            let mut messages = messages.into_iter();
            let mut sent = Vec::with_capacity(messages.len());
            while messages.len() > 0 {
                beat.tick().await;
                let these: Vec<Outgoing> = messages.by_ref().take(a_beat).collect();
                sent.push(queue(&producer, these)?);
            }
            let mut placed = Vec::new();
            for sent in sent {
                placed.extend(settle(sent).await?);
            }
            Ok(placed)
        }))
    }
}

fn producer(bootstrap: &str) -> anyhow::Result<FutureProducer> {
    Ok(mypay_kafka::client(bootstrap)
        // Idempotent, so that a retry of its own makes no duplicate: the
        // duplicates in a test are the test's.
        .set("enable.idempotence", "true")
        .set("compression.type", "lz4")
        .set("linger.ms", "2")
        // A topic limits compressed batches; what they unpack to may be more.
        .set("message.max.bytes", "100000000")
        .set("queue.buffering.max.messages", "1000000")
        .set("message.timeout.ms", "120000")
        .create()?)
}

async fn send(
    producer: &FutureProducer,
    messages: impl IntoIterator<Item = Outgoing>,
) -> anyhow::Result<Vec<Placed>> {
    settle(queue(producer, messages)?).await
}

fn queue(
    producer: &FutureProducer,
    messages: impl IntoIterator<Item = Outgoing>,
) -> anyhow::Result<Vec<DeliveryFuture>> {
    let mut sent = Vec::new();
    for message in messages {
        let mut record = FutureRecord::<[u8], [u8]>::to(message.topic);
        record.key = message.key.as_deref();
        record.payload = message.payload.as_deref();
        record.partition = message.partition;
        if !message.headers.is_empty() {
            let headers =
                message
                    .headers
                    .iter()
                    .fold(OwnedHeaders::new(), |headers, (key, value)| {
                        headers.insert(Header {
                            key,
                            value: Some(value),
                        })
                    });
            record = record.headers(headers);
        }
        sent.push(producer.send_result(record).map_err(|(error, _)| error)?);
    }
    Ok(sent)
}

async fn settle(sent: Vec<DeliveryFuture>) -> anyhow::Result<Vec<Placed>> {
    let mut placed = Vec::with_capacity(sent.len());
    for delivery in sent {
        let delivered = delivery.await.context("the producer ended")?;
        let at = delivered.map_err(|(error, _)| error)?;
        placed.push(Placed {
            partition: at.partition,
            offset: at.offset,
        });
    }
    Ok(placed)
}
