//! Cases, with all that is known of them.

use chrono::{DateTime, NaiveDate, Utc};
use serde::Serialize;
use sqlx::postgres::PgRow;
use sqlx::{PgPool, Row};
use uuid::Uuid;

/// Something that people must settle.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Case {
    /// The command's id; of a notice, an id made of bank, day and number.
    pub case_id: Uuid,
    /// `command` or `notice`.
    pub kind: String,
    /// Of a command `manual` while it is open, then what it became; of a notice
    /// `case`, then `dismissed`.
    pub state: String,
    /// The bank that was commanded, or that wrote the notice.
    pub bank_code: String,
    /// The command's business date in Korea.
    pub business_date: Option<NaiveDate>,
    /// The command's number at the bank, as the bank knows it.
    #[schema(example = "000042")]
    pub transaction_number: Option<String>,
    /// Whole won; 0 of a notice that the bank never gave us.
    pub amount: i64,
    /// The last thing that was seen.
    pub why: Option<String>,
    /// Since when it is in this state.
    pub since: DateTime<Utc>,
}

/// All that is known of a case.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Known {
    /// The case.
    #[serde(flatten)]
    pub case: Case,
    /// `recharge`, `remittance`, `settlement`, or a client's own word; none of a notice.
    pub purpose: Option<String>,
    /// The request of another flow that asked for the command.
    pub origin_id: Option<Uuid>,
    /// The account that is debited.
    pub from_account: Option<String>,
    /// The account that is credited.
    pub to_account: Option<String>,
    /// How often it was sent.
    pub calls: i32,
    /// How often it was inquired about.
    pub inquiries: i32,
    /// When the first byte of the last call may have left.
    pub sent_at: Option<DateTime<Utc>>,
    /// What was seen, step by step; the oldest first.
    pub history: Vec<Step>,
    /// What was decided; the oldest first.
    pub decisions: Vec<Decided>,
}

/// A step of a command.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Step {
    /// When.
    pub at: DateTime<Utc>,
    /// The state that it came into, or stayed in.
    pub state: String,
    /// What was seen.
    pub detail: Option<String>,
}

/// A decision that was taken down.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Decided {
    /// Its id.
    pub decision_id: Uuid,
    /// `done`, `refused`, `resend` or `dismiss`.
    pub outcome: String,
    /// What the bank took, whole won.
    pub fee: i64,
    /// Who.
    pub operator: String,
    /// Why.
    pub reason: String,
    /// When.
    pub decided_at: DateTime<Utc>,
    /// When it was applied.
    pub applied_at: Option<DateTime<Utc>>,
    /// What was there before it, and made it void.
    pub overtaken: Option<String>,
}

/// So many open cases, the oldest first; after the one that has been open since an
/// instant and has an id, where that is given.
pub async fn list(
    pool: &PgPool,
    after: Option<(DateTime<Utc>, Uuid)>,
    most: i64,
) -> Result<Vec<Case>, sqlx::Error> {
    let (since, id) = after.unzip();
    let rows = sqlx::query(
        "SELECT *
           FROM (SELECT f.firmbanking_id AS id, 'command', f.state, f.from_bank, f.business_date,
                        f.transaction_number, f.amount,
                        (SELECT h.detail FROM banking.firmbanking_history h
                          WHERE h.firmbanking_id = f.firmbanking_id
                          ORDER BY h.seq DESC LIMIT 1),
                        f.changed_at AS since
                   FROM banking.firmbanking f WHERE f.state = 'manual'
                  UNION ALL
                 SELECT n.case_id, 'notice', n.state, n.bank_code, n.business_date,
                        n.transaction_number, coalesce(n.amount, 0), n.detail, n.changed_at
                   FROM banking.notice n WHERE n.state = 'case') AS open
          WHERE $1::timestamptz IS NULL OR (since, id) > ($1, $2::uuid)
          ORDER BY since, id LIMIT $3",
    )
    .bind(since)
    .bind(id)
    .bind(most)
    .fetch_all(pool)
    .await?;
    rows.iter().map(case).collect()
}

