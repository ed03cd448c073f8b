//! Decisions: taken down here, applied by the workers at the banks.

use chrono::Utc;
use sqlx::{PgPool, Row};
use uuid::Uuid;

use crate::invalid::{Invalid, check};

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
        [
            Verdict::Done,
            Verdict::Refused,
            Verdict::Resend,
            Verdict::Dismiss,
        ]
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
    /// A field of it is at fault.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// There is no such case.
    #[error("there is no case {0}")]
    NoSuchCase(Uuid),
    /// Somebody, or the bank itself, was faster: the state that the case is in.
    #[error("the case is closed: it is {0}")]
    Closed(String),
    /// Another decision is taken down.
    #[error("another decision about this case was taken and is being applied")]
    BeingDecided,
    /// The id is another decision's.
    #[error("this decision's id was used for another decision")]
    OtherDecision,
    /// The database.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

impl DecideError {
    /// Whether somebody else was faster, and nothing is wrong with the decision itself.
    pub const fn is_conflict(&self) -> bool {
        matches!(
            self,
            Self::Closed(_) | Self::BeingDecided | Self::OtherDecision
        )
    }
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

/// Takes a decision down; tells where it stands, and whether it is new. The same
/// decision again changes nothing.
pub async fn decide(pool: &PgPool, decision: &Decision) -> Result<(Standing, bool), DecideError> {
    check(decision)?;
    let mut transaction = pool.begin().await?;
    let state = case_state(&mut transaction, decision.case_id)
        .await?
        .ok_or(DecideError::NoSuchCase(decision.case_id))?;
    if let Some(known) = known(&mut transaction, decision).await? {
        return Ok((known?, false));
    }
    if !state.is_open {
        return Err(DecideError::Closed(state.name));
    }
    if state.is_notice != (decision.verdict == Verdict::Dismiss) {
        let fits = if state.is_notice {
            "a notice's case can be dismissed, and nothing else"
        } else {
            "a command is done, refused, or sent again"
        };
        return Err(Invalid::Unfit(fits).into());
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
        return Err(DecideError::BeingDecided);
    }
    transaction.commit().await?;
    Ok((Standing::Taken, true))
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
    Ok(Some(Err(DecideError::OtherDecision)))
}
