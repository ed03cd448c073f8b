//! The stacks that the tests share, one test at a time on each.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use mypay_schemas::encoders::Encoders;
use mypay_stack::{Condition, Endpoints, Role, Signal, Stack};
use rdkafka::consumer::{BaseConsumer, Consumer};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tokio::sync::{Mutex, MutexGuard};

use crate::programs::Program;
use crate::wait::{blocking, eventually};

/// A stack as the tests of a binary, which run in threads, share it.
struct Place {
    /// Held by the test whose turn it is.
    alone: Mutex<()>,
    /// Whether topics and schemas are there.
    prepared: AtomicBool,
    /// Whether a test began and did not come to its end.
    unsettled: AtomicBool,
}

impl Place {
    const fn new() -> Self {
        Self {
            alone: Mutex::const_new(()),
            prepared: AtomicBool::new(false),
            unsettled: AtomicBool::new(false),
        }
    }
}

/// Tests wait for servers far more than they compute, so two of them at a time
/// are nearly twice as fast. The second stack is started when it is first wanted.
static PLACES: [Place; 2] = [Place::new(), Place::new()];

/// The servers, for one test at a time.
///
/// Tests that use it need a runtime of several threads
/// (`#[tokio::test(flavor = "multi_thread")]`): Kafka's clients block.
pub struct World {
    /// The stack.
    pub stack: Stack,
    /// Where its servers are.
    pub endpoints: Endpoints,
    /// The database.
    pub pool: PgPool,
    /// Writes messages under the ids that the registry gave our schemas.
    pub encoders: Arc<Encoders>,
    /// What programs have in their environment besides the addresses.
    pub variables: Vec<(String, String)>,
    /// When the test began.
    pub(crate) begun: std::time::Instant,
    /// The programs that a test has started and not ended.
    pub(crate) live: std::sync::Mutex<Vec<Program>>,
    place: &'static Place,
    _alone: MutexGuard<'static, ()>,
}

impl World {
    /// Waits for its turn, and brings the stack up and in order: starts servers
    /// that a test before has left dead or paused, ends its programs.
    ///
    /// A test that failed leaves requests that nobody has handled, which would
    /// make the next ones fail too. So a test ends with a clean audit
    /// ([`World::audit_is_clean`]), and one that did not costs the next a new,
    /// empty stack. Its logs are kept in `<home>-failed`.
    pub async fn begin() -> anyhow::Result<Self> {
        let (which, alone) = turn().await;
        let place = &PLACES[which];
        let begun = std::time::Instant::now();
        let stack = Stack::at(homes()[which].clone());
        if place.unsettled.swap(true, Ordering::Relaxed) {
            begin_anew(&stack).await?;
            place.prepared.store(false, Ordering::Relaxed);
        }
        kill_programs(&stack).await?;
        let endpoints = stack.up(|step| eprintln!("stack: {step}")).await?;
        in_sync(&endpoints.kafka_bootstrap).await?;
        if !place.prepared.load(Ordering::Relaxed) {
            prepare(&stack, &endpoints).await?;
            place.prepared.store(true, Ordering::Relaxed);
        }
        let pool = pool(&endpoints.database_url)?;
        mypay_database::migrate(&pool).await?;
        let encoders = Arc::new(Encoders::look_up(&endpoints.registry_url).await?);
        Ok(Self {
            stack,
            endpoints,
            pool,
            encoders,
            variables: Vec::new(),
            begun,
            live: Default::default(),
            place,
            _alone: alone,
        })
    }

    /// Starts servers again that a test has killed, and waits until every
    /// partition is on all of its brokers.
    pub async fn up(&self) -> anyhow::Result<()> {
        self.stack.up(|step| eprintln!("stack: {step}")).await?;
        in_sync(&self.endpoints.kafka_bootstrap).await
    }

    /// Sends a signal to a server or a program, as in `("kafka-2", Signal::SIGKILL)`.
    pub fn signal(&self, service: &str, signal: Signal) -> anyhow::Result<()> {
        eprintln!("stack: {signal} to {service}");
        Ok(self.stack.kill(service, signal)?)
    }

    /// Notes that a test has come to its end, and has left nothing undone.
    pub(crate) fn settled(&self) {
        self.place.unsettled.store(false, Ordering::Relaxed);
    }

    /// Runs `mypay` to its end; gives what it printed, whatever its exit code.
    pub async fn mypay(&self, args: &[&str]) -> anyhow::Result<std::process::Output> {
        mypay(&self.stack, &self.endpoints, &self.variables, args).await
    }
}

