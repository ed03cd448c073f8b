//! Consumers, bank and edge as processes.

use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail};
use mypay_stack::Signal;

use crate::wait::eventually;
use crate::world::{World, binary};

/// A program that was killed is gone within this time.
const GONE: Duration = Duration::from_secs(10);
/// A program that is asked to stop gets this time.
const GRACE: Duration = Duration::from_secs(20);

/// What makes a day at the banks pass in seconds.
const QUICK: [(&str, &str); 5] = [
    ("MYPAY_BANK_REST", "off"),
    ("MYPAY_BANK_SETTLING_SECONDS", "2"),
    ("MYPAY_INQUIRY_FIRST_SECONDS", "1"),
    ("MYPAY_INQUIRY_LONGEST_SECONDS", "3"),
    ("MYPAY_BANK_NOTICES_SECONDS", "0.5"),
];

/// A running program of ours. It is not stopped when this is dropped: the next
/// test's [`World::begin`] does so.
#[derive(Debug, Clone)]
pub struct Program {
    name: String,
    args: Vec<String>,
    /// How long its log was when it started: what stands before is not its own.
    log_begin: u64,
}

impl World {
    /// Starts `mypay <args>` under a name; does not wait for it to be ready.
    pub fn start(&self, name: &str, args: &[&str]) -> anyhow::Result<Program> {
        let log = self.stack.log(name);
        let program = Program {
            name: name.to_owned(),
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
            log_begin: std::fs::metadata(log).map_or(0, |log| log.len()),
        };
        let more = self.variables.iter();
        let more = more.map(|(name, value)| (name.as_str(), value.as_str()));
        let env = self
            .endpoints
            .variables()
            .into_iter()
            .chain(QUICK)
            .chain(more);
        self.stack.spawn(name, &binary()?, args, env)?;
        self.live().push(program.clone());
        Ok(program)
    }

    /// Starts the consumer of a flow, under the flow's name.
    pub fn consume(&self, flow: &str) -> anyhow::Result<Program> {
        self.start(flow, &["consume", flow])
    }

    /// Kills a program (`kill -9`) and waits until it is gone.
    pub async fn kill(&self, program: &Program) -> anyhow::Result<()> {
        self.live().retain(|live| live.name != program.name);
        self.stack.kill(&program.name, Signal::SIGKILL)?;
        eventually(&format!("the end of {}", program.name), GONE, async || {
            Ok((!self.stack.is_running(&program.name)).then_some(()))
        })
        .await
    }

    /// Starts a program again that has ended.
    pub fn again(&self, program: &Program) -> anyhow::Result<Program> {
        let args: Vec<&str> = program.args.iter().map(String::as_str).collect();
        self.start(&program.name, &args)
    }

    /// Stops a program in good order.
    pub async fn stop(&self, program: &Program) -> anyhow::Result<()> {
        self.live().retain(|live| live.name != program.name);
        Ok(self.stack.stop(&program.name, GRACE).await?)
    }

    /// Fails if a program has ended that nobody has ended: whoever waits for
    /// what it should do would wait in vain.
    pub fn all_live(&self) -> anyhow::Result<()> {
        let live = self.live();
        let Some(ended) = live.iter().find(|program| !self.is_running(program)) else {
            return Ok(());
        };
        bail!(
            "{} has ended:\n{}",
            ended.name,
            self.stack.log_tail(&ended.name, 10)
        )
    }

    fn live(&self) -> MutexGuard<'_, Vec<Program>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Pauses a program (SIGSTOP), until [`World::resume`].
    pub fn pause(&self, program: &Program) -> anyhow::Result<()> {
        Ok(self.stack.kill(&program.name, Signal::SIGSTOP)?)
    }

    /// Lets a paused program go on.
    pub fn resume(&self, program: &Program) -> anyhow::Result<()> {
        Ok(self.stack.kill(&program.name, Signal::SIGCONT)?)
    }

    /// Whether a program lives; a paused one does.
    pub fn is_running(&self, program: &Program) -> bool {
        self.stack.is_running(&program.name)
    }

    /// What a program has logged since it was started.
    pub fn log(&self, program: &Program) -> anyhow::Result<String> {
        let path = self.stack.log(&program.name);
        let whole = std::fs::read(&path).with_context(|| path.display().to_string())?;
        let own = whole.get(program.log_begin as usize..).unwrap_or_default();
        Ok(String::from_utf8_lossy(own).into_owned())
    }

    /// Waits until a program has logged a text.
    pub async fn await_log(
        &self,
        program: &Program,
        text: &str,
        within: Duration,
    ) -> anyhow::Result<()> {
        eventually(
            &format!("{text:?} in the log of {}", program.name),
            within,
            async || Ok(self.log(program)?.contains(text).then_some(())),
        )
        .await
    }

    /// Waits until a consumer has been given its partitions.
    pub async fn assigned(&self, consumer: &Program) -> anyhow::Result<()> {
        self.await_log(consumer, "partitions assigned", Duration::from_secs(60))
            .await
    }

    /// Starts the dummy bank, if it does not run, and waits until it answers.
    pub async fn bank(&self) -> anyhow::Result<()> {
        let url = &self.endpoints.bank_url;
        if !self.stack.is_running("bank") {
            self.start("bank", &["bank", "serve", "--listen", host_and_port(url)])?;
        }
        answers(url).await
    }

    /// Kills the dummy bank (`kill -9`); [`World::bank`] starts it again.
    pub async fn kill_bank(&self) -> anyhow::Result<()> {
        let bank = self.live().iter().find(|it| it.name == "bank").cloned();
        self.kill(&bank.context("the bank does not run")?).await
    }

    /// Starts a new HTTP edge, in place of one that runs: its log and its counts
    /// begin with it.
    pub async fn edge_anew(&self) -> anyhow::Result<Program> {
        let edge = self.live().iter().find(|it| it.name == "edge").cloned();
        if let Some(edge) = edge {
            self.stop(&edge).await?;
        }
        self.edge().await?;
        let edge = self.live().iter().find(|it| it.name == "edge").cloned();
        edge.context("the edge was started")
    }

    /// Starts the HTTP edge, if it does not run, and waits until it answers.
    pub async fn edge(&self) -> anyhow::Result<()> {
        let url = &self.endpoints.api_url;
        if !self.stack.is_running("edge") {
            self.start("edge", &["serve", "--listen", host_and_port(url)])?;
        }
        answers(url).await
    }
}

/// What stands between the scheme and the path of a URL.
fn host_and_port(url: &str) -> &str {
    url.split_once("://")
        .map_or(url, |(_, rest)| rest)
        .trim_end_matches('/')
}

/// Waits until something answers at a URL, whatever it says.
async fn answers(url: &str) -> anyhow::Result<()> {
    let client = reqwest::Client::builder()
        .timeout(Duration::from_secs(2))
        .build()?;
    eventually(
        &format!("an answer from {url}"),
        Duration::from_secs(30),
        async || Ok(client.get(url).send().await.ok().map(drop)),
    )
    .await
}
