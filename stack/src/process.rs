//! Processes as `/proc` shows them.

use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

/// A process that cannot be mistaken for another: a pid alone is used again
/// once its process is gone, and a stranger would be killed in its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub(crate) pid: i32,
    /// Clock ticks since boot, from `/proc/<pid>/stat`.
    start_time: u64,
    /// Those ticks start again at a reboot, as pids do.
    boot_id: String,
}

/// What a process is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Condition {
    /// Runs.
    Running,
    /// Was stopped with SIGSTOP and waits for SIGCONT.
    Paused,
    /// Is gone, or a zombie that its parent has not reaped.
    Gone,
}

impl Condition {
    /// Does it work, as far as the system can tell?
    pub fn is_running(self) -> bool {
        self == Self::Running
    }
}

struct Stat {
    state: char,
    parent: i32,
    threads: u32,
    start_time: u64,
}

fn stat(pid: i32) -> Option<Stat> {
    parse_stat(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

fn parse_stat(line: &str) -> Option<Stat> {
    // The second field is the program's name in parentheses, with whatever
    // characters that name has: count from the last parenthesis.
    let fields: Vec<&str> = line.rsplit_once(')')?.1.split_whitespace().collect();
    Some(Stat {
        state: fields.first()?.chars().next()?,
        parent: fields.get(1)?.parse().ok()?,
        threads: fields.get(17)?.parse().ok()?,
        start_time: fields.get(19)?.parse().ok()?,
    })
}

fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map(|id| id.trim().to_owned())
        .unwrap_or_default()
}

impl Identity {
    /// Who runs under this pid now.
    pub(crate) fn of(pid: i32) -> Option<Self> {
        let start_time = stat(pid)?.start_time;
        Some(Self {
            pid,
            start_time,
            boot_id: boot_id(),
        })
    }

    pub(crate) fn condition(&self) -> Condition {
        match stat(self.pid) {
            Some(now) if now.start_time == self.start_time && self.boot_id == boot_id() => {
                match now.state {
                    // A JVM's first thread is a zombie while its others still hold
                    // files and ports.
                    'Z' | 'X' if now.threads <= 1 => Condition::Gone,
                    'T' | 't' => Condition::Paused,
                    _ => Condition::Running,
                }
            }
            _ => Condition::Gone,
        }
    }

    pub(crate) fn is_alive(&self) -> bool {
        self.condition() != Condition::Gone
    }

    /// Sends a signal to the process, if it still is this one.
    pub(crate) fn signal(&self, signal: Signal) -> Result<(), Errno> {
        if !self.is_alive() {
            return Err(Errno::ESRCH);
        }
        kill(Pid::from_raw(self.pid), signal)
    }

    /// This process and all that it started, directly or not.
    pub(crate) fn tree(&self) -> Vec<Self> {
        let everyone: Vec<(i32, i32)> = pids()
            .filter_map(|pid| Some((pid, stat(pid)?.parent)))
            .collect();
        let mut tree = vec![self.pid];
        let mut at = 0;
        while at < tree.len() {
            let parent = tree[at];
            tree.extend(
                everyone
                    .iter()
                    .filter(|(_, p)| *p == parent)
                    .map(|(pid, _)| *pid),
            );
            at += 1;
        }
        let descendants = tree[1..].iter().filter_map(|pid| Self::of(*pid));
        std::iter::once(self.clone()).chain(descendants).collect()
    }

    /// Waits until the process is gone; false when it outlived the time.
    pub(crate) async fn wait_gone(&self, limit: Duration) -> bool {
        until(limit, || !self.is_alive()).await
    }
}

fn pids() -> impl Iterator<Item = i32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// Waits until no process works in `dir`. PostgreSQL's backends do so in their
/// data directory; after the postmaster was killed they take a moment to
/// notice, and a new postmaster refuses the directory until they are gone.
pub(crate) async fn wait_unused(dir: &Path, limit: Duration) -> bool {
    let real = std::fs::canonicalize(dir).unwrap_or_else(|_| dir.to_owned());
    until(limit, || {
        !pids()
            .any(|pid| std::fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd == real))
    })
    .await
}

async fn until(limit: Duration, done: impl Fn() -> bool) -> bool {
    let deadline = tokio::time::Instant::now() + limit;
    while !done() {
        if tokio::time::Instant::now() >= deadline {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let line = "42 (a) b (c)) S 7 42 42 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 987654 0 0";
        let stat = parse_stat(line).expect("parses");
        assert_eq!(
            (stat.state, stat.parent, stat.threads, stat.start_time),
            ('S', 7, 1, 987_654)
        );
    }

    #[test]
    fn a_recycled_pid_is_not_taken_for_the_old_process() {
        let me = Identity::of(std::process::id() as i32).expect("I run");
        assert_eq!(me.condition(), Condition::Running);
        let before = Identity {
            start_time: me.start_time - 1,
            ..me
        };
        assert_eq!(before.condition(), Condition::Gone);
        assert_eq!(before.signal(Signal::SIGTERM), Err(Errno::ESRCH));
    }

    #[tokio::test]
    async fn a_tree_has_the_children_of_children() {
        let mut child = tokio::process::Command::new("sh")
            .args(["-c", "sleep 30 & wait"])
            .kill_on_drop(true)
            .spawn()
            .expect("sh");
        let shell = Identity::of(child.id().expect("runs") as i32).expect("runs");
        assert!(until(Duration::from_secs(5), || shell.tree().len() == 2).await);
        for process in shell.tree() {
            process.signal(Signal::SIGKILL).expect("alive");
        }
        child.wait().await.expect("reaped");
    }
}
