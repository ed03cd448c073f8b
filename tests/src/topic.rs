//! Everything in a topic that a `read_committed` reader sees.
//!
//! This reader shares nothing with the consumers under test: no group, no
//! offsets, no code.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Headers, Message};
use rdkafka::{Offset, TopicPartitionList};

use crate::requests::Placed;
use crate::wait::blocking;
use crate::world::World;

/// One answer of a broker.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longer than a producer's transaction can hang before the broker ends it.
const OPEN_TRANSACTION: Duration = Duration::from_secs(40);
/// A read that hears nothing for so long has failed.
const SILENCE: Duration = Duration::from_secs(20);

/// A record as it lies in a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Where it lies.
    pub at: Placed,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its value.
    pub payload: Option<Vec<u8>>,
    /// Its headers, in their order.
    pub headers: Vec<(String, Vec<u8>)>,
    /// When the broker took it, in milliseconds since the epoch.
    pub taken_at: i64,
}

/// Offsets by partition.
pub type Offsets = BTreeMap<i32, i64>;

impl World {
    /// All that is in a topic at this moment, from its beginning.
    ///
    /// Waits for transactions that are not decided yet: nothing can hide in one.
    pub fn read(&self, topic: &str) -> anyhow::Result<Vec<Record>> {
        blocking(|| read(&self.endpoints.kafka_bootstrap, topic, None))
    }

    /// All that was put in a topic since `from`, as [`World::ends`] gave it.
    pub fn read_from(&self, topic: &str, from: &Offsets) -> anyhow::Result<Vec<Record>> {
        blocking(|| read(&self.endpoints.kafka_bootstrap, topic, Some(from)))
    }

    /// Where a topic's partitions end, open transactions included.
    pub fn ends(&self, topic: &str) -> anyhow::Result<Offsets> {
        blocking(|| {
            ends(
                &reader(&self.endpoints.kafka_bootstrap, "read_uncommitted")?,
                topic,
            )
        })
    }
}

fn read(bootstrap: &str, topic: &str, from: Option<&Offsets>) -> anyhow::Result<Vec<Record>> {
    let ends = ends(&reader(bootstrap, "read_uncommitted")?, topic)?;
    let reader = reader(bootstrap, "read_committed")?;
    await_decided(&reader, topic, &ends)?;
    let mut assignment = TopicPartitionList::new();
    for partition in ends.keys() {
        let offset = from.and_then(|from| from.get(partition));
        let offset = offset.map_or(Offset::Beginning, |offset| Offset::Offset(*offset));
        assignment.add_partition_offset(topic, *partition, offset)?;
    }
    reader.assign(&assignment)?;
    let mut open: Vec<i32> = ends.keys().copied().collect();
    let mut records = Vec::new();
    let mut heard = Instant::now();
    while !open.is_empty() {
        match reader.poll(Duration::from_millis(200)) {
            Some(Ok(message)) => {
                heard = Instant::now();
                records.push(record(&message));
            }
            // The last offsets may be the markers of transactions, which are
            // given to nobody: the end of the partition tells of them.
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                heard = Instant::now();
                open.retain(|open| *open != partition);
            }
            Some(Err(error @ KafkaError::MessageConsumptionFatal(_))) => return Err(error.into()),
            Some(Err(_)) | None => {}
        }
        ensure!(
            heard.elapsed() < SILENCE,
            "{topic}: nothing from partitions {open:?}"
        );
    }
    records.sort_by_key(|record| record.at);
    Ok(records)
}

fn record(message: &impl Message) -> Record {
    let headers = message.headers().into_iter().flat_map(Headers::iter);
    Record {
        at: Placed {
            partition: message.partition(),
            offset: message.offset(),
        },
        key: message.key().map(<[u8]>::to_vec),
        payload: message.payload().map(<[u8]>::to_vec),
        headers: headers
            .map(|header| {
                (
                    header.key.to_owned(),
                    header.value.unwrap_or_default().to_vec(),
                )
            })
            .collect(),
        taken_at: message.timestamp().to_millis().unwrap_or_default(),
    }
}

/// Waits until everything below the ends is decided. Under `read_committed` a
/// partition's end is the last stable offset.
fn await_decided(reader: &BaseConsumer, topic: &str, ends: &Offsets) -> anyhow::Result<()> {
    let began = Instant::now();
    for (partition, end) in ends {
        loop {
            let (_, stable) = reader.fetch_watermarks(topic, *partition, PATIENCE)?;
            if stable >= *end {
                break;
            }
            if began.elapsed() > OPEN_TRANSACTION {
                bail!("{topic}-{partition}: a transaction at {stable} is not ended, up to {end}");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    Ok(())
}

fn ends(reader: &BaseConsumer, topic: &str) -> anyhow::Result<Offsets> {
    let metadata = reader.fetch_metadata(Some(topic), PATIENCE)?;
    let partitions = metadata
        .topics()
        .iter()
        .flat_map(|topic| topic.partitions());
    partitions
        .map(|partition| {
            let (_, end) = reader.fetch_watermarks(topic, partition.id(), PATIENCE)?;
            Ok((partition.id(), end))
        })
        .collect()
}

fn reader(bootstrap: &str, isolation: &str) -> anyhow::Result<BaseConsumer> {
    Ok(mypay_kafka::client(bootstrap)
        // librdkafka wants a name; no group is joined, no offset committed.
        .set("group.id", "mypay.tests")
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "error")
        .set("isolation.level", isolation)
        .set("enable.partition.eof", "true")
        .set("fetch.wait.max.ms", "20")
        .set("fetch.message.max.bytes", "4194304")
        .create()?)
}
