//! A backlog, and how long it takes to be worked off.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use chrono::Utc;
use mypay_schemas::Flow;
use serde::Serialize;

use crate::consumer::{Consumers, Told, now};
use crate::money::{Asked, Books, rows_agree};
use crate::requests::{Feeder, Load, Maker};
use crate::results::{self, Answers, Interpreter, Reader};
use crate::town::{Town, opening};
use crate::usage::{Cpu, until_quiet};
use crate::world::World;

/// Nothing was read for so long: there is nothing more.
const QUIET: Duration = Duration::from_millis(1_500);
/// A drain that does not move for so long has failed.
const STUCK: Duration = Duration::from_secs(60);
/// One request in so many is put onto the topic twice.
const DUPLICATE_EACH: usize = 100;

/// What is drained.
#[derive(Debug, Clone, Copy)]
pub struct Drain {
    /// Whose requests.
    pub flow: Flow,
    /// How many, besides one duplicate in a hundred.
    pub count: usize,
    /// Who asks whom.
    pub load: Load,
    /// By how many processes.
    pub consumers: usize,
}

/// How a drain went.
#[derive(Debug, Clone, Serialize)]
pub struct Drained {
    /// Requests with a result, a second.
    pub messages_per_second: f64,
    /// From the consumer's assignment to the last result.
    pub seconds: f64,
    /// CPU time while it drained, the consumer's start included.
    pub cpu_seconds: Cpu,
    /// What the consumers tell.
    pub told: Told,
}

impl Drain {
    /// Fills the topic, starts the consumers, waits for the last result, and
    /// checks each of them and the money.
    pub async fn run(
        self,
        world: &World,
        town: &Town,
        books: &mut Books,
    ) -> anyhow::Result<Drained> {
        let since = Utc::now().timestamp_millis();
        let topic = results::topic(self.flow);
        let reader = Arc::new(Reader::at_end(&world.endpoints.kafka_bootstrap, topic)?);
        let asked = self.fill(world, town)?;
        until_quiet(Duration::from_secs(30)).await;

        let before = Cpu::now(&world.stack, &[]);
        let consumers =
            Consumers::start(&world.stack, &world.endpoints, self.flow, self.consumers)?;
        let reading = {
            let (reader, count) = (Arc::clone(&reader), asked.len());
            tokio::task::spawn_blocking(move || until_read(&reader, count))
        };
        let ready = consumers.until_assigned().await;
        let ended = reading.await?;
        let (ready, ended) = (
            ready?,
            ended.context(consumers.are_alive().map_or_else(
                |dead| dead.to_string(),
                |()| "the consumer lives, and does not move".to_string(),
            ))?,
        );
        let cpu = Cpu::now(&world.stack, &consumers.names).since(before);
        let told = consumers.told().await?;
        consumers.stop().await?;

        self.check(world, &reader, &asked).await?;
        for request in &asked {
            books.granted(self.flow, request);
        }
        rows_agree(&world.pool, self.flow, since, &asked).await?;
        books.agree(&world.pool, town, opening(self.flow)).await?;
        let seconds = ended - ready;
        Ok(Drained {
            messages_per_second: asked.len() as f64 / seconds,
            seconds,
            cpu_seconds: cpu,
            told,
        })
    }

    fn fill(self, world: &World, town: &Town) -> anyhow::Result<Vec<Asked>> {
        let maker = Maker {
            flow: self.flow,
            town,
            load: self.load,
            encoders: &world.encoders,
        };
        let feeder = Feeder::new(&world.endpoints.kafka_bootstrap, 50)?;
        let mut asked = Vec::with_capacity(self.count);
        for number in 0..self.count {
            let request = maker.make()?;
            feeder.put(self.flow, &request)?;
            if number % DUPLICATE_EACH == 0 {
                feeder.put(self.flow, &request)?;
            }
            asked.push(Asked::from(&request));
        }
        feeder.flush()?;
        Ok(asked)
    }

    async fn check(self, world: &World, reader: &Reader, asked: &[Asked]) -> anyhow::Result<()> {
        let mut answers = Answers::default();
        let mut interpreter = Interpreter::new(self.flow, &world.endpoints.registry_url);
        reader.rewind()?;
        // The first answer may take a moment after the rewinding.
        let mut patience = STUCK;
        while let Some(payload) = reader.next(patience, <[u8]>::to_vec)? {
            answers.add(interpreter.read(&payload).await?);
            patience = QUIET;
        }
        answers.are_once_for(asked.iter().map(|asked| asked.id))
    }
}

/// Reads so many results; tells when the last one was there.
fn until_read(reader: &Reader, count: usize) -> anyhow::Result<f64> {
    let mut moved = Instant::now();
    let mut left = count;
    while left > 0 {
        if reader.next(Duration::from_millis(200), |_| ())?.is_some() {
            left -= 1;
            moved = Instant::now();
        } else if moved.elapsed() > STUCK {
            anyhow::bail!("{left} of {count} results are missing, and none comes");
        }
    }
    Ok(now())
}
