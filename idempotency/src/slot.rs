//! The stable name of a process among its like.
//!
//! Transactional ids, static group membership and the outbox need names that
//! stay the same when a process is started again, and that no two processes
//! have at once. A process takes the lowest slot of its role that is free: one
//! that was given back, whose owner has died, or has not been heard of for
//! [`STALE`]. By taking the dead one's slot it also ends what the dead one left
//! hanging in Kafka, so that no reader waits for a transaction nobody will end.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use sqlx::{PgPool, Row};
use tokio::sync::watch;
use uuid::Uuid;

/// A slot whose owner has been silent for so long is free.
pub const STALE: Duration = Duration::from_secs(8);
/// The role of the workers that make calls to banks; a flow's consumers have its name.
pub const BANK_WORKERS: &str = "bank";
const HEARTBEAT: Duration = Duration::from_secs(1);

/// The roles of which processes run, and how many of each: those that have a slot and
/// were heard of within [`STALE`].
pub async fn running(pool: &PgPool) -> Result<HashMap<String, i64>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT role, count(*) FROM slot
          WHERE seen_at > now() - make_interval(secs => $1) GROUP BY role",
    )
    .bind(STALE.as_secs_f64())
    .fetch_all(pool)
    .await?;
    rows.iter()
        .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
        .collect()
}

/// A slot that this process holds, until it is dropped, given back or lost.
pub struct Slot {
    pool: PgPool,
    role: String,
    number: i32,
    owner: Uuid,
    lost: watch::Receiver<bool>,
    heartbeat: tokio::task::JoinHandle<()>,
}

