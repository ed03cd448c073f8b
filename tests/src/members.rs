//! Members with money, and franchises, straight into the database.

use chrono::{DateTime, SubsecRound, Utc};
use mypay_decide::limits::korean_day;
use mypay_decide::{Account, Book, EntryKind, Limits, MemberMoney, SystemAccount};
use mypay_schemas::identity::{derive, lower_bound};
use uuid::Uuid;

use crate::world::World;

/// A bank that no contract and no statement knows.
const BANK_OF_OLD: &str = "000";
/// 2020-01-01: before anything that `queue_log` remembers.
const LONG_AGO: i64 = 1_577_836_800_000;

impl World {
    /// Makes members, each with `won` on their account.
    ///
    /// The ledger adds up: it holds a recharge of long ago for each, which the
    /// audit takes for one that `queue_log` has forgotten.
    pub async fn members(&self, count: usize, won: i64) -> anyhow::Result<Vec<Uuid>> {
        let now = Utc::now().trunc_subsecs(6);
        let members: Vec<Uuid> = (0..count).map(|_| Uuid::now_v7()).collect();
        let mut transaction = self.pool.begin().await?;
        insert(&mut transaction, &members, "CUSTOMER", now).await?;
        mypay_ledger::open_members(&mut transaction, &members).await?;
        if won > 0 {
            let book = recharged_long_ago(&members, won, now);
            mypay_ledger::write(&mut transaction, &book, now, &Limits::default()).await?;
        }
        transaction.commit().await?;
        Ok(members)
    }

    /// Makes a franchise with a commission rate in hundredths of a percent.
    pub async fn franchise(&self, commission_bps: i32) -> anyhow::Result<Uuid> {
        let now = Utc::now().trunc_subsecs(6);
        let franchise = Uuid::now_v7();
        let mut transaction = self.pool.begin().await?;
        insert(&mut transaction, &[franchise], "FRANCHISE", now).await?;
        mypay_ledger::open_members(&mut transaction, &[franchise]).await?;
        sqlx::query(
            "INSERT INTO payment.commission_rate (franchise_id, in_force_from, bps)
             VALUES ($1, $2, $3)",
        )
        .bind(franchise)
        .bind(now)
        .bind(commission_bps)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(franchise)
    }
}

async fn insert(
    connection: &mut sqlx::PgConnection,
    members: &[Uuid],
    kind: &str,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO membership.member (member_id, kind, name, area, content_hash, created_at)
         SELECT m.id, $2, 'Hong Gil-dong', 'Gangnam-gu', ''::bytea, $3
           FROM unnest($1::uuid[]) AS m(id)",
    )
    .bind(members)
    .bind(kind)
    .bind(now)
    .execute(connection)
    .await?;
    Ok(())
}

fn recharged_long_ago(members: &[Uuid], won: i64, now: DateTime<Utc>) -> Book {
    let today = korean_day(now);
    let nothing = MemberMoney {
        open: true,
        balance: 0,
        pending: 0,
        sent_on: today,
        sent: 0,
    };
    let mut book = Book::new(today, members.iter().map(|member| (*member, nothing)));
    for member in members {
        let entry = derive(lower_bound(LONG_AGO), &member.to_string());
        let cash = SystemAccount::corporate_cash(BANK_OF_OLD, 0);
        book.post(
            (entry, 0),
            EntryKind::Recharge,
            cash,
            Account::Member(*member),
            won,
        );
    }
    book
}
