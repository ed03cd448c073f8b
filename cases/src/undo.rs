//! Undoing a payout that its bank has done: one operator proposes it, another approves.
//!
//! Banks take no message that cancels a transfer. So a payout comes back by a new one,
//! the other way round: from its receiver's account to ours at the same bank. Here it is
//! proposed and approved; the workers ask for the command, and what its bank makes of it
//! they write down (`consumers/src/worker/undos.rs`).

use chrono::{DateTime, Utc};
use mypay_decide::limits::korean_day;
use mypay_idempotency::horizon;
use mypay_schemas::firmbanking::{
    PURPOSE_CLOSING, PURPOSE_REMITTANCE, PURPOSE_SETTLEMENT, PURPOSE_UNDO, id_of_command,
};
use mypay_schemas::identity::time_of;
use serde::Serialize;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, PgPool, Row};
use uuid::Uuid;

use crate::invalid::{Invalid, check_operator, check_words};

/// What pays out: commands of these purposes can be undone.
const PAYOUTS: [&str; 3] = [PURPOSE_REMITTANCE, PURPOSE_SETTLEMENT, PURPOSE_CLOSING];

/// An undo that is proposed.
#[derive(Debug, Clone)]
pub struct Proposal {
    /// Given by whoever proposes: the same again is the same proposal.
    pub proposal_id: Uuid,
    /// The payout's command.
    pub firmbanking_id: Uuid,
    /// Who proposes.
    pub operator: String,
    /// Why.
    pub reason: String,
}

/// An undo, and how far it has come.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Undo {
    /// The payout's command.
    pub firmbanking_id: Uuid,
    /// The command that undoes it: once it is asked for, `GET /firmbankings/{id}` has it.
    pub undo_id: Uuid,
    /// `proposed`: nothing has happened. `approved`, `asked`: the command is on its way to
    /// the bank. `done`: the money is back. `refused`: the payout stays as it was.
    #[schema(example = "proposed")]
    pub state: String,
    /// Why it was proposed.
    pub reason: String,
    /// Who proposed it.
    pub proposed_by: String,
    /// When.
    pub proposed_at: DateTime<Utc>,
    /// Who approved it: another one.
    pub approved_by: Option<String>,
    /// When.
    pub approved_at: Option<DateTime<Utc>>,
    /// Why it was refused: the bank's reason, or ours.
    pub refused_for: Option<String>,
    /// When it came into its state.
    pub changed_at: DateTime<Utc>,
}