impl Slot {
    /// Takes the lowest free slot of a role.
    pub async fn take(pool: &PgPool, role: &str) -> Result<Self, sqlx::Error> {
        let owner = Uuid::now_v7();
        let number = loop {
            match try_take(pool, role, owner).await? {
                Some(number) => break number,
                // Two processes met at the same number; the next round sees it.
                None => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        };
        let (lose, lost) = watch::channel(false);
        let heartbeat = tokio::spawn(beat(pool.clone(), role.to_string(), number, owner, lose));
        Ok(Self {
            pool: pool.clone(),
            role: role.to_string(),
            number,
            owner,
            lost,
            heartbeat,
        })
    }

    /// The name: the role and the number, as in `remittance-0`.
    pub fn name(&self) -> String {
        format!("{}-{}", self.role, self.number)
    }

    /// Turns true when another has taken the slot: this process was silent too
    /// long, and must stop what it does under the name.
    pub fn lost(&self) -> watch::Receiver<bool> {
        self.lost.clone()
    }

    /// Gives the slot back, so that the next process need not wait.
    pub async fn give_back(self) -> Result<(), sqlx::Error> {
        self.heartbeat.abort();
        sqlx::query(
            "UPDATE slot SET seen_at = '-infinity' WHERE role = $1 AND slot = $2 AND owner = $3",
        )
        .bind(&self.role)
        .bind(self.number)
        .bind(self.owner)
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.heartbeat.abort();
    }
}

async fn try_take(pool: &PgPool, role: &str, owner: Uuid) -> Result<Option<i32>, sqlx::Error> {
    let host = host();
    let mut transaction = pool.begin().await?;
    let rows = sqlx::query(
        "SELECT slot, host, pid, started, seen_at < now() - make_interval(secs => $2)
           FROM slot WHERE role = $1 ORDER BY slot FOR UPDATE",
    )
    .bind(role)
    .bind(STALE.as_secs_f64())
    .fetch_all(&mut *transaction)
    .await?;
    let mut free = None;
    let mut next = 0;
    for row in &rows {
        let number: i32 = row.try_get(0)?;
        next = number + 1;
        let stale: bool = row.try_get(4)?;
        let here = row.try_get::<String, _>(1)? == host;
        if stale || (here && !is_alive(row.try_get(2)?, row.try_get(3)?)) {
            free = Some(number);
            break;
        }
    }
    let number = free.unwrap_or(next);
    let pid = std::process::id() as i32;
    let taken = sqlx::query(
        "INSERT INTO slot AS s (role, slot, owner, host, pid, started, seen_at)
         VALUES ($1, $2, $3, $4, $5, $6, now())
         ON CONFLICT (role, slot) DO UPDATE
            SET owner = EXCLUDED.owner, host = EXCLUDED.host, pid = EXCLUDED.pid,
                started = EXCLUDED.started, seen_at = now()
          WHERE $7",
    )
    .bind(role)
    .bind(number)
    .bind(owner)
    .bind(host)
    .bind(pid)
    .bind(started_at(pid).unwrap_or(0))
    .bind(free.is_some())
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok((taken.rows_affected() == 1).then_some(number))
}

/// The machine, its boot and the pid namespace: a pid means something only there.
fn host() -> String {
    let name = nix::unistd::gethostname().unwrap_or_default();
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let namespace = std::fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    format!(
        "{} {} {}",
        name.to_string_lossy(),
        boot.trim(),
        namespace.display()
    )
}

async fn beat(pool: PgPool, role: String, number: i32, owner: Uuid, lose: watch::Sender<bool>) {
    loop {
        tokio::time::sleep(HEARTBEAT).await;
        let beaten = sqlx::query(
            "UPDATE slot SET seen_at = now() WHERE role = $1 AND slot = $2 AND owner = $3",
        )
        .bind(&role)
        .bind(number)
        .bind(owner)
        .execute(&pool)
        .await;
        match beaten {
            Ok(done) if done.rows_affected() == 0 => {
                tracing::warn!(role, number, "another process has taken this one's slot");
                // Nobody listens any more: the process is stopping.
                let _ = lose.send(true);
                return;
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(role, number, %error, "the slot's heartbeat failed"),
        }
    }
}

/// Whether the process of that pid is the one that started then.
fn is_alive(pid: i32, started: i64) -> bool {
    started_at(pid).is_some_and(|at| at == started)
}

/// When a process started, in clock ticks since the machine did.
fn started_at(pid: i32) -> Option<i64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name in brackets and may hold blanks;
    // the start is the 22nd field, the 20th after the closing bracket.
    let fields = stat.rsplit_once(')')?.1;
    let mut fields = fields.split_ascii_whitespace();
    // A zombie has ended, though its parent has not looked yet.
    if fields.next()? == "Z" {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

/// A lost slot, for those who wait for it among other things.
pub async fn until_lost(mut lost: watch::Receiver<bool>) {
    // An error means that the slot was dropped, which is not a loss.
    if lost.wait_for(|lost| *lost).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// A shared slot.
pub type SharedSlot = Arc<Slot>;

impl Slot {
    /// Takes this very slot, where its owner is gone; `None` where it lives, or
    /// where the slot never was.
    ///
    /// For what the dead left under its name: whoever takes the lowest free slot
    /// may get another one.
    pub async fn take_number(
        pool: &PgPool,
        role: &str,
        number: i32,
    ) -> Result<Option<Self>, sqlx::Error> {
        let owner = Uuid::now_v7();
        if !try_take_number(pool, role, number, owner).await? {
            return Ok(None);
        }
        let (lose, lost) = watch::channel(false);
        let heartbeat = tokio::spawn(beat(pool.clone(), role.to_string(), number, owner, lose));
        Ok(Some(Self {
            pool: pool.clone(),
            role: role.to_string(),
            number,
            owner,
            lost,
            heartbeat,
        }))
    }
}

async fn try_take_number(
    pool: &PgPool,
    role: &str,
    number: i32,
    owner: Uuid,
) -> Result<bool, sqlx::Error> {
    let host = host();
    let mut transaction = pool.begin().await?;
    let row = sqlx::query(
        "SELECT host, pid, started, seen_at < now() - make_interval(secs => $3)
           FROM slot WHERE role = $1 AND slot = $2 FOR UPDATE",
    )
    .bind(role)
    .bind(number)
    .bind(STALE.as_secs_f64())
    .fetch_optional(&mut *transaction)
    .await?;
    let Some(row) = row else {
        return Ok(false);
    };
    let here = row.try_get::<String, _>(0)? == host;
    let dead = here && !is_alive(row.try_get(1)?, row.try_get(2)?);
    if !dead && !row.try_get::<bool, _>(3)? {
        return Ok(false);
    }
    let pid = std::process::id() as i32;
    sqlx::query(
        "UPDATE slot SET owner = $3, host = $4, pid = $5, started = $6, seen_at = now()
          WHERE role = $1 AND slot = $2",
    )
    .bind(role)
    .bind(number)
    .bind(owner)
    .bind(host)
    .bind(pid)
    .bind(started_at(pid).unwrap_or(0))
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(true)
}
