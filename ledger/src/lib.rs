//! The double-entry ledger in PostgreSQL: the only code that writes the schema
//! `money`.
//!
//! [`load`] fetches the accounts of a batch, the pure [`mypay_decide::Book`]
//! is decided on, and [`write`] puts the changes down in a handful of array
//! statements. Lanes run side by side, so an account may have changed between
//! the two: each change is written under the conditions that its decision
//! relied on, and where one does not hold, [`Shortfall`] says to do the batch
//! again with the accounts locked.

pub mod limits;

use std::collections::BTreeSet;

use chrono::{DateTime, NaiveDate, Utc};
use mypay_database::copy::{COPY_FROM, Rows};
use mypay_decide::book::Posting;
use mypay_decide::{AccountKind, Book, Limits, MemberMoney};
use sqlx::{PgConnection, Row};
use uuid::Uuid;

/// Why a book was not written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// Another lane changed an account meanwhile: do the batch again, locked.
    #[error("an account changed while the batch was decided")]
    Shortfall,
    /// The database failed.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// Loads members' money. Ids that no member has are left out.
///
/// With `lock`, the rows stay locked until the transaction ends; they are
/// locked in the order of their ids, as every writer does.
pub async fn load(
    connection: &mut PgConnection,
    members: &BTreeSet<Uuid>,
    today: NaiveDate,
    lock: bool,
) -> Result<Book, sqlx::Error> {
    const UNLOCKED: &str = "
        SELECT a.account_id, a.open, a.balance, a.pending, a.sent_on, a.sent
          FROM unnest($1::uuid[]) AS wanted(id)
          JOIN money.account a ON a.account_id = wanted.id AND a.kind = 1";
    const LOCKED: &str = "
        SELECT a.account_id, a.open, a.balance, a.pending, a.sent_on, a.sent
          FROM money.account a
         WHERE a.account_id = ANY($1) AND a.kind = 1
         ORDER BY a.account_id
           FOR UPDATE";
    let ids: Vec<Uuid> = members.iter().copied().collect();
    if ids.is_empty() {
        return Ok(Book::new(today, []));
    }
    let rows = sqlx::query(if lock { LOCKED } else { UNLOCKED })
        .bind(&ids)
        .fetch_all(connection)
        .await?;
    let loaded = rows
        .iter()
        .map(|row| {
            let money = MemberMoney {
                open: row.try_get(1)?,
                balance: row.try_get(2)?,
                pending: row.try_get(3)?,
                sent_on: row.try_get(4)?,
                sent: row.try_get(5)?,
            };
            Ok((row.try_get(0)?, money))
        })
        .collect::<Result<Vec<(Uuid, MemberMoney)>, sqlx::Error>>()?;
    Ok(Book::new(today, loaded))
}

/// Writes a book: the postings, then members' accounts, then the others.
///
/// Accounts always in this order and by ascending id, so that no two writers
/// wait for each other in a circle. And last of a transaction: from the first
/// update to the commit other lanes wait for the same accounts.
pub async fn write(
    connection: &mut PgConnection,
    book: &Book,
    at: DateTime<Utc>,
    limits: &Limits,
) -> Result<(), WriteError> {
    write_postings(connection, book, at).await?;
    write_members(connection, book, limits).await?;
    write_system(connection, book).await?;
    Ok(())
}

async fn write_members(
    connection: &mut PgConnection,
    book: &Book,
    limits: &Limits,
) -> Result<(), WriteError> {
    const UPDATE: &str = "
        UPDATE money.account a
           SET balance = a.balance + c.balance,
               pending = a.pending + c.pending,
               -- A batch of an older day, from a lane that lags or a clock that
               -- was set, must not wipe what a newer day has counted.
               sent = CASE WHEN c.sent = 0 OR a.sent_on >= $7 THEN a.sent ELSE 0 END + c.sent,
               sent_on = CASE WHEN c.sent = 0 THEN a.sent_on ELSE greatest(a.sent_on, $7) END,
               -- Standing 3 closes, 4 opens again (decide/src/book.rs).
               open = CASE c.standing WHEN 3 THEN false WHEN 4 THEN true ELSE a.open END
          FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $10::smallint[])
               AS c(id, balance, pending, dip, peak, sent, standing)
         WHERE a.account_id = c.id AND a.kind = 1
           AND (c.standing = 1 OR a.open = (c.standing IN (0, 3)))
           AND (c.standing <> 3 OR (a.balance + c.balance = 0 AND a.pending + c.pending = 0))
           AND a.balance + c.dip >= 0
           AND (c.peak = 0 OR a.balance + a.pending + c.peak <= $8)
           AND (c.sent = 0 OR CASE WHEN a.sent_on >= $7 THEN a.sent ELSE 0 END + c.sent <= $9)";
    let changes = book.member_changes();
    if changes.is_empty() {
        return Ok(());
    }
    let column = |of: fn(&mypay_decide::book::MemberChange) -> i64| -> Vec<i64> {
        changes.iter().map(of).collect()
    };
    let ids: Vec<Uuid> = changes.iter().map(|change| change.member_id).collect();
    let written = sqlx::query(UPDATE)
        .bind(ids)
        .bind(column(|change| change.balance))
        .bind(column(|change| change.pending))
        .bind(column(|change| change.dip))
        .bind(column(|change| change.peak))
        .bind(column(|change| change.sent))
        .bind(book.today())
        .bind(limits.balance_cap)
        .bind(limits.remittance_daily)
        .bind(
            changes
                .iter()
                .map(|change| change.standing as i16)
                .collect::<Vec<i16>>(),
        )
        .execute(connection)
        .await?
        .rows_affected();
    if written < changes.len() as u64 {
        return Err(WriteError::Shortfall);
    }
    Ok(())
}

