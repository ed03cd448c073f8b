//! A client that knows nothing of ours but the registry.

use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, ensure};
use mypay_tests::World;
use mypay_tests::world::workspace;

/// A Python program puts requests on the topics with Confluent's own Avro
/// serializer, by the schemas of the registry, and reads their results.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_knows_only_the_registry_remits_and_reads_its_result() -> anyhow::Result<()> {
    let world = World::begin().await?;
    let members = world.members(2, 10_000).await?;
    let consumer = world.consume("remittance")?;
    let client = workspace().join("tests/outside_client/client.py");
    let output = tokio::process::Command::new(python()?)
        .arg(&client)
        .args(["--bootstrap", &world.endpoints.kafka_bootstrap])
        .args(["--registry", &world.endpoints.registry_url])
        .args(["--sender", &members[0].to_string()])
        .args(["--receiver", &members[1].to_string()])
        .stdin(Stdio::null())
        .output()
        .await
        .with_context(|| client.display().to_string())?;
    let (said, complained) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    eprintln!("{said}{complained}");
    ensure!(
        output.status.success(),
        "the client ended with {}",
        output.status
    );
    world.stop(&consumer).await?;

    let balances = world.balances(&members).await?;
    ensure!(balances[&members[0]] == 10_000 - 700, "{balances:?}");
    ensure!(balances[&members[1]] == 10_000 + 700, "{balances:?}");
    world.audit_is_clean().await
}

/// The interpreter with Confluent's client: `scripts/test` makes it.
fn python() -> anyhow::Result<PathBuf> {
    let python = match std::env::var_os("MYPAY_OUTSIDE_PYTHON") {
        Some(python) => python.into(),
        None => workspace().join(".mypay/venv/bin/python"),
    };
    ensure!(
        python.is_file(),
        "{} is not there: scripts/test makes it",
        python.display()
    );
    Ok(python)
}
