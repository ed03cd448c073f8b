//! What people decide about cases that no bank can settle any more.
//!
//! A decision is a row that says who, what and why. Whoever decides only writes
//! it ([`decide`]); the workers apply it, in the commit that changes the command.
//! A bank's own answer that comes at the last moment wins: the decision is then
//! kept as overtaken, and says by what.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::{PgPool, Row};
use tokio::sync::watch;
use uuid::Uuid;

use super::outcome::{Answered, Next};
use super::record::{self, RecordError, Recorder};

/// How often decisions are looked for.
const LOOK: Duration = Duration::from_millis(250);
/// How many are applied in one commit.
const BATCH: i64 = 100;
/// The highest fee that is believed, whole won.
const FEE_MAX: i64 = 1_000_000;
/// The longest name, and the longest reason, in characters.
const OPERATOR_MAX: usize = 100;
const REASON_MAX: usize = 1_000;

/// What an operator makes of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The bank did it: the money has moved.
    Done,
    /// The bank did not and will not: what was reserved goes back.
    Refused,
    /// The bank has never had it: it goes out again, with the same number.
    Resend,
    /// A notice that undoes nothing of ours.
    Dismiss,
}

impl Verdict {
    /// As tables and clients write it.
    pub const fn name(self) -> &'static str {
        match self {
            Verdict::Done => "done",
            Verdict::Refused => "refused",
            Verdict::Resend => "resend",
            Verdict::Dismiss => "dismiss",
        }
    }
}

impl std::str::FromStr for Verdict {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Verdict::Done, Verdict::Refused, Verdict::Resend, Verdict::Dismiss]
            .into_iter()
            .find(|verdict| verdict.name() == text)
            .ok_or_else(|| format!("'{text}': choose done, refused, resend or dismiss"))
    }
}

/// A decision.
#[derive(Debug, Clone)]
pub struct Decision {
    /// Given by whoever decides: the same again is the same decision.
    pub decision_id: Uuid,
    /// The command, or the notice's case.
    pub case_id: Uuid,
    /// What is decided.
    pub verdict: Verdict,
    /// What the bank took for the command, whole won.
    pub fee: i64,
    /// Who decides.
    pub operator: String,
    /// Why.
    pub reason: String,
}

/// Why a decision was not taken.
#[derive(Debug, thiserror::Error)]
pub enum DecideError {
    /// The decision is not complete, or not one that this case can have.
    #[error("{0}")]
    Invalid(String),
    /// There is no such case.
    #[error("there is no case {0}")]
    NoSuchCase(Uuid),
    /// Somebody, or the bank itself, was faster.
    #[error("{0}")]
    Conflict(String),
    /// The database.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// Where a decision stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// The workers have yet to apply it.
    Taken,
    /// It is applied.
    Applied,
    /// The bank's own answer was there first.
    Overtaken(String),
}

