//! `POST /firmbankings/{id}/undo`, `POST /firmbankings/{id}/undo/approval`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use mypay_cases::{Proposal, Undo, UndoError};
use serde::Deserialize;

use super::App;
use super::bank_cases::idempotency_key;
use super::caller::Caller;
use super::extract::{Body, Headers, Id};
use super::problem::{Problem, ProblemBody};

/// Why a payout is to be undone; who proposes it, the token says.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UndoBody {
    #[schema(
        example = "Paid to a wrong account of the receiver; agreed by telephone, 14:05",
        min_length = 1,
        max_length = 1_000
    )]
    pub(in crate::http) reason: String,
}

/// Proposes to undo a payout that its bank has done.
///
/// There is no message that cancels a transfer: a payout of a remittance, a settlement or
/// a closing comes back by a new one, from the receiver's account to ours at the same
/// bank. Nothing happens before another operator approves. A payout is undone once,
/// whatever came of it.
#[utoipa::path(
    post,
    path = "/firmbankings/{id}/undo",
    tag = "firmbankings",
    params(
        ("id" = Uuid, Path, description = "The payout's command"),
        ("Idempotency-Key" = Uuid, Header, description = "The proposal's id"),
    ),
    request_body = UndoBody,
    responses(
        (status = 201, description = "Proposed", body = Undo),
        (status = 200, description = "Proposed before: how it stands", body = Undo),
        (status = 404, description = "No such command was taken in", body = ProblemBody),
        (status = 409, description = "`not_undoable`, `already_undone`, `id_conflict`", body = ProblemBody),
        (status = 422, description = "The content; `no_contract` with the receiver's bank", body = ProblemBody),
    )
)]
pub(crate) async fn propose(
    State(app): State<Arc<App>>,
    caller: Caller,
    Id(firmbanking_id): Id,
    headers: Headers,
    Body(body): Body<UndoBody>,
) -> Result<(StatusCode, Json<Undo>), Problem> {
    let proposal = Proposal {
        proposal_id: idempotency_key(headers)?,
        firmbanking_id,
        operator: caller.name(),
        reason: body.reason,
    };
    let (undo, new) = mypay_cases::propose(&app.pool, &proposal).await?;
    let status = if new {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    Ok((status, Json(undo)))
}

/// Approves that a payout is undone: another operator than the one who proposed it.
///
/// The command goes to the receiver's bank. When that has done it, the money is given back
/// as one that a bank has reversed: to the sender (the fee is not), to what is owed to the
/// franchise, or to what is kept for the closed member. Refused, and all stays as it was.
#[utoipa::path(
    post,
    path = "/firmbankings/{id}/undo/approval",
    tag = "firmbankings",
    params(("id" = Uuid, Path, description = "The payout's command")),
    responses(
        (status = 202, description = "Approved", body = Undo),
        (status = 200, description = "Approved before, by the same operator: how it stands", body = Undo),
        (status = 404, description = "No such command was taken in, or nobody has proposed to undo it", body = ProblemBody),
        (status = 409, description = "`same_operator`, `already_approved`, `not_undoable`", body = ProblemBody),
        (status = 422, description = "`no_contract` with the receiver's bank", body = ProblemBody),
    )
)]
pub(crate) async fn approve(
    State(app): State<Arc<App>>,
    caller: Caller,
    Id(firmbanking_id): Id,
) -> Result<(StatusCode, Json<Undo>), Problem> {
    let approved = mypay_cases::approve(&app.pool, firmbanking_id, &caller.name()).await;
    let (undo, new) = approved?;
    let status = if new {
        StatusCode::ACCEPTED
    } else {
        StatusCode::OK
    };
    Ok((status, Json(undo)))
}

impl From<UndoError> for Problem {
    fn from(error: UndoError) -> Self {
        let detail = error.to_string();
        match error {
            UndoError::Invalid(invalid) => invalid.into(),
            UndoError::NoSuchCommand(_) => Self::not_found("unknown_firmbanking", detail),
            UndoError::NotProposed(_) => Self::not_found("no_undo", detail),
            UndoError::NotUndoable(_) => Self::conflict("not_undoable", detail),
            UndoError::NoContract(_) => Self::invalid("no_contract", detail),
            UndoError::Already(_) => Self::conflict("already_undone", detail),
            UndoError::SameOperator(_) => Self::conflict("same_operator", detail),
            UndoError::ApprovedBy(_) => Self::conflict("already_approved", detail),
            UndoError::OtherProposal => Self::conflict("id_conflict", detail),
            UndoError::Database(error) => error.into(),
        }
    }
}
