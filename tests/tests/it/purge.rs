//! Old weeks of `queue_log`.

use std::time::Duration;

use anyhow::ensure;
use chrono::{DateTime, Utc};
use mypay_idempotency::horizon::purge::{
    KEEP_WEEKS, KEEP_WEEKS_MIN, PurgeError, drop_week, old, tell,
};
use mypay_idempotency::horizon::{Horizon, hold, oldest};
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

/// A payout that its bank has done, and the undo of it that is approved.
const COMMAND: &str = "
    INSERT INTO banking.firmbanking
           (firmbanking_id, correlation_id, purpose, from_bank, from_account, to_bank, to_account,
            amount, holder_checked, to_ours, state, business_date, transaction_number, due_at, created_at,
            changed_at)
    VALUES ($1, '', 'remittance', '004', '100001', '020', '200002', 1, true, false, 'done', '2020-01-01', 1, now(),
            now(), now())";
const UNDO: &str = "
    INSERT INTO banking.undo
           (firmbanking_id, undo_id, proposal_id, reason, proposed_by, proposed_at, approved_by,
            approved_at, state, changed_at)
    VALUES ($1, $1, $1, 'r', 'a', now(), 'b', now(), 'approved', now())";

#[tokio::test(flavor = "multi_thread")]
async fn a_week_goes_when_nothing_of_it_is_under_way() -> anyhow::Result<()> {
    let world = World::begin().await?;
    let pool = &world.pool;
    remember_all(&world).await?;
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
            .check(lower_bound(older * WEEK + 2), now, now, follows)
            .is_err()
    );
    ensure!(
        horizon
            .check(lower_bound(younger * WEEK + 2), now, now, follows)
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

/// An undo that is approved under the horizon as it was keeps its week, and a horizon
/// that was told before is what the next one sees.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_approved_meanwhile_keeps_its_week() -> anyhow::Result<()> {
    let world = World::begin().await?;
    let pool = &world.pool;
    remember_all(&world).await?;
    let now = Utc::now();
    let week = now.timestamp_millis().div_euclid(WEEK) - KEEP_WEEKS - 1;
    let payout = lower_bound(week * WEEK + 1);
    week_with_a_row(&world, week, payout, "done").await?;

    let mut approving = pool.begin().await?;
    ensure!(hold(&mut approving).await? == week * WEEK);
    let telling = {
        let pool = pool.clone();
        tokio::spawn(async move { tell(&pool, week + 1, now).await })
    };
    tokio::time::sleep(Duration::from_millis(500)).await;
    ensure!(
        !telling.is_finished(),
        "the horizon moved under an approval"
    );
    for approved in [COMMAND, UNDO] {
        let written = sqlx::query(approved).bind(payout);
        written.execute(&mut *approving).await?;
    }
    approving.commit().await?;
    let told = telling.await?;
    ensure!(
        matches!(told, Err(PurgeError::UnderWay(kept)) if kept == week),
        "{told:?}"
    );
    ensure!(remembered(&world).await? == week * WEEK);

    for goes in [
        "DELETE FROM banking.undo WHERE firmbanking_id = $1",
        "DELETE FROM banking.firmbanking WHERE firmbanking_id = $1",
    ] {
        sqlx::query(goes).bind(payout).execute(pool).await?;
    }
    tell(pool, week + 1, now).await?;
    let mut approving = pool.begin().await?;
    ensure!(hold(&mut approving).await? == (week + 1) * WEEK);
    drop(approving);
    ensure!(drop_week(pool, week).await?);
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

/// Another test on this stack may have moved the horizon, and it goes back for nobody.
async fn remember_all(world: &World) -> anyhow::Result<()> {
    sqlx::query("UPDATE queue_log_horizon SET oldest_week = 0")
        .execute(&world.pool)
        .await?;
    Ok(())
}

/// Where the oldest week begins whose ids are remembered.
async fn remembered(world: &World) -> anyhow::Result<i64> {
    Ok(oldest(&mut *world.pool.acquire().await?).await?)
}
