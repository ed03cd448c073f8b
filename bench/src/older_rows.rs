//! Rows of `queue_log` that are there before a measurement: whether a message costs
//! the same with a million of them and with fifty.

use anyhow::Context;
use chrono::Utc;
use mypay_idempotency::horizon::WEEK;
use mypay_schemas::Flow;
use mypay_schemas::identity::lower_bound;
use sqlx::PgPool;

/// How many rows a commit.
const A_COMMIT: i64 = 1_000_000;

/// Ids as clients make them (UUIDv7: the time in milliseconds, then chance), evenly over
/// the time.
const ROWS: &str = r#"
INSERT INTO queue_log (consumer, message_id, status, created_timestamp, processed_timestamp,
                       processed_status, content_hash, topic, partition, "offset", attempts)
SELECT $1,
       (lpad(to_hex(at), 12, '0') || '7' || substr(chance, 1, 3) || '8' || substr(chance, 4, 15))::uuid,
       'done', to_timestamp(at / 1000.0), to_timestamp(at / 1000.0), 'success',
       decode(chance, 'hex'), $2, n % 6, n / 6, 1
  FROM generate_series($3::bigint, $4::bigint) AS n,
       LATERAL (SELECT $5::bigint + n * $6::bigint / $7::bigint AS at,
                       md5(gen_random_uuid()::text) AS chance) AS drawn"#;

/// Puts rows into the partition of `queue_log` that the run itself writes to, until there
/// are so many; `said` hears of every few million.
///
/// # Errors
/// PostgreSQL's.
pub async fn ensure_rows(
    pool: &PgPool,
    flow: Flow,
    wanted: u64,
    said: impl Fn(&str),
) -> anyhow::Result<()> {
    let now = Utc::now().timestamp_millis();
    let span = now.rem_euclid(WEEK);
    let there: i64 = sqlx::query_scalar("SELECT count(*) FROM queue_log WHERE message_id >= $1")
        .bind(lower_bound(now - span))
        .fetch_one(pool)
        .await?;
    let lacking = wanted as i64 - there;
    let mut first = 0;
    while first < lacking {
        let last = (first + A_COMMIT).min(lacking);
        sqlx::query(ROWS)
            .bind(flow.name())
            .bind(flow.request_topic())
            .bind(first)
            .bind(last - 1)
            .bind(now - span)
            .bind(span)
            .bind(lacking)
            .execute(pool)
            .await
            .context("rows of queue_log")?;
        first = last;
        if first % (5 * A_COMMIT) == 0 || first == lacking {
            said(&format!("{} rows in queue_log", there + first));
        }
    }
    if lacking > 0 {
        // As it would be after days; else autovacuum would work through the measurement.
        sqlx::query("VACUUM (ANALYZE) queue_log")
            .execute(pool)
            .await?;
        sqlx::query("CHECKPOINT").execute(pool).await?;
    }
    Ok(())
}
