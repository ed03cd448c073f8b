//! How far consumers are, and waiting until they are through.

use std::collections::BTreeMap;
use std::time::Duration;

use mypay_schemas::Flow;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Offset, TopicPartitionList};
use sqlx::Row;

use crate::topic::Offsets;
use crate::wait::{blocking, eventually};
use crate::world::World;

const PATIENCE: Duration = Duration::from_secs(10);

impl World {
    /// How many messages a consumer has gone through since the stack began:
    /// handled, duplicates and dead letters.
    pub async fn gone_through(&self, flow: Flow) -> anyhow::Result<i64> {
        let row = sqlx::query(
            "SELECT coalesce(sum(handled + duplicates + dead_letters), 0)::bigint
               FROM lane WHERE consumer = $1",
        )
        .bind(flow.name())
        .fetch_one(&self.pool)
        .await?;
        Ok(row.try_get(0)?)
    }

    /// Waits until a consumer has gone through so many; gives how many it has.
    pub async fn await_gone_through(
        &self,
        flow: Flow,
        count: i64,
        within: Duration,
    ) -> anyhow::Result<i64> {
        eventually(
            &format!("{flow} to go through {count} messages"),
            within,
            async || {
                self.all_live()?;
                let count_now = self.gone_through(flow).await?;
                Ok((count_now >= count).then_some(count_now))
            },
        )
        .await
    }

    /// Waits until every request of a flow's topic is answered in Kafka: the
    /// group has committed the topic's end, and offsets are committed together
    /// with results.
    pub async fn drained(&self, flow: Flow, within: Duration) -> anyhow::Result<()> {
        let group = self.group(flow)?;
        let topic = flow.request_topic();
        let ends = self.ends(topic)?;
        eventually(&format!("the end of {topic}"), within, async || {
            self.all_live()?;
            // Brokers and coordinators may be on the move: ask again.
            let Ok(committed) = blocking(|| committed(&group, topic, &ends)) else {
                return Ok(None);
            };
            let left = ends
                .iter()
                .find(|(partition, end)| committed[partition] < **end);
            match left {
                None => Ok(Some(())),
                // What is left may be the marker of a transaction, in which a
                // relay has sent requests: nobody is given it.
                Some(_) => Ok(self.read_from(topic, &committed)?.is_empty().then_some(())),
            }
        })
        .await
    }

    /// Sets a group's committed offsets back to the topic's beginning. The group
    /// must have no members; a static one that has stopped is kept for a session.
    pub async fn set_back(&self, flow: Flow) -> anyhow::Result<()> {
        let group = self.group(flow)?;
        let topic = flow.request_topic();
        let mut offsets = TopicPartitionList::new();
        for partition in self.ends(topic)?.into_keys() {
            let (begin, _) = blocking(|| group.fetch_watermarks(topic, partition, PATIENCE))?;
            offsets.add_partition_offset(topic, partition, Offset::Offset(begin))?;
        }
        eventually(
            "the group to let its offsets be set",
            Duration::from_secs(30),
            async || {
                let committed =
                    blocking(|| group.commit(&offsets, rdkafka::consumer::CommitMode::Sync));
                Ok(committed.ok())
            },
        )
        .await
    }

    /// How many members a flow's group has, once it is stable; `None` before.
    pub fn stable_members(&self, flow: Flow) -> anyhow::Result<Option<usize>> {
        let client = self.group(flow)?;
        let name = format!("mypay.{flow}");
        let groups = blocking(|| client.fetch_group_list(Some(&name), PATIENCE))?;
        let group = groups.groups().iter().find(|group| group.name() == name);
        Ok(match group {
            Some(group) if group.state() == "Stable" => Some(group.members().len()),
            Some(group) if group.state() == "Empty" => Some(0),
            _ => None,
        })
    }

    /// Waits until a flow's group is stable with so many members.
    pub async fn await_members(
        &self,
        flow: Flow,
        count: usize,
        within: Duration,
    ) -> anyhow::Result<()> {
        eventually(
            &format!("{count} members in the group of {flow}"),
            within,
            async || Ok((self.stable_members(flow).ok().flatten() == Some(count)).then_some(())),
        )
        .await
    }

    /// A client that can speak for a flow's group without being in it.
    fn group(&self, flow: Flow) -> anyhow::Result<BaseConsumer> {
        Ok(mypay_kafka::client(&self.endpoints.kafka_bootstrap)
            .set("group.id", format!("mypay.{flow}"))
            .set("enable.auto.commit", "false")
            // Waits for offsets of a transaction that is not decided yet.
            .set("isolation.level", "read_committed")
            .create()?)
    }
}

fn committed(group: &BaseConsumer, topic: &str, ends: &Offsets) -> anyhow::Result<Offsets> {
    let mut wanted = TopicPartitionList::new();
    for partition in ends.keys() {
        wanted.add_partition(topic, *partition);
    }
    let committed = group.committed_offsets(wanted, PATIENCE)?;
    let mut offsets = BTreeMap::new();
    for element in committed.elements_for_topic(topic) {
        let offset = match element.offset() {
            Offset::Offset(offset) => offset,
            // Nothing was committed yet.
            _ => {
                group
                    .fetch_watermarks(topic, element.partition(), PATIENCE)?
                    .0
            }
        };
        offsets.insert(element.partition(), offset);
    }
    Ok(offsets)
}