async fn write_system(connection: &mut PgConnection, book: &Book) -> Result<(), sqlx::Error> {
    const UPSERT: &str = "
        INSERT INTO money.account AS a (account_id, kind, slot, owner, balance)
        SELECT * FROM unnest($1::uuid[], $2::smallint[], $3::smallint[], $4::uuid[], $5::bigint[])
        ON CONFLICT (account_id) DO UPDATE SET balance = a.balance + EXCLUDED.balance";
    let changes = book.system_changes();
    if changes.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = changes.iter().map(|(id, _, _)| *id).collect();
    let kinds: Vec<i16> = changes
        .iter()
        .map(|(_, account, _)| account.kind.number())
        .collect();
    let slots: Vec<i16> = changes.iter().map(|(_, account, _)| account.slot).collect();
    let owners: Vec<Uuid> = changes
        .iter()
        .map(|(_, account, _)| account.owner)
        .collect();
    let amounts: Vec<i64> = changes.iter().map(|(_, _, amount)| *amount).collect();
    sqlx::query(UPSERT)
        .bind(ids)
        .bind(kinds)
        .bind(slots)
        .bind(owners)
        .bind(amounts)
        .execute(connection)
        .await?;
    Ok(())
}

async fn write_postings(
    connection: &mut PgConnection,
    book: &Book,
    at: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    const COPY: &str = "
        COPY money.posting (entry_id, line, kind, debit, credit, amount, posted_at)
        FROM STDIN (FORMAT binary)";
    const INSERT: &str = "
        INSERT INTO money.posting (entry_id, line, kind, debit, credit, amount, posted_at)
        SELECT p.*, $7
          FROM unnest($1::uuid[], $2::smallint[], $3::smallint[], $4::uuid[], $5::uuid[], $6::bigint[])
               AS p";
    let postings = book.postings();
    if postings.is_empty() {
        return Ok(());
    }
    if postings.len() < COPY_FROM {
        let ids = |of: fn(&Posting) -> Uuid| -> Vec<Uuid> { postings.iter().map(of).collect() };
        let numbers = |of: fn(&Posting) -> i16| -> Vec<i16> { postings.iter().map(of).collect() };
        let amounts: Vec<i64> = postings.iter().map(|posting| posting.amount).collect();
        sqlx::query(INSERT)
            .bind(ids(|posting| posting.entry_id))
            .bind(numbers(|posting| posting.line))
            .bind(numbers(|posting| posting.kind as i16))
            .bind(ids(|posting| posting.debit))
            .bind(ids(|posting| posting.credit))
            .bind(amounts)
            .bind(at)
            .execute(connection)
            .await?;
        return Ok(());
    }
    let mut rows = Rows::with_capacity(postings.len(), 110);
    for posting in postings {
        rows.push([
            &posting.entry_id,
            &posting.line,
            &(posting.kind as i16),
            &posting.debit,
            &posting.credit,
            &posting.amount,
            &at,
        ]);
    }
    rows.copy(connection, COPY).await?;
    Ok(())
}

/// Opens the accounts of new members, with nothing on them.
pub async fn open_members(
    connection: &mut PgConnection,
    members: &[Uuid],
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO money.account (account_id, kind, owner)
         SELECT id, $2, id FROM unnest($1::uuid[]) AS m(id)
         ON CONFLICT (account_id) DO NOTHING",
    )
    .bind(members)
    .bind(AccountKind::MemberMoney.number())
    .execute(connection)
    .await?;
    Ok(())
}