fn case(row: &PgRow) -> Result<Case, sqlx::Error> {
    let number: Option<i32> = row.try_get(5)?;
    Ok(Case {
        case_id: row.try_get(0)?,
        kind: row.try_get(1)?,
        state: row.try_get(2)?,
        bank_code: row.try_get(3)?,
        business_date: row.try_get(4)?,
        transaction_number: number.map(|number| format!("{number:06}")),
        amount: row.try_get(6)?,
        why: row.try_get(7)?,
        since: row.try_get(8)?,
    })
}

/// All that is known of a case, open or closed; `None`: there is none.
pub async fn find(pool: &PgPool, case_id: Uuid) -> Result<Option<Known>, sqlx::Error> {
    let row = sqlx::query(
        "SELECT f.firmbanking_id, 'command', f.state, f.from_bank, f.business_date,
                f.transaction_number, f.amount, f.reason, f.changed_at, f.purpose, f.origin_id,
                f.from_bank || '-' || f.from_account, f.to_bank || '-' || f.to_account, f.calls,
                f.inquiries, f.sent_at
           FROM banking.firmbanking f
          WHERE f.firmbanking_id = $1
            AND (f.state = 'manual'
                 OR EXISTS (SELECT 1 FROM banking.firmbanking_history h
                             WHERE h.firmbanking_id = $1 AND h.state = 'manual'))
          UNION ALL
         SELECT n.case_id, 'notice', n.state, n.bank_code, n.business_date, n.transaction_number,
                coalesce(n.amount, 0), n.detail, n.changed_at, NULL, NULL, NULL, NULL, 0, 0, NULL
           FROM banking.notice n WHERE n.case_id = $1 AND n.state IN ('case', 'dismissed')",
    )
    .bind(case_id)
    .fetch_optional(pool)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let mut case = case(&row)?;
    let history = history(pool, case_id).await?;
    if let Some(last) = history.last() {
        case.why.clone_from(&last.detail);
    }
    Ok(Some(Known {
        case,
        purpose: row.try_get(9)?,
        origin_id: row.try_get(10)?,
        from_account: row.try_get(11)?,
        to_account: row.try_get(12)?,
        calls: row.try_get(13)?,
        inquiries: row.try_get(14)?,
        sent_at: row.try_get(15)?,
        history,
        decisions: decisions(pool, case_id).await?,
    }))
}

async fn history(pool: &PgPool, case_id: Uuid) -> Result<Vec<Step>, sqlx::Error> {
    sqlx::query(
        "SELECT changed_at, state, detail FROM banking.firmbanking_history
          WHERE firmbanking_id = $1 ORDER BY seq",
    )
    .bind(case_id)
    .fetch_all(pool)
    .await?
    .iter()
    .map(|row| {
        Ok(Step {
            at: row.try_get(0)?,
            state: row.try_get(1)?,
            detail: row.try_get(2)?,
        })
    })
    .collect()
}

async fn decisions(pool: &PgPool, case_id: Uuid) -> Result<Vec<Decided>, sqlx::Error> {
    sqlx::query(
        "SELECT decision_id, outcome, fee, operator, reason, decided_at, applied_at, overtaken
           FROM banking.decision WHERE case_id = $1 ORDER BY decided_at",
    )
    .bind(case_id)
    .fetch_all(pool)
    .await?
    .iter()
    .map(|row| {
        Ok(Decided {
            decision_id: row.try_get(0)?,
            outcome: row.try_get(1)?,
            fee: row.try_get(2)?,
            operator: row.try_get(3)?,
            reason: row.try_get(4)?,
            decided_at: row.try_get(5)?,
            applied_at: row.try_get(6)?,
            overtaken: row.try_get(7)?,
        })
    })
    .collect()
}
