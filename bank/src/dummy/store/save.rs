//! Writes what a batch has changed: one statement a table.

use chrono::{DateTime, NaiveDate, Utc};
use sqlx::PgConnection;

use crate::dummy::book::{Book, Line, NewNotice};
use crate::dummy::transfer::{State, Transfer, TransferKey};
use crate::wire::LineKind;

/// Writes the changes of the book. The caller commits.
pub(in crate::dummy) async fn save(tx: &mut PgConnection, book: &Book) -> Result<(), sqlx::Error> {
    let recorded = |key: &TransferKey| book.transfers.get(key);
    let inserted: Vec<&Transfer> = book.inserted.iter().filter_map(recorded).collect();
    let changed: Vec<&Transfer> = book.changed.iter().filter_map(recorded).collect();
    if !inserted.is_empty() {
        insert_transfers(tx, &inserted).await?;
    }
    if !changed.is_empty() {
        update_transfers(tx, &changed).await?;
    }
    if !book.lines.is_empty() {
        update_accounts(tx, book).await?;
        insert_lines(tx, &book.lines).await?;
    }
    if !book.notices.is_empty() {
        insert_notices(tx, &book.notices).await?;
    }
    Ok(())
}

/// The columns that a state is spread over.
#[derive(Default)]
struct StateColumns {
    status: Vec<&'static str>,
    refusal: Vec<Option<&'static str>>,
    fee: Vec<i64>,
    executed_at: Vec<Option<DateTime<Utc>>>,
    due_at: Vec<Option<DateTime<Utc>>>,
    planned: Vec<Option<&'static str>>,
}

impl StateColumns {
    fn of(transfers: &[&Transfer]) -> Self {
        let mut columns = Self::default();
        for transfer in transfers {
            let (status, refusal, fee, executed_at, due_at, planned) = match transfer.state {
                State::InProgress { due_at, planned } => {
                    ("in_progress", None, 0, None, Some(due_at), planned)
                }
                State::Done { executed_at, fee } => {
                    ("done", None, fee, Some(executed_at), None, None)
                }
                State::Refused(reason) => ("refused", Some(reason.as_str()), 0, None, None, None),
            };
            columns.status.push(status);
            columns.refusal.push(refusal);
            columns.fee.push(fee);
            columns.executed_at.push(executed_at);
            columns.due_at.push(due_at);
            columns.planned.push(planned.map(|reason| reason.as_str()));
        }
        columns
    }
}

fn column<'a, R, T>(rows: &'a [R], value: impl Fn(&'a R) -> T) -> Vec<T> {
    rows.iter().map(value).collect()
}

async fn insert_transfers(tx: &mut PgConnection, rows: &[&Transfer]) -> Result<(), sqlx::Error> {
    let state = StateColumns::of(rows);
    sqlx::query(
        "INSERT INTO dummy_bank.transfer
                (bank_code, business_date, number, content_hash, from_bank, from_account,
                 to_bank, to_account, amount, status, refusal, fee, executed_at, due_at,
                 planned, hidden_until, reverse_at, notice_lost)
         SELECT * FROM UNNEST(
                $1::text[], $2::date[], $3::integer[], $4::bytea[], $5::text[], $6::text[],
                $7::text[], $8::text[], $9::bigint[], $10::text[], $11::text[], $12::bigint[],
                $13::timestamptz[], $14::timestamptz[], $15::text[], $16::timestamptz[],
                $17::timestamptz[], $18::boolean[])",
    )
    .bind(column(rows, |t| t.key.bank_code.as_str()))
    .bind(column(rows, |t| t.key.business_date))
    .bind(column(rows, |t| t.key.number as i32))
    .bind(column(rows, |t| t.content_hash.as_slice()))
    .bind(column(rows, |t| t.from.bank_code.as_str()))
    .bind(column(rows, |t| t.from.account_number.as_str()))
    .bind(column(rows, |t| t.to.bank_code.as_str()))
    .bind(column(rows, |t| t.to.account_number.as_str()))
    .bind(column(rows, |t| t.amount))
    .bind(state.status)
    .bind(state.refusal)
    .bind(state.fee)
    .bind(state.executed_at)
    .bind(state.due_at)
    .bind(state.planned)
    .bind(column(rows, |t| t.hidden_until))
    .bind(column(rows, |t| t.reverse_at))
    .bind(column(rows, |t| t.notice_lost))
    .execute(tx)
    .await?;
    Ok(())
}

