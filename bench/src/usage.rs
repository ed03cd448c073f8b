//! What processes use, as the kernel counts it.

use std::collections::HashMap;
use std::time::Duration;

use mypay_stack::Stack;
use procfs::process::{Process, all_processes};
use serde::Serialize;

/// The servers and programs whose use is told.
const BROKERS: [&str; 3] = ["kafka-1", "kafka-2", "kafka-3"];

/// CPU time that was used since the processes began.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Cpu {
    /// Of all brokers, seconds.
    pub brokers: f64,
    /// Of PostgreSQL with all of its processes, seconds.
    pub postgres: f64,
    /// Of our consumers, seconds.
    pub consumers: f64,
    /// Of the measuring program itself, seconds.
    pub bench: f64,
}

impl Cpu {
    /// What was used up to now.
    pub fn now(stack: &Stack, consumers: &[String]) -> Self {
        let tree = Tree::read();
        let of = |name: &str| stack.pid(name).map_or(0.0, |pid| tree.cpu(pid));
        Self {
            brokers: BROKERS.iter().map(|broker| of(broker)).sum(),
            postgres: of("postgres"),
            consumers: consumers.iter().map(|name| of(name)).sum(),
            bench: tree.cpu(std::process::id().try_into().unwrap_or_default()),
        }
    }

    /// What was used since an earlier reading.
    pub fn since(self, earlier: Self) -> Self {
        Self {
            brokers: self.brokers - earlier.brokers,
            postgres: self.postgres - earlier.postgres,
            consumers: self.consumers - earlier.consumers,
            bench: self.bench - earlier.bench,
        }
    }
}

/// The most memory that a process ever held, MB.
pub fn peak_rss_mb(pid: i32) -> Option<f64> {
    let status = Process::new(pid).ok()?.status().ok()?;
    Some(status.vmhwm? as f64 / 1_024.0)
}

/// All processes with their parents.
struct Tree {
    children: HashMap<i32, Vec<i32>>,
    ticks: HashMap<i32, u64>,
}

impl Tree {
    fn read() -> Self {
        let mut tree = Self {
            children: HashMap::new(),
            ticks: HashMap::new(),
        };
        for process in all_processes().into_iter().flatten().flatten() {
            if let Ok(stat) = process.stat() {
                tree.children.entry(stat.ppid).or_default().push(stat.pid);
                // With what children used that have ended.
                let ended = u64::try_from(stat.cutime + stat.cstime).unwrap_or_default();
                tree.ticks.insert(stat.pid, stat.utime + stat.stime + ended);
            }
        }
        tree
    }

    fn cpu(&self, pid: i32) -> f64 {
        let mut ticks = 0;
        let mut left = vec![pid];
        while let Some(pid) = left.pop() {
            // The measuring program's children are counted by their own names.
            if pid != std::process::id() as i32 {
                left.extend(self.children.get(&pid).into_iter().flatten());
            }
            ticks += self.ticks.get(&pid).copied().unwrap_or_default();
        }
        ticks as f64 / procfs::ticks_per_second() as f64
    }
}

/// Waits until nobody else uses the machine much; tells the load that is left.
///
/// A measurement beside a build measures the build.
pub async fn until_quiet(patience: Duration) -> f64 {
    let began = std::time::Instant::now();
    loop {
        let before = busy_ticks();
        tokio::time::sleep(Duration::from_secs(1)).await;
        let busy = (busy_ticks() - before) / procfs::ticks_per_second() as f64;
        if busy < 0.3 || began.elapsed() > patience {
            return busy;
        }
    }
}

/// Ticks in which any core was busy.
fn busy_ticks() -> f64 {
    use procfs::CurrentSI;
    procfs::KernelStats::current().map_or(0.0, |stats| {
        let total = stats.total;
        (total.user + total.system + total.nice) as f64
    })
}
