//! The requests of a measurement, and their way onto the topic.

use std::time::Duration;

use anyhow::Context;
use chrono::Utc;
use mypay_schemas::Flow;
use mypay_schemas::encoders::Encoders;
use mypay_schemas::payment::PaymentRequest;
use mypay_schemas::recharge::RechargeRequest;
use mypay_schemas::remittance::{MemberReceiver, Receiver, RemittanceRequest};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use uuid::Uuid;

use crate::town::Town;

/// Who asks whom: evenly, or with one that half of all, or all, want.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Load {
    /// Everyone with everyone.
    Even,
    /// Half of the remittances to one member; all payments to one franchise.
    Skewed,
}

/// A request as it goes onto the topic.
#[derive(Debug, Clone)]
pub struct Ready {
    /// Its id.
    pub id: Uuid,
    /// Who pays, as a number in the town.
    pub from: u64,
    /// Which member is paid, where one is.
    pub to: Option<u64>,
    /// Whole won.
    pub amount: i64,
    key: String,
    payload: Vec<u8>,
}

impl Ready {
    /// A request of no member.
    pub(crate) fn new(id: Uuid, amount: i64, key: String, payload: Vec<u8>) -> Self {
        Self {
            id,
            from: 0,
            to: None,
            amount,
            key,
            payload,
        }
    }
}

/// Makes requests.
pub struct Maker<'a> {
    /// Whose requests.
    pub flow: Flow,
    /// Between whom.
    pub town: &'a Town,
    /// Who asks whom.
    pub load: Load,
    /// Writes them.
    pub encoders: &'a Encoders,
}

impl Maker<'_> {
    /// A request under a new id.
    pub fn make(&self) -> anyhow::Result<Ready> {
        let id = Uuid::now_v7();
        let message_id = id.to_string();
        let requested_at = Utc::now().timestamp_millis();
        let from = fastrand::u64(..self.town.members);
        let key = self.town.member(from).to_string();
        let topic = self.flow.request_topic();
        let (to, amount, payload) = match self.flow {
            Flow::Remittance => {
                let (to, amount) = self.receiver(from);
                let request = RemittanceRequest {
                    correlation_id: message_id.clone(),
                    message_id,
                    requested_at,
                    sender_id: key.clone(),
                    receiver: Receiver::MemberReceiver(MemberReceiver {
                        member_id: self.town.member(to).to_string(),
                    }),
                    amount,
                    causation_id: None,
                };
                (Some(to), amount, self.encoders.encode(topic, &request)?)
            }
            Flow::Payment => {
                let franchise = match self.load {
                    Load::Even => fastrand::u64(..self.town.franchises),
                    Load::Skewed => 0,
                };
                let amount = fastrand::i64(100..=1_000);
                let request = PaymentRequest {
                    correlation_id: message_id.clone(),
                    message_id,
                    requested_at,
                    member_id: key.clone(),
                    franchise_id: self.town.franchise(franchise).to_string(),
                    order_ref: format!("order-{}", id.as_u128() % 1_000_000),
                    amount,
                    causation_id: None,
                    cancels: None,
                    cancel_reason: None,
                    cancels_rest: false,
                };
                (None, amount, self.encoders.encode(topic, &request)?)
            }
            Flow::Recharge => {
                let amount = 10_000;
                let request = RechargeRequest {
                    correlation_id: message_id.clone(),
                    message_id,
                    requested_at,
                    member_id: key.clone(),
                    amount,
                    causation_id: None,
                };
                (None, amount, self.encoders.encode(topic, &request)?)
            }
            Flow::Firmbanking | Flow::Settlement | Flow::Closing => {
                anyhow::bail!("{} is not measured here", self.flow)
            }
        };
        Ok(Ready {
            id,
            from,
            to,
            amount,
            key,
            payload,
        })
    }

    fn receiver(&self, from: u64) -> (u64, i64) {
        match self.load {
            // Small amounts: the favourite must not meet the cap.
            Load::Skewed if from != 0 && fastrand::bool() => (0, fastrand::i64(1..=3)),
            _ => {
                let other = fastrand::u64(..self.town.members - 1);
                let to = if other >= from { other + 1 } else { other };
                (to, fastrand::i64(1..=100))
            }
        }
    }
}

/// Puts requests onto their topic.
pub struct Feeder {
    producer: ThreadedProducer<DefaultProducerContext>,
}

impl Feeder {
    /// A producer that waits so long for more to send along, in milliseconds.
    pub fn new(bootstrap: &str, linger_ms: u32) -> anyhow::Result<Self> {
        let producer = mypay_kafka::client(bootstrap)
            .set("client.id", "mypay.bench")
            // With idempotence, librdkafka's threads spin whenever five requests
            // are on their way to a broker: half a core, taken from what is
            // measured. A retry may make a duplicate: those are found.
            .set("enable.idempotence", "false")
            .set("max.in.flight.requests.per.connection", "100")
            .set("acks", "all")
            .set("compression.type", "lz4")
            .set("linger.ms", linger_ms.to_string())
            .set("queue.buffering.max.messages", "500000")
            .create()
            .context("the producer of the requests")?;
        Ok(Self { producer })
    }

    /// Queues a request; waits while the queue is full.
    pub fn put(&self, flow: Flow, request: &Ready) -> anyhow::Result<()> {
        loop {
            let record = BaseRecord::to(flow.request_topic())
                .key(request.key.as_bytes())
                .payload(&request.payload);
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                Err((error, _)) => return Err(error.into()),
            }
        }
    }

    /// Waits until all is acknowledged.
    pub fn flush(&self) -> anyhow::Result<()> {
        Ok(self.producer.flush(Duration::from_secs(60))?)
    }
}