async fn update_transfers(tx: &mut PgConnection, rows: &[&Transfer]) -> Result<(), sqlx::Error> {
    let state = StateColumns::of(rows);
    sqlx::query(
        "UPDATE dummy_bank.transfer t
            SET status = new.status, refusal = new.refusal, fee = new.fee,
                executed_at = new.executed_at, due_at = new.due_at, planned = new.planned,
                reverse_at = new.reverse_at
           FROM UNNEST(
                $1::text[], $2::date[], $3::integer[], $4::text[], $5::text[], $6::bigint[],
                $7::timestamptz[], $8::timestamptz[], $9::text[], $10::timestamptz[])
                AS new (bank_code, business_date, number, status, refusal, fee,
                        executed_at, due_at, planned, reverse_at)
          WHERE t.bank_code = new.bank_code
            AND t.business_date = new.business_date
            AND t.number = new.number",
    )
    .bind(column(rows, |t| t.key.bank_code.as_str()))
    .bind(column(rows, |t| t.key.business_date))
    .bind(column(rows, |t| t.key.number as i32))
    .bind(state.status)
    .bind(state.refusal)
    .bind(state.fee)
    .bind(state.executed_at)
    .bind(state.due_at)
    .bind(state.planned)
    .bind(column(rows, |t| t.reverse_at))
    .execute(tx)
    .await?;
    Ok(())
}

/// An account is written once a batch, however often it was moved: ours is in every line.
async fn update_accounts(tx: &mut PgConnection, book: &Book) -> Result<(), sqlx::Error> {
    let accounts: Vec<_> = book.changed_accounts().into_iter().collect();
    sqlx::query(
        "UPDATE dummy_bank.account a
            SET balance = new.balance, lines = new.lines
           FROM UNNEST($1::text[], $2::text[], $3::bigint[], $4::bigint[])
                AS new (bank_code, account_number, balance, lines)
          WHERE a.bank_code = new.bank_code
            AND a.account_number = new.account_number",
    )
    .bind(column(&accounts, |(account, _)| account.bank_code.as_str()))
    .bind(column(&accounts, |(account, _)| {
        account.account_number.as_str()
    }))
    .bind(column(&accounts, |(_, state)| state.balance))
    .bind(column(&accounts, |(_, state)| state.lines))
    .execute(tx)
    .await?;
    Ok(())
}

pub(super) fn kind_text(kind: LineKind) -> &'static str {
    match kind {
        LineKind::Opening => "opening",
        LineKind::Transfer => "transfer",
        LineKind::Fee => "fee",
        LineKind::Reversal => "reversal",
    }
}

async fn insert_lines(tx: &mut PgConnection, rows: &[Line]) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO dummy_bank.statement_line
                (bank_code, account_number, line_number, kind, business_date, transfer_bank,
                 transfer_date, number, counter_bank, counter_account, amount, fee,
                 balance_after, executed_at)
         SELECT * FROM UNNEST(
                $1::text[], $2::text[], $3::bigint[], $4::text[], $5::date[], $6::text[],
                $7::date[], $8::integer[], $9::text[], $10::text[], $11::bigint[],
                $12::bigint[], $13::bigint[], $14::timestamptz[])",
    )
    .bind(column(rows, |l| l.account.bank_code.as_str()))
    .bind(column(rows, |l| l.account.account_number.as_str()))
    .bind(column(rows, |l| l.line_number))
    .bind(column(rows, |l| kind_text(l.kind)))
    .bind(column(rows, |l| l.business_date))
    .bind(column(rows, |l| l.transfer.bank_code.as_str()))
    .bind(column(rows, |l| l.transfer.business_date))
    .bind(column(rows, |l| l.transfer.number as i32))
    .bind(column(rows, |l| l.counterparty.bank_code.as_str()))
    .bind(column(rows, |l| l.counterparty.account_number.as_str()))
    .bind(column(rows, |l| l.amount))
    .bind(column(rows, |l| l.fee))
    .bind(column(rows, |l| l.balance_after))
    .bind(column(rows, |l| l.executed_at))
    .execute(tx)
    .await?;
    Ok(())
}

async fn insert_notices(tx: &mut PgConnection, rows: &[NewNotice]) -> Result<(), sqlx::Error> {
    let dates: Vec<NaiveDate> = column(rows, |n| n.date);
    sqlx::query(
        "INSERT INTO dummy_bank.notice
                (bank_code, notice_date, notice_number, business_date, number, amount,
                 reversed_at, lost)
         SELECT * FROM UNNEST(
                $1::text[], $2::date[], $3::bigint[], $4::date[], $5::integer[], $6::bigint[],
                $7::timestamptz[], $8::boolean[])",
    )
    .bind(column(rows, |n| n.transfer.bank_code.as_str()))
    .bind(dates)
    .bind(column(rows, |n| n.number))
    .bind(column(rows, |n| n.transfer.business_date))
    .bind(column(rows, |n| n.transfer.number as i32))
    .bind(column(rows, |n| n.amount))
    .bind(column(rows, |n| n.reversed_at))
    .bind(column(rows, |n| n.lost))
    .execute(tx)
    .await?;
    Ok(())
}
