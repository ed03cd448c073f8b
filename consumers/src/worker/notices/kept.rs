//! Notices as they are kept, with our commands of their numbers.

use chrono::{DateTime, NaiveDate, Utc};
use mypay_decide::notice;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

/// How many notices are judged in one commit.
const BATCH: i64 = 256;

/// A notice, as the bank wrote it.
#[derive(Debug, Clone)]
pub(super) struct Notice {
    pub(super) bank_code: String,
    pub(super) notice_date: NaiveDate,
    pub(super) notice_number: i64,
    pub(super) business_date: NaiveDate,
    pub(super) number: i32,
    pub(super) amount: i64,
    pub(super) reversed_at: DateTime<Utc>,
}

impl Notice {
    pub(super) fn for_judging(&self) -> notice::Notice {
        notice::Notice {
            business_date: self.business_date,
            number: self.number,
            amount: self.amount,
        }
    }
}

/// Our command of a notice's number.
#[derive(Debug, Clone)]
pub(super) struct Command {
    pub(super) firmbanking_id: Uuid,
    pub(super) state: String,
    pub(super) amount: i64,
    pub(super) purpose: String,
    pub(super) origin_id: Option<Uuid>,
    pub(super) correlation_id: String,
    pub(super) traceparent: Option<String>,
    /// Whether it has come back before.
    pub(super) came_back: bool,
    /// The bank of the receiving account, where that is ours too.
    pub(super) to_ours: Option<String>,
    /// Whether a transfer that undoes it is approved, and its bank has yet to answer.
    pub(super) being_undone: bool,
}

impl Command {
    pub(super) fn for_judging(&self) -> notice::Command<'_> {
        notice::Command {
            firmbanking_id: self.firmbanking_id,
            state: &self.state,
            amount: self.amount,
            purpose: &self.purpose,
            is_of_flow: self.origin_id.is_some(),
            came_back: self.came_back,
            being_undone: self.being_undone,
        }
    }
}

/// Notices that wait, with our commands of their numbers. Those longest unlooked
/// at come first, so that some that must wait do not stand before all others.
pub(super) async fn waiting(
    connection: &mut PgConnection,
    bank_code: &str,
) -> Result<Vec<(Notice, Option<Command>)>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT n.notice_date, n.notice_number, n.business_date, n.transaction_number, n.amount,
                n.reversed_at, f.firmbanking_id, f.state, f.amount, f.purpose, f.origin_id,
                f.correlation_id, f.traceparent,
                EXISTS (SELECT 1 FROM banking.reversal r WHERE r.firmbanking_id = f.firmbanking_id),
                CASE WHEN f.to_ours THEN f.to_bank END
           FROM banking.notice n
           LEFT JOIN banking.firmbanking f
                  ON f.from_bank = n.bank_code AND f.business_date = n.business_date
                 AND f.transaction_number = n.transaction_number
          WHERE n.bank_code = $1 AND n.state = 'waits'
          ORDER BY n.changed_at, n.notice_date, n.notice_number LIMIT $2
            FOR UPDATE OF n SKIP LOCKED",
    )
    .bind(bank_code)
    .bind(BATCH)
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            let notice = Notice {
                bank_code: bank_code.to_owned(),
                notice_date: row.try_get(0)?,
                notice_number: row.try_get(1)?,
                business_date: row.try_get(2)?,
                number: row.try_get(3)?,
                amount: row.try_get(4)?,
                reversed_at: row.try_get(5)?,
            };
            let firmbanking_id: Option<Uuid> = row.try_get(6)?;
            let command = match firmbanking_id {
                None => None,
                Some(firmbanking_id) => Some(Command {
                    firmbanking_id,
                    state: row.try_get(7)?,
                    amount: row.try_get(8)?,
                    purpose: row.try_get(9)?,
                    origin_id: row.try_get(10)?,
                    correlation_id: row.try_get(11)?,
                    traceparent: row.try_get(12)?,
                    came_back: row.try_get(13)?,
                    to_ours: row.try_get(14)?,
                    being_undone: false,
                }),
            };
            Ok((notice, command))
        })
        .collect()
}
