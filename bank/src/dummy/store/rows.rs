//! Rows as PostgreSQL has them, and how they become the bank's types.

use chrono::{DateTime, NaiveDate, Utc};

use crate::account::BankAccount;
use crate::classes::Reason;
use crate::dummy::book::AccountState;
use crate::dummy::transfer::{State, Transfer, TransferKey};
use crate::wire::{AccountKind, AccountStatus};

#[derive(sqlx::FromRow)]
pub(super) struct TransferRow {
    bank_code: String,
    business_date: NaiveDate,
    number: i32,
    content_hash: Vec<u8>,
    from_bank: String,
    from_account: String,
    to_bank: String,
    to_account: String,
    amount: i64,
    status: String,
    refusal: Option<String>,
    fee: i64,
    executed_at: Option<DateTime<Utc>>,
    due_at: Option<DateTime<Utc>>,
    planned: Option<String>,
    hidden_until: Option<DateTime<Utc>>,
    reverse_at: Option<DateTime<Utc>>,
    notice_lost: bool,
}

#[derive(sqlx::FromRow)]
pub(super) struct AccountRow {
    bank_code: String,
    account_number: String,
    kind: String,
    status: String,
    balance: i64,
    lines: i64,
}

/// A row that this code did not write.
fn foreign(what: &str) -> sqlx::Error {
    sqlx::Error::Decode(format!("dummy_bank holds a row that it cannot hold: {what}").into())
}

pub(super) fn kind(text: &str) -> Result<AccountKind, sqlx::Error> {
    match text {
        "personal" => Ok(AccountKind::Personal),
        "corporate" => Ok(AccountKind::Corporate),
        other => Err(foreign(other)),
    }
}

pub(super) fn status(text: &str) -> Result<AccountStatus, sqlx::Error> {
    match text {
        "open" => Ok(AccountStatus::Open),
        "closed" => Ok(AccountStatus::Closed),
        other => Err(foreign(other)),
    }
}

fn reason(text: &str) -> Result<Reason, sqlx::Error> {
    Reason::from_code(text).ok_or_else(|| foreign(text))
}

impl TryFrom<TransferRow> for Transfer {
    type Error = sqlx::Error;

    fn try_from(row: TransferRow) -> Result<Self, Self::Error> {
        let state = match (
            row.status.as_str(),
            row.executed_at,
            row.due_at,
            &row.refusal,
        ) {
            ("done", Some(executed_at), _, _) => State::Done {
                executed_at,
                fee: row.fee,
            },
            ("refused", _, _, Some(refusal)) => State::Refused(reason(refusal)?),
            ("in_progress", _, Some(due_at), _) => State::InProgress {
                due_at,
                planned: row.planned.as_deref().map(reason).transpose()?,
            },
            _ => return Err(foreign(&row.status)),
        };
        let number = u32::try_from(row.number).map_err(|_| foreign("number"))?;
        Ok(Self {
            key: TransferKey {
                bank_code: row.bank_code,
                business_date: row.business_date,
                number,
            },
            content_hash: row
                .content_hash
                .try_into()
                .map_err(|_| foreign("content_hash"))?,
            from: BankAccount {
                bank_code: row.from_bank,
                account_number: row.from_account,
            },
            to: BankAccount {
                bank_code: row.to_bank,
                account_number: row.to_account,
            },
            amount: row.amount,
            state,
            hidden_until: row.hidden_until,
            reverse_at: row.reverse_at,
            notice_lost: row.notice_lost,
        })
    }
}

impl AccountRow {
    pub(super) fn into_entry(self) -> Result<(BankAccount, AccountState), sqlx::Error> {
        let state = AccountState {
            kind: kind(&self.kind)?,
            status: status(&self.status)?,
            balance: self.balance,
            lines: self.lines,
        };
        let account = BankAccount {
            bank_code: self.bank_code,
            account_number: self.account_number,
        };
        Ok((account, state))
    }
}
