//! The results, as a read_committed reader sees them.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use mypay_schemas::Flow;
use mypay_schemas::ResultStatus;
use mypay_schemas::decoder::Decoder;
use mypay_schemas::firmbanking::{FirmbankingRequest, FirmbankingResult};
use mypay_schemas::payment::PaymentResult;
use mypay_schemas::remittance::RemittanceResult;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};
use uuid::Uuid;

use crate::consumer::now;

const PATIENCE: Duration = Duration::from_secs(20);
/// Nothing was read for so long: there is nothing more.
const QUIET: Duration = Duration::from_millis(1_500);
/// No result for so long: what is measured has failed.
const STUCK: Duration = Duration::from_secs(60);

/// The topic in which a flow's outcome shows: for a recharge, the command to
/// its bank.
pub fn topic(flow: Flow) -> &'static str {
    match flow {
        Flow::Recharge => Flow::Firmbanking.request_topic(),
        _ => flow.result_topic(),
    }
}

/// Reads a topic from where it ended when this was made.
pub struct Reader {
    consumer: BaseConsumer,
    begin: TopicPartitionList,
}

impl Reader {
    /// Begins at the topic's present end.
    pub fn at_end(bootstrap: &str, topic: &str) -> anyhow::Result<Self> {
        let consumer: BaseConsumer = mypay_kafka::client(bootstrap)
            .set("client.id", "mypay.bench")
            .set("group.id", "mypay.bench")
            .set("enable.auto.commit", "false")
            .set("isolation.level", "read_committed")
            .set("fetch.wait.max.ms", "50")
            .set("queued.max.messages.kbytes", "65536")
            .create()?;
        let metadata = consumer.fetch_metadata(Some(topic), PATIENCE)?;
        let partitions = metadata.topics().first().context("the result topic")?;
        ensure!(
            !partitions.partitions().is_empty(),
            "the topic {topic} is not there"
        );
        let mut begin = TopicPartitionList::new();
        for partition in partitions.partitions() {
            let (_, end) = consumer.fetch_watermarks(topic, partition.id(), PATIENCE)?;
            begin.add_partition_offset(topic, partition.id(), Offset::Offset(end))?;
        }
        consumer.assign(&begin)?;
        Ok(Self { consumer, begin })
    }

    /// Where it began.
    pub fn begin(&self) -> &TopicPartitionList {
        &self.begin
    }

    /// Begins again where it began.
    pub fn rewind(&self) -> anyhow::Result<()> {
        Ok(self.consumer.assign(&self.begin)?)
    }

    /// Reads so many results; tells when the last one was there.
    pub fn until_read(&self, count: usize) -> anyhow::Result<f64> {
        let mut moved = Instant::now();
        let mut left = count;
        while left > 0 {
            if self.next(Duration::from_millis(200), |_| ())?.is_some() {
                left -= 1;
                moved = Instant::now();
            } else if moved.elapsed() > STUCK {
                anyhow::bail!("{left} of {count} results are missing, and none comes");
            }
        }
        Ok(now())
    }

    /// Waits for a record, at most so long; gives what `look` makes of it.
    pub fn next<T>(
        &self,
        within: Duration,
        look: impl FnOnce(&[u8]) -> T,
    ) -> anyhow::Result<Option<T>> {
        match self.consumer.poll(within) {
            None => Ok(None),
            Some(Ok(message)) => Ok(Some(look(message.payload().unwrap_or_default()))),
            Some(Err(error)) => Err(error).context("reading the results"),
        }
    }
}

/// What a result says, as far as a measurement cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    /// The request.
    pub request_id: Uuid,
    /// Whether it was granted.
    pub granted: bool,
}

/// Reads results of one flow.
pub struct Interpreter {
    flow: Flow,
    decoder: Decoder,
}

impl Interpreter {
    /// Learns the schema from the registry.
    pub fn new(flow: Flow, registry_url: &str) -> Self {
        Self {
            flow,
            decoder: Decoder::new(registry_url),
        }
    }

    /// Reads a result.
    pub async fn read(&mut self, payload: &[u8]) -> anyhow::Result<Told> {
        let (request_id, granted) = match self.flow {
            Flow::Remittance => {
                let result: RemittanceResult = self.decoder.decode(payload).await?;
                (result.request_id, result.status == ResultStatus::Completed)
            }
            Flow::Payment => {
                let result: PaymentResult = self.decoder.decode(payload).await?;
                (result.request_id, result.status == ResultStatus::Completed)
            }
            Flow::Firmbanking => {
                let result: FirmbankingResult = self.decoder.decode(payload).await?;
                (result.request_id, result.status == ResultStatus::Completed)
            }
            _ => {
                let command: FirmbankingRequest = self.decoder.decode(payload).await?;
                (command.causation_id.context("a command has a cause")?, true)
            }
        };
        Ok(Told {
            request_id: Uuid::try_parse(&request_id)?,
            granted,
        })
    }
}

/// How often each request was answered.
#[derive(Debug, Default)]
pub struct Answers(HashMap<Uuid, (u32, bool)>);

impl Answers {
    /// Reads all results from where the reader began.
    pub async fn read(reader: &Reader, flow: Flow, registry_url: &str) -> anyhow::Result<Self> {
        let mut answers = Self::default();
        let mut interpreter = Interpreter::new(flow, registry_url);
        reader.rewind()?;
        // The first answer may take a moment after the rewinding.
        let mut patience = STUCK;
        while let Some(payload) = reader.next(patience, <[u8]>::to_vec)? {
            answers.add(interpreter.read(&payload).await?);
            patience = QUIET;
        }
        Ok(answers)
    }

    /// Counts an answer.
    pub fn add(&mut self, told: Told) {
        let (times, granted) = self.0.entry(told.request_id).or_insert((0, true));
        *times += 1;
        *granted &= told.granted;
    }

    /// Fails unless each of these requests was granted exactly once, and nobody
    /// else was.
    pub fn are_once_for(&self, asked: impl Iterator<Item = Uuid>) -> anyhow::Result<()> {
        let (mut missing, mut refused, mut count) = (0, 0, 0);
        for id in asked {
            count += 1;
            match self.0.get(&id) {
                None => missing += 1,
                Some((_, granted)) => refused += u64::from(!granted),
            }
        }
        let twice = self.0.values().filter(|(times, _)| *times > 1).count();
        let strangers = self.0.len() as u64 + missing - count;
        ensure!(
            (missing, twice, refused, strangers) == (0, 0, 0, 0),
            "of {count} requests {missing} have no result, {twice} have several, {refused} were \
             refused; {strangers} results are of other requests"
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(of: &[(u128, bool)]) -> Answers {
        let mut answers = Answers::default();
        for (id, granted) in of {
            answers.add(Told {
                request_id: Uuid::from_u128(*id),
                granted: *granted,
            });
        }
        answers
    }

    #[test]
    fn missing_second_refused_and_foreign_results_are_found() {
        let asked = || [1, 2].map(Uuid::from_u128).into_iter();
        let right = answers(&[(1, true), (2, true)]);
        assert!(right.are_once_for(asked()).is_ok());
        for wrong in [
            &[(1, true)][..],
            &[(1, true), (2, true), (2, true)],
            &[(1, true), (2, false)],
            &[(1, true), (2, true), (3, true)],
        ] {
            assert!(answers(wrong).are_once_for(asked()).is_err(), "{wrong:?}");
        }
    }
}