/// Waits for a stack that no test uses, and gives which it is.
async fn turn() -> (usize, MutexGuard<'static, ()>) {
    let [first, second] = &PLACES;
    tokio::select! {
        // The first where both are free: one test alone starts one stack.
        biased;
        alone = first.alone.lock() => (0, alone),
        alone = second.alone.lock() => (1, alone),
    }
}

/// A pool whose connections are looked at before use: a test may have killed
/// the database meanwhile.
fn pool(url: &str) -> Result<PgPool, sqlx::Error> {
    PgPoolOptions::new()
        .max_connections(8)
        .test_before_acquire(true)
        .connect_lazy(url)
}

/// The directory of the workspace.
pub fn workspace() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap_or(tests).to_owned()
}

/// The state directories of the tests' stacks: `$MYPAY_HOME`, else `.mypay/test`,
/// and the same with `-2` behind it.
fn homes() -> [PathBuf; 2] {
    let first = match std::env::var_os("MYPAY_HOME").filter(|home| !home.is_empty()) {
        Some(home) => home.into(),
        None => workspace().join(".mypay/test"),
    };
    let mut second = first.clone().into_os_string();
    second.push("-2");
    [first, second.into()]
}

/// The program under test: `$MYPAY_BINARY`, else `target/release/mypay`.
pub fn binary() -> anyhow::Result<PathBuf> {
    let path = match std::env::var_os("MYPAY_BINARY") {
        Some(path) => path.into(),
        None => workspace().join("target/release/mypay"),
    };
    ensure!(
        path.is_file(),
        "{} is not there: run `make build`",
        path.display()
    );
    Ok(path)
}

async fn begin_anew(stack: &Stack) -> anyhow::Result<()> {
    eprintln!("stack: the test before this one did not come to its end; all is made anew");
    kill_programs(stack).await?;
    let mut kept = stack.home().as_os_str().to_owned();
    kept.push(format!("-failed/{}", chrono::Utc::now().format("%H-%M-%S")));
    let kept = PathBuf::from(kept);
    std::fs::create_dir_all(&kept)?;
    stack.down(false, |_| ()).await?;
    std::fs::rename(stack.home().join("logs"), kept.join("logs"))?;
    eprintln!("stack: its logs are in {}", kept.display());
    Ok(stack.down(true, |_| ()).await?)
}

/// A test that failed leaves its programs; they do not concern the next one.
async fn kill_programs(stack: &Stack) -> anyhow::Result<()> {
    let live =
        |role: Option<Role>, condition| role == Some(Role::Program) && condition != Condition::Gone;
    for service in stack.status().await? {
        if live(service.role, service.condition) {
            stack.kill(&service.name, Signal::SIGKILL)?;
            eventually(
                &format!("the end of {}", service.name),
                Duration::from_secs(10),
                async || Ok((!stack.is_running(&service.name)).then_some(())),
            )
            .await?;
        }
    }
    Ok(())
}

/// Topics and schemas, by the program under test.
async fn prepare(stack: &Stack, endpoints: &Endpoints) -> anyhow::Result<()> {
    for args in [["topics", "apply"], ["schemas", "register"]] {
        let output = mypay(stack, endpoints, &[], &args).await?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "mypay {}: {said}", args.join(" "));
    }
    Ok(())
}

async fn mypay(
    stack: &Stack,
    endpoints: &Endpoints,
    variables: &[(String, String)],
    args: &[&str],
) -> anyhow::Result<std::process::Output> {
    tokio::process::Command::new(binary()?)
        .args(args)
        .envs(endpoints.variables())
        .envs(variables.iter().map(|(name, value)| (name, value)))
        .env("MYPAY_HOME", stack.home())
        .stdin(Stdio::null())
        .output()
        .await
        .with_context(|| format!("running mypay {}", args.join(" ")))
}

/// Waits until every partition is on all of its brokers.
async fn in_sync(bootstrap: &str) -> anyhow::Result<()> {
    let client: BaseConsumer = mypay_kafka::client(bootstrap).create()?;
    eventually(
        "all partitions to be in sync",
        Duration::from_secs(120),
        async || {
            let metadata = blocking(|| client.fetch_metadata(None, Duration::from_secs(5)));
            // A broker that has just come back may not answer at once.
            let synced = metadata.is_ok_and(|metadata| {
                metadata.brokers().len() == 3
                    && metadata
                        .topics()
                        .iter()
                        .flat_map(|topic| topic.partitions())
                        .all(|partition| {
                            partition.leader() >= 0
                                && partition.isr().len() == partition.replicas().len()
                        })
            });
            Ok(synced.then_some(()))
        },
    )
    .await
}
