//! The HTTP edge: durable acceptances at a steady pace, and how long each takes.
//!
//! Each answer is a 202, which the edge gives when the request is committed in
//! `queue_log` and the outbox.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use hdrhistogram::Histogram;
use mypay_auth::{Identity, Minter, Role, Sources};
use serde::Serialize;
use serde_json::json;
use sqlx::Row;
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::paced::Latency;
use crate::town::Town;
use crate::usage::until_quiet;
use crate::world::World;

/// The name of the process under measurement.
const NAME: &str = "bench-edge";
/// How many requests are under way at the most; more are late, and count so.
const AT_ONCE: usize = 2_000;
/// How many connections the edge takes: a client opens one for each request that is
/// under way, and now and then one more while another is given back.
const CONNECTIONS: usize = 2 * AT_ONCE;
/// How long a token is good for: each request has one of its own.
const TOKEN: Duration = Duration::from_secs(60);
const WARM_UP: Duration = Duration::from_secs(3);

/// How the edge did.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Accepted {
    /// Acceptances a second.
    pub messages_per_second: f64,
    /// From when a request was due to its answer, milliseconds.
    pub latency_ms: Latency,
}

/// Sends so many remittances at a pace; checks that each is in `queue_log`.
pub async fn measure(
    world: &World,
    town: &Town,
    count: usize,
    rate: u32,
) -> anyhow::Result<Accepted> {
    until_quiet(Duration::from_secs(30)).await;
    let mypay = std::env::current_exe().context("the path of this program")?;
    let url = world.endpoints.api_url.trim_end_matches('/').to_string();
    let listen = url.split_once("://").map_or(&*url, |(_, rest)| rest);
    let connections = CONNECTIONS.to_string();
    let args = ["serve", "--listen", listen, "--connections", &connections];
    world
        .stack
        .spawn(NAME, &mypay, args, world.endpoints.variables())?;
    let measured = send(world, town, &url, count, rate).await;
    world.stack.stop(NAME, Duration::from_secs(30)).await?;
    measured
}

async fn send(
    world: &World,
    town: &Town,
    url: &str,
    count: usize,
    rate: u32,
) -> anyhow::Result<Accepted> {
    let client = reqwest::Client::builder()
        .pool_max_idle_per_host(AT_ONCE)
        .timeout(Duration::from_secs(30))
        .build()?;
    until_healthy(&client, url).await?;
    let minter = Minter::new(&Sources::of_environment(world.stack.token_key()).key()?)?;
    let warm_up = (WARM_UP.as_secs_f64() * f64::from(rate)) as usize;
    let under_way = Arc::new(Semaphore::new(AT_ONCE));
    let begin = Instant::now();
    let mut answers = tokio::task::JoinSet::new();
    let mut ids = Vec::with_capacity(count + warm_up);
    for number in 0..count + warm_up {
        let due = begin + Duration::from_secs_f64(number as f64 / f64::from(rate));
        tokio::time::sleep_until(due.into()).await;
        let permit = Arc::clone(&under_way).acquire_owned().await?;
        let id = Uuid::now_v7();
        let from = fastrand::u64(..town.members);
        let to = (from + 1) % town.members;
        let sender = Identity::new(Role::Member, &town.member(from).to_string())?;
        let request = client
            .post(format!("{url}/remittances"))
            .bearer_auth(minter.mint(&sender, TOKEN)?)
            .header("Idempotency-Key", id.to_string())
            .json(&json!({
                "sender_id": town.member(from),
                "receiver": { "member_id": town.member(to) },
                "amount": 1,
            }));
        ids.push(id);
        answers.spawn(async move {
            let status = request.send().await?.error_for_status()?.status();
            drop(permit);
            ensure!(status == 202, "the edge answered {status}");
            anyhow::Ok((number, due.elapsed()))
        });
    }
    let mut histogram: Histogram<u64> = Histogram::new_with_max(3_600_000_000, 3)?;
    while let Some(answer) = answers.join_next().await {
        let (number, took) = answer??;
        if number >= warm_up {
            histogram.saturating_record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
        }
    }
    let seconds = begin.elapsed().as_secs_f64();
    let kept: i64 = sqlx::query(
        "SELECT count(*) FROM queue_log WHERE consumer = 'remittance' AND message_id = ANY($1)",
    )
    .bind(&ids)
    .fetch_one(&world.pool)
    .await?
    .try_get(0)?;
    ensure!(
        kept == ids.len() as i64,
        "queue_log has {kept} of {} accepted requests",
        ids.len()
    );
    Ok(Accepted {
        messages_per_second: ids.len() as f64 / seconds,
        latency_ms: Latency::of(&histogram),
    })
}

async fn until_healthy(client: &reqwest::Client, url: &str) -> anyhow::Result<()> {
    let began = Instant::now();
    loop {
        let health = client.get(format!("{url}/health")).send().await;
        if health.is_ok_and(|health| health.status().is_success()) {
            return Ok(());
        }
        ensure!(
            began.elapsed() < Duration::from_secs(60),
            "the edge at {url} is not healthy after a minute"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
