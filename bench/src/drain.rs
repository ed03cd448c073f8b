//! A backlog, and how long it takes to be worked off.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use chrono::Utc;
use mypay_schemas::Flow;
use serde::Serialize;

use crate::consumer::{Consumers, Told};
use crate::money::{Asked, Books, rows_agree};
use crate::requests::{Feeder, Load, Maker};
use crate::results::{self, Answers, Reader};
use crate::town::{Town, opening};
use crate::usage::{Cpu, until_quiet};
use crate::world::World;

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
            tokio::task::spawn_blocking(move || reader.until_read(count))
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

        Answers::read(&reader, self.flow, &world.endpoints.registry_url)
            .await?
            .are_once_for(asked.iter().map(|asked| asked.id))?;
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
}
