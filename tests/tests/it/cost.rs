//! What a thousand messages cost, in things that can be counted: statements,
//! commits, Kafka transactions, allocations. No timing, so a slow machine
//! changes nothing, and a change that makes a message dearer is seen.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use mypay_consumers::metrics::Metrics;
use mypay_consumers::remittance::Remittance;
use mypay_consumers::runtime::batch::{self, Fence, Mode, Stage};
use mypay_consumers::runtime::handler::{Arrived, Handler, Raw, Verdict};
use mypay_consumers::runtime::intake::Arrival;
use mypay_consumers::runtime::recent::Recent;
use mypay_idempotency::horizon::Horizon;
use mypay_idempotency::lane::{self, Lane};
use mypay_schemas::decoder::Decoder;
use mypay_schemas::{Flow, Request};
use mypay_tests::World;
use mypay_tests::requests::remittance;
use mypay_tests::statements::{Counted, Proxy};
use sqlx::PgPool;
use uuid::Uuid;

use crate::day::LONG;

const THOUSAND: usize = 1_000;
/// A lane that no consumer has.
const PARTITION: i32 = 1_000;

/// BEGIN, fence, look-up of two ids, load, claim, counts, postings, balances,
/// COMMIT. A statement more is a trip to the server for each batch.
const STATEMENTS: usize = 10;
/// Allocations a message from its bytes to its result's, the test's own not
/// counted in.
const ALLOCATIONS: u64 = 20;
/// Commits, and Kafka transactions, a thousand messages of a backlog.
const COMMITS: f64 = 2.0;
/// Requests of the producers to the brokers a thousand messages of a backlog:
/// what ends transactions, and the batches of messages in them.
const REQUESTS: f64 = 40.0;
/// librdkafka tells of its requests once a second.
const TOLD: Duration = Duration::from_millis(2_500);

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_messages_cost_a_handful_of_statements_and_one_commit() -> anyhow::Result<()> {
    let world = World::begin().await?;
    let (proxy, pool, members) = own_database(&world).await?;
    let handler = handler(&world);
    let horizon = Horizon::open(&pool, chrono::Utc::now()).await?;
    let lane = Lane {
        consumer: Flow::Remittance.name(),
        topic: Flow::Remittance.request_topic().to_owned(),
        partition: PARTITION,
    };
    let epoch = lane::raise(&pool, &lane, 0).await?;
    let stage = Stage {
        handler: &handler,
        pool: &pool,
        horizon: &horizon,
        metrics: &Metrics::unread(Flow::Remittance),
    };
    let mut decoder = Decoder::new(&world.endpoints.registry_url);
    let mut costs = Vec::new();
    for batch in 0..2 {
        let mut arrivals = Vec::new();
        for number in 0..THOUSAND {
            let offset = (batch * THOUSAND + number) as i64;
            arrivals.push(Arrival::Request(Box::new(
                arrived(&world, &mut decoder, &members, offset).await?,
            )));
        }
        let before = proxy.counted();
        let fence = Fence {
            lane: &lane,
            epoch,
            emitted: 0,
        };
        let (recent, mode) = (Recent::default(), Mode::default());
        let events = batch::attempt(&stage, &fence, &arrivals, &recent, &mode).await?;
        ensure!(events.len() == THOUSAND, "{} events", events.len());
        costs.push(proxy.counted().since(before));
    }
    // The first batch also prepares its statements.
    let Counted {
        statements,
        commits,
    } = costs[1];
    ensure!(
        statements <= STATEMENTS && commits == 1,
        "{statements} statements and {commits} commits a thousand messages"
    );
    pool.close().await;
    world.audit_is_clean().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_costs_a_dozen_allocations() -> anyhow::Result<()> {
    let world = World::begin().await?;
    let (_proxy, pool, members) = own_database(&world).await?;
    let handler = handler(&world);
    let mut decoder = Decoder::new(&world.endpoints.registry_url);
    let mut payloads = Vec::new();
    for number in 0..THOUSAND {
        let request = remittance(members[number % 200], members[(number + 1) % 200], 1);
        let topic = Flow::Remittance.request_topic();
        payloads.push((
            Uuid::try_parse(&request.message_id)?,
            world.encoders.encode(topic, &request)?,
        ));
    }
    decoder.learn_schema_of(&payloads[0].1).await?;
    let arrivals: Vec<Arrived<_>> = payloads
        .iter()
        .map(|(id, payload)| decoded(&decoder, *id, payload))
        .collect::<Result<_, _>>()?;
    let batch: Vec<&Arrived<_>> = arrivals.iter().collect();
    let at = chrono::Utc::now();
    let mut connection = pool.acquire().await?;
    let mut state = handler.load(&mut connection, &batch, at, false).await?;

    let mut outcome = Ok(());
    let counted = allocation_counter::measure(|| {
        outcome = payloads.iter().try_for_each(|(id, payload)| {
            let arrived = decoded(&decoder, *id, payload)?;
            let Verdict::Handled(outcome) = handler.decide(&mut state, &arrived, at) else {
                anyhow::bail!("a remittance is always answered");
            };
            ensure!(handler.events(&arrived, &outcome)?.len() == 1);
            Ok(())
        });
    });
    outcome?;
    let each = counted.count_total / THOUSAND as u64;
    ensure!(each <= ALLOCATIONS, "{each} allocations a message");
    drop(connection);
    pool.close().await;
    world.audit_is_clean().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_is_worked_off_in_few_large_commits() -> anyhow::Result<()> {
    const BACKLOG: usize = 24_000;
    let world = World::begin().await?;
    let members = world.members(200, 100_000).await?;
    let mut messages = Vec::with_capacity(BACKLOG);
    for number in 0..BACKLOG {
        let request = remittance(members[number % 200], members[(number + 1) % 200], 1);
        messages.push(world.message(Flow::Remittance, &request)?);
    }
    world.send(messages).await?;
    let port = std::net::TcpListener::bind("127.0.0.1:0")?
        .local_addr()?
        .port();
    let listen = format!("127.0.0.1:{port}");
    let consumer = world.start(
        "remittance",
        &["consume", "remittance", "--metrics-listen", &listen],
    )?;
    world.drained(Flow::Remittance, LONG).await?;
    tokio::time::sleep(TOLD).await;
    let metrics = reqwest::get(format!("http://{listen}/metrics"))
        .await?
        .text()
        .await?;
    let sample = |name: &str| -> anyhow::Result<f64> {
        let start = format!("{name} ");
        let line = metrics.lines().find_map(|line| line.strip_prefix(&start));
        Ok(line
            .with_context(|| format!("{name} is not in\n{metrics}"))?
            .parse()?)
    };
    let of_flow = "{flow=\"remittance\"}";
    let of_producers = "{flow=\"remittance\",client=\"producer\"}";
    let thousands = sample(&format!("mypay_consumer_batch_messages_sum{of_flow}"))? / 1_000.0;
    for (name, labels, at_most) in [
        ("batch_messages_count", of_flow, COMMITS),
        ("transaction_events_count", of_flow, COMMITS),
        ("kafka_requests_total", of_producers, REQUESTS),
    ] {
        let each = sample(&format!("mypay_consumer_{name}{labels}"))? / thousands;
        println!("{name}: {each:.2} a thousand messages");
        ensure!(
            each > 0.0 && each <= at_most,
            "{name}: {each:.2} a thousand messages"
        );
    }
    world.stop(&consumer).await?;
    world.audit_is_clean().await
}

/// A new database with members in it, behind a proxy: what is handled there
/// stands in no topic, and would be no business of the audit.
async fn own_database(world: &World) -> anyhow::Result<(Proxy, PgPool, Vec<Uuid>)> {
    sqlx::query("DROP DATABASE IF EXISTS mypay_cost WITH (FORCE)")
        .execute(&world.pool)
        .await?;
    sqlx::query("CREATE DATABASE mypay_cost")
        .execute(&world.pool)
        .await?;
    let (server, _) = world
        .endpoints
        .database_url
        .rsplit_once('/')
        .context("a database's URL")?;
    let proxy = Proxy::before(&format!("{server}/mypay_cost")).await?;
    let pool = mypay_database::pool(&proxy.url, 1)?;
    mypay_database::migrate(&pool).await?;
    let members: Vec<Uuid> = (0..200).map(|_| Uuid::now_v7()).collect();
    mypay_ledger::open_members(&mut *pool.acquire().await?, &members).await?;
    sqlx::query("UPDATE money.account SET balance = 1000")
        .execute(&pool)
        .await?;
    Ok((proxy, pool, members))
}

fn handler(world: &World) -> Remittance {
    Remittance {
        encoders: world.encoders.clone(),
        limits: Arc::default(),
    }
}

async fn arrived(
    world: &World,
    decoder: &mut Decoder,
    members: &[Uuid],
    offset: i64,
) -> anyhow::Result<Arrived<<Remittance as Handler>::Message>> {
    let count = members.len();
    let place = offset as usize;
    let request = remittance(members[place % count], members[(place + 1) % count], 1);
    let payload = world
        .encoders
        .encode(Flow::Remittance.request_topic(), &request)?;
    if offset == 0 {
        decoder.learn_schema_of(&payload).await?;
    }
    let mut arrived = decoded(decoder, Uuid::try_parse(request.message_id())?, &payload)?;
    arrived.offset = offset;
    Ok(arrived)
}

fn decoded(
    decoder: &Decoder,
    id: Uuid,
    payload: &[u8],
) -> anyhow::Result<Arrived<<Remittance as Handler>::Message>> {
    let message = Remittance::decode(decoder, Flow::Remittance.request_topic(), payload)
        .context("the schema is known")??
        .context("a request concerns its flow")?;
    Ok(Arrived {
        id,
        content_hash: Remittance::identity(&message).content_hash,
        partition: PARTITION,
        offset: 0,
        created_at: chrono::Utc::now(),
        traceparent: None,
        message,
        raw: Raw::default(),
    })
}
