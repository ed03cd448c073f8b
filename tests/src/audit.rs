//! The verdict of `mypay audit`.

use anyhow::{Context, bail, ensure};
use serde::Deserialize;

use crate::world::World;

/// How long an audit waits, seconds.
const LONG: &str = "60";
const SOON: &str = "1";

/// What the audit says of what did not end while it waited; and its end, where no program
/// runs that works on it: tests run what they need.
const WAITED_IN_VAIN: &str = "after the wait:";
const NOBODY: &str = "nobody runs who works on that";

#[derive(Debug, Deserialize)]
struct Verdict {
    verdict: String,
    checks: Vec<Check>,
}

#[derive(Debug, Deserialize)]
struct Check {
    name: String,
    ok: bool,
    compared: u64,
    #[serde(default)]
    notes: Vec<String>,
    offenders: serde_json::Value,
}

impl World {
    /// Fails unless the audit finds topics, `queue_log`, ledger, results and the
    /// banks' statements in accord. Waits for what is on its way.
    ///
    /// The end of each test: see [`World::begin`].
    pub async fn audit_is_clean(&self) -> anyhow::Result<()> {
        self.audited(LONG).await
    }

    /// The same, where only some flows' consumers run: what is before the others
    /// is waited for by nobody.
    pub async fn audit_is_clean_as_it_is(&self) -> anyhow::Result<()> {
        self.audited(SOON).await
    }

    async fn audited(&self, wait: &str) -> anyhow::Result<()> {
        self.bank().await?;
        let output = self.mypay(&["audit", "--json", "--wait", wait]).await?;
        let said = String::from_utf8_lossy(&output.stdout);
        let complained = String::from_utf8_lossy(&output.stderr);
        let verdict: Verdict = serde_json::from_str(&said)
            .with_context(|| format!("mypay audit said {said}\n{complained}"))?;
        let compared: u64 = verdict.checks.iter().map(|check| check.compared).sum();
        let after = self.begun.elapsed().as_secs();
        eprintln!(
            "audit: {}, {compared} compared, after {after} s",
            verdict.verdict
        );
        if verdict.verdict == "clean" && output.status.success() {
            let notes = verdict.checks.iter().flat_map(|check| &check.notes);
            for note in notes.filter(|note| note.starts_with(WAITED_IN_VAIN)) {
                eprintln!("audit: {note}");
                ensure!(wait == SOON || note.ends_with(NOBODY), "{note}");
            }
            self.settled();
            return Ok(());
        }
        let broken = verdict.checks.iter().filter(|check| !check.ok);
        let broken: Vec<String> = broken
            .map(|check| format!("{}: {:#}", check.name, check.offenders))
            .collect();
        bail!("the audit says {}:\n{}", verdict.verdict, broken.join("\n"))
    }
}
