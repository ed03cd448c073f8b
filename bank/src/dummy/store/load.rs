//! Reads what a batch needs, and locks it.

use std::collections::{BTreeSet, HashMap};

use chrono::NaiveDate;
use sqlx::{PgConnection, PgPool};

use super::rows::{AccountRow, TransferRow};
use crate::account::BankAccount;
use crate::dummy::book::Book;
use crate::dummy::transfer::{Transfer, TransferKey};

/// The state for these transfers and the accounts that they, or `named`, concern.
///
/// Locks in one order (transfers by key, then accounts by key), so that two
/// banks on one database wait for each other and never deadlock.
pub(in crate::dummy) async fn load(
    tx: &mut PgConnection,
    keys: &BTreeSet<TransferKey>,
    mut named: BTreeSet<BankAccount>,
    notice_date: Option<NaiveDate>,
) -> Result<Book, sqlx::Error> {
    let mut book = Book::default();
    for transfer in transfers(tx, keys).await? {
        named.extend([transfer.from.clone(), transfer.to.clone()]);
        book.transfers.insert(transfer.key.clone(), transfer);
    }
    let banks: BTreeSet<&str> = keys.iter().map(|key| key.bank_code.as_str()).collect();
    let banks: Vec<&str> = banks.into_iter().collect();
    book.fee_payers = fee_payers(tx, &banks).await?;
    named.extend(book.fee_payers.values().cloned());
    for row in accounts(tx, &named).await? {
        let (account, state) = row.into_entry()?;
        book.accounts.insert(account, state);
    }
    if let Some(date) = notice_date {
        book.last_notice = last_notices(tx, &banks, date).await?;
    }
    Ok(book)
}

/// One transfer, as an inquiry sees it: no lock, no waiting.
pub(in crate::dummy) async fn transfer_by_key(
    pool: &PgPool,
    key: &TransferKey,
) -> Result<Option<Transfer>, sqlx::Error> {
    let row = sqlx::query_as::<_, TransferRow>(
        "SELECT * FROM dummy_bank.transfer
          WHERE bank_code = $1 AND business_date = $2 AND number = $3",
    )
    .bind(&key.bank_code)
    .bind(key.business_date)
    .bind(key.number as i32)
    .fetch_optional(pool)
    .await?;
    row.map(Transfer::try_from).transpose()
}

async fn transfers(
    tx: &mut PgConnection,
    keys: &BTreeSet<TransferKey>,
) -> Result<Vec<Transfer>, sqlx::Error> {
    let banks: Vec<&str> = keys.iter().map(|key| key.bank_code.as_str()).collect();
    let dates: Vec<NaiveDate> = keys.iter().map(|key| key.business_date).collect();
    let numbers: Vec<i32> = keys.iter().map(|key| key.number as i32).collect();
    let rows = sqlx::query_as::<_, TransferRow>(
        "SELECT t.*
           FROM UNNEST($1::text[], $2::date[], $3::integer[])
                AS wanted (bank_code, business_date, number)
           JOIN dummy_bank.transfer t USING (bank_code, business_date, number)
          ORDER BY t.bank_code, t.business_date, t.number
            FOR UPDATE OF t",
    )
    .bind(banks)
    .bind(dates)
    .bind(numbers)
    .fetch_all(tx)
    .await?;
    rows.into_iter().map(Transfer::try_from).collect()
}

async fn accounts(
    tx: &mut PgConnection,
    named: &BTreeSet<BankAccount>,
) -> Result<Vec<AccountRow>, sqlx::Error> {
    let banks: Vec<&str> = named
        .iter()
        .map(|account| account.bank_code.as_str())
        .collect();
    let numbers: Vec<&str> = named
        .iter()
        .map(|account| account.account_number.as_str())
        .collect();
    sqlx::query_as::<_, AccountRow>(
        "SELECT a.bank_code, a.account_number, a.kind, a.status, a.balance, a.lines
           FROM UNNEST($1::text[], $2::text[]) AS wanted (bank_code, account_number)
           JOIN dummy_bank.account a USING (bank_code, account_number)
          ORDER BY a.bank_code, a.account_number
            FOR UPDATE OF a",
    )
    .bind(banks)
    .bind(numbers)
    .fetch_all(tx)
    .await
}

/// The first open corporate account of each bank.
async fn fee_payers(
    tx: &mut PgConnection,
    banks: &[&str],
) -> Result<HashMap<String, BankAccount>, sqlx::Error> {
    let rows = sqlx::query_as::<_, (String, String)>(
        "SELECT bank_code, MIN(account_number)
           FROM dummy_bank.account
          WHERE kind = 'corporate' AND status = 'open' AND bank_code = ANY($1)
          GROUP BY bank_code",
    )
    .bind(banks)
    .fetch_all(tx)
    .await?;
    let account = |(bank_code, account_number): (String, String)| {
        (
            bank_code.clone(),
            BankAccount {
                bank_code,
                account_number,
            },
        )
    };
    Ok(rows.into_iter().map(account).collect())
}

async fn last_notices(
    tx: &mut PgConnection,
    banks: &[&str],
    date: NaiveDate,
) -> Result<HashMap<(String, NaiveDate), i64>, sqlx::Error> {
    let rows = sqlx::query_as::<_, (String, i64)>(
        "SELECT bank_code, MAX(notice_number)
           FROM dummy_bank.notice
          WHERE bank_code = ANY($1) AND notice_date = $2
          GROUP BY bank_code",
    )
    .bind(banks)
    .bind(date)
    .fetch_all(tx)
    .await?;
    Ok(rows
        .into_iter()
        .map(|(bank, last)| ((bank, date), last))
        .collect())
}
