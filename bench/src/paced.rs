//! Requests at a steady pace, and how long each waits for its result.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use hdrhistogram::Histogram;
use mypay_schemas::Flow;
use serde::Serialize;
use uuid::Uuid;

use crate::consumer::Consumers;
use crate::requests::{Feeder, Load, Maker};
use crate::results::{self, Answers, Interpreter, Reader};
use crate::town::Town;
use crate::usage::{Cpu, until_quiet};
use crate::world::World;

/// How long requests are sent before any is counted: connections are made,
/// plans are cached.
const WARM_UP: Duration = Duration::from_secs(3);
/// How long the last results are waited for.
const LAST: Duration = Duration::from_secs(30);

/// A pace.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Whose requests.
    pub flow: Flow,
    /// How many are counted.
    pub count: usize,
    /// How many a second.
    pub rate: u32,
    /// Who asks whom.
    pub load: Load,
    /// How long the producer of the requests waits for more to send along,
    /// milliseconds. Counted in: it is part of a client's way. With less, the brokers
    /// have more requests to answer, and it is their CPU that is measured.
    pub linger_ms: u32,
}

/// From a request's producing to its result's being visible, milliseconds.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Latency {
    /// Half are quicker.
    pub p50: f64,
    /// Nine in ten are quicker.
    pub p90: f64,
    /// 99 in 100 are quicker.
    pub p99: f64,
    /// The slowest.
    pub max: f64,
}

/// How a paced run went.
#[derive(Debug, Clone, Serialize)]
pub struct Paced {
    /// From request to result.
    pub latency_ms: Latency,
    /// The pace that was kept.
    pub messages_per_second: f64,
    /// CPU time from the consumer's start.
    pub cpu_seconds: Cpu,
    /// What the consumer tells.
    pub told: crate::consumer::Told,
}

impl Latency {
    /// Of a histogram of microseconds.
    pub(crate) fn of(micros: &Histogram<u64>) -> Self {
        let quantile = |q| micros.value_at_quantile(q) as f64 / 1_000.0;
        Self {
            p50: quantile(0.5),
            p90: quantile(0.9),
            p99: quantile(0.99),
            max: micros.max() as f64 / 1_000.0,
        }
    }
}

type Sent = Arc<Mutex<HashMap<Uuid, Instant>>>;

impl Pace {
    /// Starts a consumer, sends requests at the pace, and waits for all results.
    pub async fn run(self, world: &World, town: &Town) -> anyhow::Result<Paced> {
        let topic = results::topic(self.flow);
        let reader = Reader::at_end(&world.endpoints.kafka_bootstrap, topic)?;
        until_quiet(Duration::from_secs(30)).await;
        let before = Cpu::now(&world.stack, &[]);
        let consumers = Consumers::start(&world.stack, &world.endpoints, self.flow, 1)?;
        consumers.until_assigned().await?;

        let sent = Sent::default();
        let warm_up = (WARM_UP.as_secs_f64() * f64::from(self.rate)) as usize;
        let awaited = self.count + warm_up;
        let interpreter = Interpreter::new(self.flow, &world.endpoints.registry_url);
        let reading = {
            let (sent, runtime) = (Arc::clone(&sent), tokio::runtime::Handle::current());
            tokio::task::spawn_blocking(move || {
                follow(&reader, interpreter, &runtime, &sent, awaited, warm_up)
            })
        };
        let seconds = tokio::task::block_in_place(|| self.send(world, town, &sent, awaited))?;
        let followed = reading.await?;
        consumers.are_alive()?;
        let (histogram, answers) = followed?;
        let cpu = Cpu::now(&world.stack, &consumers.names).since(before);
        let told = consumers.told().await?;
        consumers.stop().await?;
        answers.are_once_for(lock(&sent).keys().copied())?;
        Ok(Paced {
            latency_ms: Latency::of(&histogram),
            messages_per_second: awaited as f64 / seconds,
            cpu_seconds: cpu,
            told,
        })
    }

    /// Sends at the pace; tells how many seconds it took.
    fn send(self, world: &World, town: &Town, sent: &Sent, count: usize) -> anyhow::Result<f64> {
        let maker = Maker {
            flow: self.flow,
            town,
            load: self.load,
            encoders: &world.encoders,
        };
        let feeder = Feeder::new(&world.endpoints.kafka_bootstrap, self.linger_ms)?;
        let begin = Instant::now();
        for number in 0..count {
            let due = begin + Duration::from_secs_f64(number as f64 / f64::from(self.rate));
            let now = Instant::now();
            if due > now {
                std::thread::sleep(due - now);
            }
            let request = maker.make()?;
            // One that is late counts from when it was due: a client does not
            // wait for our measuring.
            lock(sent).insert(request.id, due.max(begin));
            feeder.put(self.flow, &request)?;
        }
        feeder.flush()?;
        Ok(begin.elapsed().as_secs_f64())
    }
}

/// Reads so many results, and times all but the first ones sent.
fn follow(
    reader: &Reader,
    mut interpreter: Interpreter,
    runtime: &tokio::runtime::Handle,
    sent: &Sent,
    awaited: usize,
    warm_up: usize,
) -> anyhow::Result<(Histogram<u64>, Answers)> {
    // Microseconds, three digits, up to an hour.
    let mut histogram = Histogram::new_with_max(3_600_000_000, 3)?;
    let mut answers = Answers::default();
    let mut seen = 0;
    let mut moved = Instant::now();
    while seen < awaited {
        let Some(payload) = reader.next(Duration::from_millis(100), <[u8]>::to_vec)? else {
            ensure!(
                moved.elapsed() < LAST,
                "{} of {awaited} results are missing, and none comes",
                awaited - seen
            );
            continue;
        };
        moved = Instant::now();
        let told = runtime.block_on(interpreter.read(&payload))?;
        let due = lock(sent).get(&told.request_id).copied().context(
            "a result of a request that was not sent: an earlier measurement was cut short; \
                 begin anew with `stack down --wipe`",
        )?;
        answers.add(told);
        seen += 1;
        if seen > warm_up {
            let micros = moved.saturating_duration_since(due).as_micros();
            histogram.saturating_record(u64::try_from(micros).unwrap_or(u64::MAX));
        }
    }
    Ok((histogram, answers))
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
