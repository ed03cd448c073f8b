//! How far a consumer is behind, as librdkafka's own figures tell it.
//!
//! librdkafka's `consumer_lag` is of no use here: it knows of no offset that is
//! committed in a producer's transaction. So the offsets that are done with come
//! from the lanes, and where the partition ends from the last fetch; nobody is
//! asked.

use std::collections::HashMap;

use rdkafka::Statistics;
use rdkafka::statistics::Partition;

use super::intake::LaneKey;

/// A partition, and how many of its offsets are not done with.
pub(super) type Lag = (String, i32, i64);

/// The lags of all partitions that are being fetched.
pub(super) fn of_all(statistics: &Statistics, done_to: &HashMap<LaneKey, i64>) -> Vec<Lag> {
    let mut lags = Vec::new();
    for (name, topic) in &statistics.topics {
        for (number, partition) in &topic.partitions {
            let done_to = done_to.get(&(name.as_str(), *number)).copied();
            let lag = of(partition, done_to);
            lags.extend(lag.map(|lag| (name.clone(), *number, lag)));
        }
    }
    lags
}

/// The offsets from the first that is not done with to the last stable one, behind
/// which no `read_committed` reader sees anything; `None` where the partition is not
/// ours, or not fetched yet.
fn of(partition: &Partition, done_to: Option<i64>) -> Option<i64> {
    let fetched = partition.fetch_state == "active" && partition.partition >= 0;
    if !fetched || partition.ls_offset < 0 || partition.next_offset < 0 {
        return None;
    }
    let position = match done_to {
        Some(done_to) if done_to < partition.app_offset || partition.fetchq_cnt > 0 => done_to,
        // What was handed over is done with. What the fetches have passed since are
        // the ends of others' transactions, which are handed to nobody.
        Some(done_to) => done_to.max(partition.next_offset),
        // Nothing was there yet.
        None => partition.next_offset,
    };
    Some((partition.ls_offset - position).max(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fetched to its end at 100, and handed over to 90.
    fn partition() -> Partition {
        Partition {
            partition: 3,
            fetch_state: "active".to_owned(),
            ls_offset: 100,
            hi_offset: 120,
            next_offset: 100,
            app_offset: 90,
            ..Partition::default()
        }
    }

    #[test]
    fn what_is_handed_over_is_behind_until_its_results_are_sent() {
        assert_eq!(of(&partition(), Some(70)), Some(30));
        assert_eq!(of(&partition(), Some(89)), Some(11));
    }

    #[test]
    fn what_waits_to_be_handed_over_is_behind() {
        let waits = Partition {
            fetchq_cnt: 9,
            ..partition()
        };
        assert_eq!(of(&waits, Some(90)), Some(10));
        let not_fetched = Partition {
            next_offset: 95,
            ..partition()
        };
        assert_eq!(of(&not_fetched, Some(90)), Some(5));
    }

    #[test]
    fn the_end_of_a_transaction_is_nothing_to_wait_for() {
        assert_eq!(of(&partition(), Some(90)), Some(0));
        assert_eq!(of(&partition(), None), Some(0));
    }

    #[test]
    fn a_partition_that_is_not_fetched_has_none() {
        for broken in [
            Partition {
                fetch_state: "none".to_owned(),
                ..partition()
            },
            // librdkafka's own, for messages without a partition.
            Partition {
                partition: -1,
                ..partition()
            },
            Partition {
                ls_offset: -1_001,
                ..partition()
            },
            Partition {
                next_offset: -1_001,
                ..partition()
            },
        ] {
            assert_eq!(of(&broken, Some(90)), None, "{broken:?}");
        }
    }

    #[test]
    fn each_partition_has_its_own() {
        let mut statistics = Statistics::default();
        let topic = statistics.topics.entry("my.payment.request".to_owned());
        let partitions = &mut topic.or_default().partitions;
        partitions.insert(3, partition());
        partitions.insert(4, partition());
        let done_to = HashMap::from([(("my.payment.request", 3), 60)]);
        let mut lags = of_all(&statistics, &done_to);
        lags.sort();
        let name = || "my.payment.request".to_owned();
        assert_eq!(lags, [(name(), 3, 40), (name(), 4, 0)]);
    }
}
