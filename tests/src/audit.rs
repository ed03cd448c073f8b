//! The verdict of `mypay audit`.

use anyhow::{Context, bail};
use serde::Deserialize;

use crate::world::World;

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
    offenders: serde_json::Value,
}

impl World {
    /// Fails unless the audit finds topics, `queue_log`, ledger, results and the
    /// banks' statements in accord. Waits for what is on its way.
    ///
    /// The end of each test: see [`World::begin`].
    pub async fn audit_is_clean(&self) -> anyhow::Result<()> {
        self.audited("60").await
    }

    /// The same, where only some flows' consumers run: what is before the others
    /// is waited for by nobody.
    pub async fn audit_is_clean_as_it_is(&self) -> anyhow::Result<()> {
        self.audited("1").await
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
