//! Our own processes: the dummy bank, the edge, a consumer a flow.

use std::time::Duration;

use anyhow::{Context, bail};
use mypay_bank::dummy::Dial;
use mypay_bank::{BankClient, ClientConfig};
use mypay_schemas::Flow;
use mypay_stack::{Endpoints, Stack};
use mypay_topics::{Cluster, Plan, Profile};

/// Applies the topics, registers the schemas and brings the tables up to date.
pub(crate) async fn prepare(endpoints: &Endpoints, say: &impl Fn(&str)) -> anyhow::Result<()> {
    let plan = Plan::load(Profile::Local)?;
    let applied = Cluster::new(&endpoints.kafka_bootstrap)?
        .apply(&plan)
        .await?;
    say(&format!(
        "topics: {} planned, {}",
        plan.topics.len(),
        if applied.changed {
            "and the cluster brought to it"
        } else {
            "all as planned"
        }
    ));
    let registered = mypay_schemas::registry::register_all(&endpoints.registry_url).await?;
    say(&format!("schemas: {} registered", registered.len()));
    let pool = mypay_database::pool(&endpoints.database_url, 1)?;
    mypay_database::migrate(&pool)
        .await
        .context("bringing the tables up to date")?;
    Ok(())
}

/// Starts what does not run yet.
pub(super) async fn start(
    stack: &Stack,
    endpoints: &Endpoints,
    say: &impl Fn(&str),
) -> anyhow::Result<()> {
    let mypay = std::env::current_exe().context("the path of this program")?;
    let mut env: Vec<(&str, String)> = endpoints
        .variables()
        .iter()
        .map(|(name, value)| (*name, (*value).to_string()))
        .collect();
    // A day on the local stack is minutes long: no bank rests in it, and what
    // is unknown is inquired about after a second, not after five minutes.
    env.push(("MYPAY_BANK_REST", "off".into()));
    env.push(("MYPAY_BANK_SETTLING_SECONDS", "2".into()));
    env.push(("MYPAY_INQUIRY_FIRST_SECONDS", "1".into()));
    env.push(("MYPAY_INQUIRY_LONGEST_SECONDS", "5".into()));
    env.push(("MYPAY_BANK_NOTICES_SECONDS", "1".into()));
    let listen = |url: &str| -> anyhow::Result<String> {
        url.split_once("://")
            .map(|(_, address)| address.trim_end_matches('/').to_string())
            .with_context(|| format!("'{url}' is no URL"))
    };
    let mut programs: Vec<(String, Vec<String>)> = vec![
        (
            "bank".into(),
            vec![
                "bank".into(),
                "serve".into(),
                "--listen".into(),
                listen(&endpoints.bank_url)?,
            ],
        ),
        (
            "edge".into(),
            vec![
                "serve".into(),
                "--listen".into(),
                listen(&endpoints.api_url)?,
            ],
        ),
    ];
    for flow in Flow::ALL {
        programs.push((
            flow.name().into(),
            vec!["consume".into(), flow.name().into()],
        ));
    }
    for (name, args) in programs {
        if !stack.is_running(&name) {
            let pid = stack.spawn(
                &name,
                &mypay,
                args,
                env.iter().map(|(key, value)| (key, value)),
            )?;
            say(&format!("{name} runs as process {pid}"));
        }
    }
    Ok(())
}

/// How long after its execution a bank undoes a payout.
pub(super) const REVERSAL: Duration = Duration::from_secs(2);

/// The bank's faults on this day.
pub(super) fn faults(seed: u64, lost_answers: f64, resting: Option<&str>) -> anyhow::Result<Dial> {
    let mut dial = Dial {
        seed,
        reversal_ms: REVERSAL.as_millis() as u64,
        ..Dial::default()
    };
    dial.set(&format!("lost_answer={lost_answers}"))?;
    // Only what goes from bank to bank can come back: see the town's outsiders.
    dial.set("late_reversal=0.1")?;
    dial.set("lost_notice=0.2")?;
    if let Some(resting) = resting {
        dial.banks.entry(resting.to_owned()).or_default().resting = true;
    }
    Ok(dial)
}

/// Sets the bank's faults, once it answers.
pub(super) async fn dial_bank(endpoints: &Endpoints, dial: &Dial) -> anyhow::Result<BankClient> {
    let bank = BankClient::new(ClientConfig::of_environment(&endpoints.bank_url)?)?;
    for _ in 0..50 {
        if bank.dial_faults(dial).await.is_ok() {
            return Ok(bank);
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    bail!("the dummy bank at {} does not answer", endpoints.bank_url)
}
