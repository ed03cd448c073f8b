//! Old weeks of `queue_log`.

use anyhow::ensure;
use chrono::{DateTime, Utc};
use mypay_idempotency::horizon::purge::{KEEP_WEEKS, KEEP_WEEKS_MIN, drop_week, old, tell};
use mypay_idempotency::horizon::{Horizon, oldest};
use mypay_schemas::identity::lower_bound;
use mypay_tests::World;
use uuid::Uuid;

const WEEK: i64 = 7 * 24 * 3_600_000;

/// What keeps a week, under an id of it.
const PARKED: &str = r#"
    INSERT INTO parked (consumer, key, message_id, topic, partition, "offset", reason, parked_at)
    VALUES ('remittance', 'k', $1, 'my.remittance.request', 0, 0, 'defect', now())"#;
const RUN: &str = "
    INSERT INTO settlement.run
           (run_id, cut_at, franchises, slips, gross, commission, payouts, net, made_at)
    VALUES ($1, now(), 1, 0, 0, 0, 1, 0, now())";
const PAYOUT: &str = "
    INSERT INTO settlement.payout
           (payout_id, run_id, franchise_id, slips, gross, commission, owed, net, state, changed_at)
    VALUES ($1, $1, $1, 0, 0, 0, 0, 0, 'AWAITS_BANK', now())";

#[tokio::test(flavor = "multi_thread")]
async fn a_week_goes_when_nothing_of_it_is_under_way() -> anyhow::Result<()> {
    let world = World::begin().await?;
    let pool = &world.pool;
    let now = Utc::now();
    let horizon = Horizon::open(pool, now).await?;
    let this_week = now.timestamp_millis().div_euclid(WEEK);
    let kept = this_week - KEEP_WEEKS;
    let (older, younger) = (kept - 2, kept - 1);
    let open = lower_bound(younger * WEEK + 1);
    for (week, id, status) in [
        (older, lower_bound(older * WEEK + 1), "done"),
        (younger, open, "processing"),
    ] {
        week_with_a_row(&world, week, id, status).await?;
    }
    ensure!(remembered(&world).await? == older * WEEK);

    let weeks = old(pool, KEEP_WEEKS).await?;
    let seen: Vec<(i64, i64)> = weeks.iter().map(|week| (week.week, week.open)).collect();
    ensure!(seen == [(older, 0), (younger, 1)], "{seen:?}");

    // What may still be needed does not go, whoever says so.
    ensure!(
        tell(pool, this_week - KEEP_WEEKS_MIN + 1, now)
            .await
            .is_err()
    );
    ensure!(drop_week(pool, this_week - KEEP_WEEKS_MIN).await.is_err());

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
    // Parked messages and payouts keep their week, too.
    for keeps in [PARKED, RUN, PAYOUT] {
        sqlx::query(keeps).bind(open).execute(pool).await?;
    }
    ensure!(old(pool, KEEP_WEEKS).await?[0].open == 2);
    ensure!(!drop_week(pool, younger).await?);
    for goes in [
        "DELETE FROM parked WHERE message_id = $1",
        "DELETE FROM settlement.payout WHERE payout_id = $1",
        "DELETE FROM settlement.run WHERE run_id = $1",
    ] {
        sqlx::query(goes).bind(open).execute(pool).await?;
    }
    tell(pool, kept, now).await?;
    ensure!(drop_week(pool, younger).await?);
    ensure!(old(pool, KEEP_WEEKS).await?.is_empty());
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