/// Takes a decision down. The same decision again changes nothing.
pub async fn decide(pool: &PgPool, decision: &Decision) -> Result<Standing, DecideError> {
    check(decision)?;
    let mut transaction = pool.begin().await?;
    let state = case_state(&mut transaction, decision.case_id)
        .await?
        .ok_or(DecideError::NoSuchCase(decision.case_id))?;
    if let Some(known) = known(&mut transaction, decision).await? {
        return known;
    }
    if !state.is_open {
        return Err(DecideError::Conflict(format!(
            "the case is closed: it is {}",
            state.name
        )));
    }
    if state.is_notice != (decision.verdict == Verdict::Dismiss) {
        let fits = if state.is_notice {
            "a notice's case can be dismissed, and nothing else"
        } else {
            "a command is done, refused, or sent again"
        };
        return Err(DecideError::Invalid(fits.to_string()));
    }
    let written = sqlx::query(
        "INSERT INTO banking.decision
                (decision_id, case_id, outcome, fee, operator, reason, decided_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT DO NOTHING",
    )
    .bind(decision.decision_id)
    .bind(decision.case_id)
    .bind(decision.verdict.name())
    .bind(decision.fee)
    .bind(decision.operator.trim())
    .bind(decision.reason.trim())
    .bind(Utc::now())
    .execute(&mut *transaction)
    .await?
    .rows_affected();
    if written == 0 {
        return Err(DecideError::Conflict(
            "another decision about this case was taken and is being applied".to_string(),
        ));
    }
    transaction.commit().await?;
    Ok(Standing::Taken)
}

/// Where a decision stands; `None`: it was never taken.
pub async fn standing(pool: &PgPool, decision_id: Uuid) -> Result<Option<Standing>, sqlx::Error> {
    let row = sqlx::query(
        "SELECT applied_at IS NOT NULL, overtaken FROM banking.decision WHERE decision_id = $1",
    )
    .bind(decision_id)
    .fetch_optional(pool)
    .await?;
    row.map(|row| Ok(stands(row.try_get(0)?, row.try_get(1)?)))
        .transpose()
}

fn stands(applied: bool, overtaken: Option<String>) -> Standing {
    match overtaken {
        Some(by) => Standing::Overtaken(by),
        None if applied => Standing::Applied,
        None => Standing::Taken,
    }
}

fn check(decision: &Decision) -> Result<(), DecideError> {
    let fits = |name: &str, text: &str, max: usize| {
        let length = text.trim().chars().count();
        if (1..=max).contains(&length) && !text.contains('\0') {
            Ok(())
        } else {
            Err(DecideError::Invalid(format!(
                "{name}: 1 to {max} characters"
            )))
        }
    };
    fits("operator", &decision.operator, OPERATOR_MAX)?;
    fits("reason", &decision.reason, REASON_MAX)?;
    if !(0..=FEE_MAX).contains(&decision.fee) {
        let problem = format!("fee: whole won from 0 to {FEE_MAX}");
        return Err(DecideError::Invalid(problem));
    }
    if decision.fee > 0 && !matches!(decision.verdict, Verdict::Done | Verdict::Refused) {
        let problem = "fee: only what the bank did or refused can have cost one".to_string();
        return Err(DecideError::Invalid(problem));
    }
    Ok(())
}

struct CaseState {
    is_notice: bool,
    is_open: bool,
    name: String,
}

/// The case, locked against answers that come meanwhile.
async fn case_state(
    connection: &mut sqlx::PgConnection,
    case_id: Uuid,
) -> Result<Option<CaseState>, sqlx::Error> {
    let command =
        sqlx::query("SELECT state FROM banking.firmbanking WHERE firmbanking_id = $1 FOR UPDATE")
            .bind(case_id)
            .fetch_optional(&mut *connection)
            .await?;
    if let Some(row) = command {
        let name: String = row.try_get(0)?;
        return Ok(Some(CaseState {
            is_notice: false,
            is_open: name == "manual",
            name,
        }));
    }
    let notice = sqlx::query("SELECT state FROM banking.notice WHERE case_id = $1 FOR UPDATE")
        .bind(case_id)
        .fetch_optional(connection)
        .await?;
    notice
        .map(|row| {
            let name: String = row.try_get(0)?;
            Ok(CaseState {
                is_notice: true,
                is_open: name == "case",
                name,
            })
        })
        .transpose()
}

/// The standing of the same decision, where it was taken before; a conflict,
/// where its id was used for another.
async fn known(
    connection: &mut sqlx::PgConnection,
    decision: &Decision,
) -> Result<Option<Result<Standing, DecideError>>, sqlx::Error> {
    let row = sqlx::query(
        "SELECT case_id = $2 AND outcome = $3 AND fee = $4 AND operator = $5 AND reason = $6,
                applied_at IS NOT NULL, overtaken
           FROM banking.decision WHERE decision_id = $1",
    )
    .bind(decision.decision_id)
    .bind(decision.case_id)
    .bind(decision.verdict.name())
    .bind(decision.fee)
    .bind(decision.operator.trim())
    .bind(decision.reason.trim())
    .fetch_optional(connection)
    .await?;
    let Some(row) = row else { return Ok(None) };
    if row.try_get(0)? {
        return Ok(Some(Ok(stands(row.try_get(1)?, row.try_get(2)?))));
    }
    let problem = "this decision's id was used for another decision".to_string();
    Ok(Some(Err(DecideError::Conflict(problem))))
}

/// Applies decisions until `stop` turns true.
pub(super) async fn apply_all(recorder: Recorder, mut stop: watch::Receiver<bool>) {
    while !*stop.borrow() {
        match apply(&recorder).await {
            Ok(0) => {}
            Ok(_) => recorder.ring(),
            Err(error) if error.is_transient() => {
                tracing::warn!(%error, "decisions are not applied yet");
            }
            Err(error) => tracing::error!(%error, "decisions that cannot be applied"),
        }
        // Either ends the wait; the loop looks which it was.
        let _ = tokio::time::timeout(LOOK, stop.wait_for(|stop| *stop)).await;
    }
}

struct Taken {
    decision_id: Uuid,
    answered: Answered,
}

/// Applies what was decided; tells how many decisions were looked at.
async fn apply(recorder: &Recorder) -> Result<usize, RecordError> {
    let at = record::now();
    let mut transaction = recorder.pool.begin().await?;
    let notices = dismiss(&mut transaction, at).await?;
    // The command's row first, as everybody who changes it does.
    let rows = sqlx::query(
        "SELECT d.decision_id, f.firmbanking_id, f.fence, d.outcome, d.fee, d.operator, d.reason
           FROM banking.decision d
           JOIN banking.firmbanking f ON f.firmbanking_id = d.case_id
          WHERE d.applied_at IS NULL AND d.overtaken IS NULL
          ORDER BY f.firmbanking_id LIMIT $1
            FOR UPDATE OF f, d SKIP LOCKED",
    )
    .bind(BATCH)
    .fetch_all(&mut *transaction)
    .await?;
    let taken = rows
        .iter()
        .map(|row| taken(row, at))
        .collect::<Result<Vec<_>, _>>()?;
    if taken.is_empty() {
        transaction.commit().await?;
        return Ok(notices as usize);
    }
    let (ids, answers): (Vec<Uuid>, Vec<Answered>) = taken
        .into_iter()
        .map(|taken| (taken.decision_id, taken.answered))
        .unzip();
    let changed = recorder
        .settle(&mut transaction, &answers, &["manual"], at)
        .await?;
    let changed: Vec<Uuid> = changed.iter().map(|it| it.firmbanking_id).collect();
    sqlx::query(
        "UPDATE banking.decision d
            SET applied_at = CASE WHEN d.case_id = ANY($2) THEN $3::timestamptz END,
                overtaken = CASE WHEN d.case_id = ANY($2) THEN NULL
                                 ELSE 'the command was ' || f.state || ' by then' END
           FROM banking.firmbanking f
          WHERE d.decision_id = ANY($1) AND f.firmbanking_id = d.case_id",
    )
    .bind(&ids)
    .bind(&changed)
    .bind(at)
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(ids.len() + notices as usize)
}

fn taken(row: &sqlx::postgres::PgRow, at: DateTime<Utc>) -> Result<Taken, sqlx::Error> {
    let (outcome, fee): (String, i64) = (row.try_get(3)?, row.try_get(4)?);
    let (operator, reason): (String, String) = (row.try_get(5)?, row.try_get(6)?);
    let next = match outcome.as_str() {
        "done" => Next::Done {
            fee,
            bank_reference: String::new(),
        },
        "refused" => Next::Refused {
            reason: "refused_by_operator".to_string(),
            fee,
        },
        _ => Next::Pending { due_at: at },
    };
    Ok(Taken {
        decision_id: row.try_get(0)?,
        answered: Answered {
            firmbanking_id: row.try_get(1)?,
            fence: row.try_get(2)?,
            next,
            detail: format!("{operator} decided {outcome}: {reason}"),
            conclusive: false,
        },
    })
}

/// Closes notices that were dismissed; tells how many.
async fn dismiss(
    connection: &mut sqlx::PgConnection,
    at: DateTime<Utc>,
) -> Result<u64, sqlx::Error> {
    let dismissed = sqlx::query(
        "WITH dismissed AS (
             UPDATE banking.notice n
                SET state = 'dismissed', changed_at = $1,
                    detail = concat_ws('; ', n.detail, d.operator || ' dismissed it: ' || d.reason)
               FROM banking.decision d
              WHERE d.case_id = n.case_id AND d.outcome = 'dismiss' AND n.state = 'case'
                AND d.applied_at IS NULL AND d.overtaken IS NULL
             RETURNING d.decision_id
         )
         UPDATE banking.decision d SET applied_at = $1
           FROM dismissed WHERE d.decision_id = dismissed.decision_id",
    )
    .bind(at)
    .execute(connection)
    .await?;
    Ok(dismissed.rows_affected())
}
