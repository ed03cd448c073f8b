//! Weeks of `queue_log` from before its horizon.

use anyhow::ensure;
use chrono::{DateTime, Utc};
use mypay_idempotency::horizon::purge::{drop_week, old, tell};
use mypay_idempotency::horizon::{HORIZON_WEEKS, Horizon, oldest};
use mypay_schemas::identity::lower_bound;
use mypay_tests::World;
use uuid::Uuid;

const WEEK: i64 = 7 * 24 * 3_600_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_week_goes_when_nothing_of_it_is_under_way() -> anyhow::Result<()> {
    let world = World::begin().await?;
    let pool = &world.pool;
    let now = Utc::now();
    let horizon = Horizon::open(pool, now).await?;
    let kept = now.timestamp_millis().div_euclid(WEEK) - HORIZON_WEEKS;
    let (older, younger) = (kept - 2, kept - 1);
    let open = lower_bound(younger * WEEK + 1);
    for (week, id, status) in [
        (older, lower_bound(older * WEEK + 1), "done"),
        (younger, open, "processing"),
    ] {
        week_with_a_row(&world, week, id, status).await?;
    }
    ensure!(remembered(&world).await? == older * WEEK);

    let weeks = old(pool, now).await?;
    let seen: Vec<(i64, i64)> = weeks.iter().map(|week| (week.week, week.open)).collect();
    ensure!(seen == [(older, 0), (younger, 1)], "{seen:?}");

    // As soon as it is told, nothing is claimed there; what is younger is.
    tell(pool, younger, now).await?;
    horizon.renew(pool, now).await?;
    let follows = true;
    ensure!(
        horizon
            .check(lower_bound(older * WEEK + 2), now, follows)
            .is_err()
    );
    ensure!(
        horizon
            .check(lower_bound(younger * WEEK + 2), now, follows)
            .is_ok()
    );
    ensure!(drop_week(pool, older).await?);
    ensure!(!drop_week(pool, younger).await?, "one of it is under way");
    ensure!(remembered(&world).await? == younger * WEEK);

    // An older horizon that is told late takes nothing back.
    tell(pool, older, now).await?;
    ensure!(remembered(&world).await? == younger * WEEK);

    sqlx::query("UPDATE queue_log SET status = 'done' WHERE message_id = $1")
        .bind(open)
        .execute(pool)
        .await?;
    tell(pool, kept, now).await?;
    ensure!(drop_week(pool, younger).await?);
    ensure!(old(pool, now).await?.is_empty());
    world.audit_is_clean_as_it_is().await
}

async fn week_with_a_row(world: &World, week: i64, id: Uuid, status: &str) -> anyhow::Result<()> {
    let (from, to) = (lower_bound(week * WEEK), lower_bound((week + 1) * WEEK));
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!(
        "CREATE TABLE queue_log_w{week} PARTITION OF queue_log FOR VALUES FROM ('{from}') TO ('{to}')"
    )))
    .execute(&world.pool)
    .await?;
    sqlx::query(
        "INSERT INTO queue_log (consumer, message_id, status, created_timestamp, content_hash)
         VALUES ('remittance', $1, $2::queue_status, $3, '\\x00')",
    )
    .bind(id)
    .bind(status)
    .bind(DateTime::from_timestamp_millis(week * WEEK))
    .execute(&world.pool)
    .await?;
    Ok(())
}

/// Where the oldest week begins whose ids are remembered.
async fn remembered(world: &World) -> anyhow::Result<i64> {
    Ok(oldest(&mut *world.pool.acquire().await?).await?)
}