/// Why an undo was not proposed or approved.
#[derive(Debug, thiserror::Error)]
pub enum UndoError {
    /// A field of it is at fault.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// There is no such command.
    #[error("there is no command {0}")]
    NoSuchCommand(Uuid),
    /// Nobody has proposed to undo it.
    #[error("nobody has proposed to undo the command {0}")]
    NotProposed(Uuid),
    /// It can never be undone, or not any more, and why.
    #[error("it cannot be undone: {0}")]
    NotUndoable(&'static str),
    /// There is no contract in force with the receiver's bank, which would be commanded.
    #[error("there is no contract in force with {0}, the bank of the receiver")]
    NoContract(String),
    /// A payout is undone once, whatever became of that.
    #[error("to undo it was proposed before: that is {0}, and a payout is undone once")]
    Already(String),
    /// Whoever proposes does not approve.
    #[error("{0} has proposed it: another operator must approve")]
    SameOperator(String),
    /// Another operator has approved it.
    #[error("{0} has approved it before")]
    ApprovedBy(String),
    /// The id is another proposal's.
    #[error("this proposal's id was used for another proposal")]
    OtherProposal,
    /// The database.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

impl UndoError {
    /// Whether nothing is wrong with what was asked, and it only cannot be done now.
    pub const fn is_conflict(&self) -> bool {
        !matches!(
            self,
            Self::Invalid(_) | Self::NoSuchCommand(_) | Self::Database(_)
        )
    }
}

/// Proposes to undo a payout; tells how that stands, and whether it is new. The same
/// proposal again changes nothing.
///
/// # Errors
/// [`UndoError`]; nothing is written then.
pub async fn propose(pool: &PgPool, proposal: &Proposal) -> Result<(Undo, bool), UndoError> {
    check_words(&proposal.operator, &proposal.reason)?;
    let (operator, reason) = (proposal.operator.trim(), proposal.reason.trim());
    let mut transaction = pool.begin().await?;
    let payout = payout(&mut transaction, proposal.firmbanking_id).await?;
    if let Some((undo, proposal_id)) = known(&mut transaction, proposal).await? {
        if proposal_id != proposal.proposal_id {
            return Err(UndoError::Already(undo.state));
        }
        let same = undo.firmbanking_id == proposal.firmbanking_id
            && undo.proposed_by == operator
            && undo.reason == reason;
        return same
            .then_some((undo, false))
            .ok_or(UndoError::OtherProposal);
    }
    payout.check()?;
    let row = sqlx::query(
        "INSERT INTO banking.undo AS u
                (firmbanking_id, undo_id, proposal_id, reason, proposed_by, proposed_at, changed_at)
         VALUES ($1, $2, $3, $4, $5, $6, $6)
         ON CONFLICT DO NOTHING
         RETURNING u.firmbanking_id, u.undo_id, u.state, u.reason, u.proposed_by, u.proposed_at,
                   u.approved_by, u.approved_at, u.refused_for, u.changed_at",
    )
    .bind(proposal.firmbanking_id)
    .bind(id_of_command(PURPOSE_UNDO, proposal.firmbanking_id))
    .bind(proposal.proposal_id)
    .bind(reason)
    .bind(operator)
    .bind(Utc::now())
    .fetch_optional(&mut *transaction)
    .await?
    // Of this payout nobody can have written one: its row is locked. So another one's
    // proposal has just taken the id.
    .ok_or(UndoError::OtherProposal)?;
    let undo = undo(&row)?;
    transaction.commit().await?;
    Ok((undo, true))
}

/// Approves that a payout is undone; tells how that stands, and whether it was approved
/// just now. The same operator's approval again changes nothing.
///
/// # Errors
/// [`UndoError`]; nothing is written then.
pub async fn approve(
    pool: &PgPool,
    firmbanking_id: Uuid,
    operator: &str,
) -> Result<(Undo, bool), UndoError> {
    check_operator(operator)?;
    let operator = operator.trim();
    let mut transaction = pool.begin().await?;
    let payout = payout(&mut transaction, firmbanking_id).await?;
    let proposed = select(&mut transaction, firmbanking_id).await?;
    let proposed = proposed.ok_or(UndoError::NotProposed(firmbanking_id))?;
    if proposed.proposed_by == operator {
        return Err(UndoError::SameOperator(proposed.proposed_by));
    }
    match &proposed.approved_by {
        Some(before) if before == operator => return Ok((proposed, false)),
        Some(before) => return Err(UndoError::ApprovedBy(before.clone())),
        None => payout.check()?,
    }
    let row = sqlx::query(
        "UPDATE banking.undo u
            SET state = 'approved', approved_by = $2, approved_at = $3, changed_at = $3
          WHERE u.firmbanking_id = $1 AND u.state = 'proposed'
         RETURNING u.firmbanking_id, u.undo_id, u.state, u.reason, u.proposed_by, u.proposed_at,
                   u.approved_by, u.approved_at, u.refused_for, u.changed_at",
    )
    .bind(firmbanking_id)
    .bind(operator)
    .bind(Utc::now())
    .fetch_one(&mut *transaction)
    .await?;
    let undo = undo(&row)?;
    transaction.commit().await?;
    Ok((undo, true))
}

/// How the undo of a payout stands; `None`: nobody has proposed one.
///
/// # Errors
/// The database's.
pub async fn find_undo(pool: &PgPool, firmbanking_id: Uuid) -> Result<Option<Undo>, sqlx::Error> {
    let mut connection = pool.acquire().await?;
    select(&mut connection, firmbanking_id).await
}

/// What decides whether a command can be undone.
struct Payout {
    pays_out: bool,
    state: String,
    came_back: bool,
    is_told_back: bool,
    is_forgotten: bool,
    receivers_bank: String,
    has_contract: bool,
}

impl Payout {
    fn check(&self) -> Result<(), UndoError> {
        let why = if !self.pays_out {
            "it is no payout of a remittance, a settlement or a closing"
        } else if self.state != "done" {
            "its bank has not done it"
        } else if self.came_back {
            "it has come back"
        } else if self.is_told_back {
            "its bank tells that it came back: see its notice"
        } else if self.is_forgotten {
            "it is of a week that queue_log has forgotten: its flow could not give the money back"
        } else if !self.has_contract {
            return Err(UndoError::NoContract(self.receivers_bank.clone()));
        } else {
            return Ok(());
        };
        Err(UndoError::NotUndoable(why))
    }
}

/// The command, locked: who judges what its bank says of it later waits, and sees.
async fn payout(connection: &mut PgConnection, firmbanking_id: Uuid) -> Result<Payout, UndoError> {
    sqlx::query("SELECT 1 FROM banking.firmbanking WHERE firmbanking_id = $1 FOR UPDATE")
        .bind(firmbanking_id)
        .fetch_optional(&mut *connection)
        .await?
        .ok_or(UndoError::NoSuchCommand(firmbanking_id))?;
    // A statement of its own: it sees what was committed while the lock was waited for.
    let row = sqlx::query(
        "SELECT f.purpose = ANY($2), f.state,
                EXISTS (SELECT FROM banking.reversal r WHERE r.firmbanking_id = f.firmbanking_id),
                f.to_bank,
                EXISTS (SELECT FROM banking.contract c
                         WHERE c.bank_code = f.to_bank AND c.status = 'ACTIVE'
                           AND c.expires_on >= $3),
                EXISTS (SELECT FROM banking.notice n
                         WHERE n.bank_code = f.from_bank AND n.business_date = f.business_date
                           AND n.transaction_number = f.transaction_number
                           AND n.state IN ('waits', 'case'))
           FROM banking.firmbanking f WHERE f.firmbanking_id = $1",
    )
    .bind(firmbanking_id)
    .bind(&PAYOUTS[..])
    .bind(korean_day(Utc::now()))
    .fetch_one(&mut *connection)
    .await?;
    let oldest = horizon::hold(connection).await?;
    Ok(Payout {
        pays_out: row.try_get(0)?,
        state: row.try_get(1)?,
        came_back: row.try_get(2)?,
        is_forgotten: time_of(firmbanking_id) < oldest,
        receivers_bank: row.try_get(3)?,
        has_contract: row.try_get(4)?,
        is_told_back: row.try_get(5)?,
    })
}

/// The undo of this payout, or the one whose proposal has this id, with that id.
async fn known(
    connection: &mut PgConnection,
    proposal: &Proposal,
) -> Result<Option<(Undo, Uuid)>, sqlx::Error> {
    sqlx::query(
        "SELECT u.firmbanking_id, u.undo_id, u.state, u.reason, u.proposed_by, u.proposed_at,
                u.approved_by, u.approved_at, u.refused_for, u.changed_at, u.proposal_id
           FROM banking.undo u
          WHERE u.firmbanking_id = $1 OR u.proposal_id = $2
          ORDER BY u.proposal_id = $2 DESC LIMIT 1",
    )
    .bind(proposal.firmbanking_id)
    .bind(proposal.proposal_id)
    .fetch_optional(connection)
    .await?
    .map(|row| Ok((undo(&row)?, row.try_get(10)?)))
    .transpose()
}

async fn select(
    connection: &mut PgConnection,
    firmbanking_id: Uuid,
) -> Result<Option<Undo>, sqlx::Error> {
    sqlx::query(
        "SELECT u.firmbanking_id, u.undo_id, u.state, u.reason, u.proposed_by, u.proposed_at,
                u.approved_by, u.approved_at, u.refused_for, u.changed_at
           FROM banking.undo u WHERE u.firmbanking_id = $1",
    )
    .bind(firmbanking_id)
    .fetch_optional(connection)
    .await?
    .map(|row| undo(&row))
    .transpose()
}

fn undo(row: &PgRow) -> Result<Undo, sqlx::Error> {
    Ok(Undo {
        firmbanking_id: row.try_get(0)?,
        undo_id: row.try_get(1)?,
        state: row.try_get(2)?,
        reason: row.try_get(3)?,
        proposed_by: row.try_get(4)?,
        proposed_at: row.try_get(5)?,
        approved_by: row.try_get(6)?,
        approved_at: row.try_get(7)?,
        refused_for: row.try_get(8)?,
        changed_at: row.try_get(9)?,
    })
}
