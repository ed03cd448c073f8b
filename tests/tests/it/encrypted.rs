//! Every connection encrypted, and none let in without a password.

use std::time::Duration;

use anyhow::ensure;
use mypay_schemas::decoder::Decoder;
use mypay_schemas::remittance::RemittanceResult;
use mypay_schemas::{Flow, ResultStatus};
use mypay_tests::World;
use mypay_tests::encrypted::{ANOTHER, Encrypted};
use mypay_tests::eventually;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use serde_json::json;
use sqlx::postgres::PgPoolOptions;

/// How long a remittance may take that finds all of it cold.
const PATIENCE: Duration = Duration::from_secs(60);

/// A remittance through the outbox, the relay, the consumer and its transactions, with a
/// broker that asks for TLS and a password, a database whose certificate is checked, and
/// a registry behind https.
#[tokio::test(flavor = "multi_thread")]
async fn a_remittance_goes_through_where_nothing_is_in_the_clear() -> anyhow::Result<()> {
    let mut world = World::begin().await?;
    let encrypted = Encrypted::begin(&world).await?;
    let plain = (world.endpoints.clone(), world.pool.clone());
    world
        .endpoints
        .kafka_bootstrap
        .clone_from(&encrypted.bootstrap);
    world
        .endpoints
        .database_url
        .clone_from(&encrypted.database_url);
    world
        .endpoints
        .registry_url
        .clone_from(&encrypted.registry_url);
    world.pool = PgPoolOptions::new().connect_lazy(&encrypted.database_url)?;
    mypay_database::migrate(&world.pool).await?;
    let file = |password| encrypted.properties(password);
    let authority = encrypted.authority.display().to_string();
    world.variables = vec![
        // OpenSSL's own variable: the authorities that https is believed by.
        ("SSL_CERT_FILE".into(), authority),
        (
            "MYPAY_KAFKA_PROPERTIES".into(),
            file(encrypted.password())?.display().to_string(),
        ),
    ];

    let members = world.members(2, 10_000).await?;
    let reader: BaseConsumer = encrypted
        .client()
        .set("group.id", "encrypted")
        .set("auto.offset.reset", "earliest")
        .set("isolation.level", "read_committed")
        .create()?;
    reader.subscribe(&[Flow::Remittance.result_topic()])?;
    let requests = world.stack.home().join("encrypted/requests.jsonl");
    let request = json!({
        "sender_id": members[0], "receiver": { "member_id": members[1] }, "amount": 700,
    });
    std::fs::write(&requests, request.to_string())?;
    let consumer = world.consume("remittance")?;
    let requests = requests.display().to_string();
    let produced = world
        .mypay(&["produce", "remittance", "--file", &requests])
        .await?;
    let said = String::from_utf8_lossy(&produced.stderr);
    ensure!(produced.status.success(), "mypay produce: {said}");

    let result = eventually("the result", PATIENCE, async || {
        let polled = tokio::task::block_in_place(|| reader.poll(Duration::from_millis(200)));
        let payload =
            |message: &rdkafka::message::BorrowedMessage<'_>| message.payload().map(<[u8]>::to_vec);
        Ok(polled.and_then(Result::ok).as_ref().and_then(payload))
    })
    .await?;
    let mut decoder = Decoder::new(&plain.0.registry_url);
    decoder.learn_schema_of(&result).await?;
    let result: RemittanceResult = decoder.decode_cached(&result).expect("learnt")?;
    ensure!(result.status == ResultStatus::Completed, "{result:?}");
    let balances = world.balances(&members).await?;
    ensure!(balances[&members[0]] == 10_000 - 700, "{balances:?}");
    let (all, are_encrypted) = encrypted.sessions().await?;
    ensure!(
        all > 1 && all == are_encrypted,
        "{are_encrypted} of {all} sessions"
    );
    world.stop(&consumer).await?;

    // Who has another password, or none, is not let in, and is told why.
    for (properties, why) in [
        (Some(file("another")?), "Authentication failed"),
        (None, "MYPAY_KAFKA_PROPERTIES"),
    ] {
        let path = properties.map_or_else(String::new, |path| path.display().to_string());
        world.variables[1].1 = path;
        let refused = world.mypay(&["topics", "drift"]).await?;
        let said = String::from_utf8_lossy(&refused.stderr);
        ensure!(
            refused.status.code() == Some(2) && said.contains(why),
            "{said}"
        );
    }
    // A server that we do not believe is told nothing.
    world.variables.clear();
    let url = &mut world.endpoints.database_url;
    *url = url.replace("authority.pem", ANOTHER);
    let refused = world.mypay(&["purge", "--dry-run"]).await?;
    let said = String::from_utf8_lossy(&refused.stderr);
    ensure!(said.contains("certificate verify failed"), "{said}");

    world.pool.close().await;
    (world.endpoints, world.pool) = plain;
    encrypted.end(&world).await?;
    world.audit_is_clean().await
}
