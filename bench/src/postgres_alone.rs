//! PostgreSQL alone: the same rows, made inside it, with no one else at work.
//!
//! What the rows are made from lies ready in a table; a procedure puts them into
//! `queue_log`, the accounts and the postings, a thousand requests a commit. No
//! bytes come over a connection, nothing is decoded or decided: faster than this
//! nobody writes these rows on this machine with one (or two) sessions.

use std::time::{Duration, Instant};

use anyhow::Context;
use serde::Serialize;
use uuid::Uuid;

use crate::requests::{Load, Maker};
use crate::town::{Town, copy_lines};
use crate::usage::until_quiet;
use crate::world::World;

/// How many requests a commit.
const A_COMMIT: i64 = 1_000;

/// Requests a second whose rows were written.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct PostgresAlone {
    /// By one session.
    pub one_session: f64,
    /// By two at once.
    pub two_sessions: f64,
}

const PROCEDURE: &str = r#"
CREATE OR REPLACE PROCEDURE bench.write(first bigint, last bigint, a_commit bigint)
LANGUAGE plpgsql AS $$
BEGIN
    SET enable_hashjoin = off;
    SET enable_mergejoin = off;
    SET enable_seqscan = off;
    WHILE first < last LOOP
        INSERT INTO queue_log (consumer, message_id, status, created_timestamp,
                processed_timestamp, processed_status, content_hash, topic, partition, "offset",
                attempts)
        SELECT 'bench-postgres', id, 'done', at, at, 'success', hash, 'my.remittance.request', 0,
               n, 1
          FROM bench.request WHERE n >= first AND n < first + a_commit ORDER BY n;
        INSERT INTO money.posting (entry_id, line, kind, debit, credit, amount, posted_at)
        SELECT id, 0, 2, sender, receiver, amount, at
          FROM bench.request WHERE n >= first AND n < first + a_commit ORDER BY n;
        UPDATE money.account a
           SET balance = a.balance + c.change, sent = a.sent + c.sent, sent_on = '2026-01-01'
          FROM (SELECT id, sum(change)::bigint AS change, sum(sent)::bigint AS sent
                  FROM (SELECT sender AS id, -amount AS change, amount AS sent
                          FROM bench.request WHERE n >= first AND n < first + a_commit
                        UNION ALL
                        SELECT receiver, amount, 0
                          FROM bench.request WHERE n >= first AND n < first + a_commit) AS sides
                 GROUP BY id ORDER BY id) AS c
         WHERE a.account_id = c.id AND a.balance + c.change >= 0;
        COMMIT;
        first := first + a_commit;
    END LOOP;
END $$"#;

/// Writes the rows of so many remittances, by one session and by two.
pub async fn measure(world: &World, town: &Town, count: usize) -> anyhow::Result<PostgresAlone> {
    for statement in [
        "CREATE SCHEMA IF NOT EXISTS bench",
        "DROP TABLE IF EXISTS bench.request",
        "CREATE UNLOGGED TABLE bench.request (n bigint PRIMARY KEY, id uuid, sender uuid,
             receiver uuid, amount bigint, hash bytea, at timestamptz)",
        PROCEDURE,
    ] {
        sqlx::query(statement).execute(&world.pool).await?;
    }
    let count = count as i64 / (2 * A_COMMIT) * (2 * A_COMMIT);
    fill(world, town, 2 * count).await?;
    let one_session = timed(world, &[(0, count)]).await?;
    let half = count + count / 2;
    let two_sessions = timed(world, &[(count, half), (half, 2 * count)]).await?;
    sqlx::query("DROP SCHEMA bench CASCADE")
        .execute(&world.pool)
        .await?;
    Ok(PostgresAlone {
        one_session,
        two_sessions,
    })
}

async fn fill(world: &World, town: &Town, count: i64) -> anyhow::Result<()> {
    let maker = Maker {
        flow: mypay_schemas::Flow::Remittance,
        town,
        load: Load::Even,
        encoders: &world.encoders,
    };
    let at = chrono::Utc::now().format("%F %T%.6f+00");
    let lines = (0..count).map(|n| {
        let request = maker.make()?;
        let to = request.to.context("a remittance has a receiver")?;
        let hash = Uuid::from_u128(fastrand::u128(..)).simple();
        Ok(format!(
            "{n}\t{}\t{}\t{}\t{}\t\\\\x{hash}\t{at}\n",
            request.id,
            town.member(request.from),
            town.member(to),
            request.amount,
        ))
    });
    copy_lines(&world.pool, "COPY bench.request FROM STDIN", lines).await?;
    sqlx::query("VACUUM ANALYZE bench.request")
        .execute(&world.pool)
        .await?;
    Ok(())
}

/// Runs the procedure over these ranges at once; gives requests a second.
async fn timed(world: &World, ranges: &[(i64, i64)]) -> anyhow::Result<f64> {
    until_quiet(Duration::from_secs(30)).await;
    let began = Instant::now();
    let calls = ranges.iter().map(|(first, last)| async move {
        // Not in a transaction of its own: the procedure commits.
        sqlx::query("CALL bench.write($1, $2, $3)")
            .bind(first)
            .bind(last)
            .bind(A_COMMIT)
            .execute(&world.pool)
            .await
    });
    futures::future::try_join_all(calls).await?;
    let written: i64 = ranges.iter().map(|(first, last)| last - first).sum();
    Ok(written as f64 / began.elapsed().as_secs_f64())
}
