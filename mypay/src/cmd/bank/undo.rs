//! `mypay bank undo`, `approve-undo`: payouts that two operators bring back.

use std::process::ExitCode;

use anyhow::bail;
use mypay_cases::{Proposal, Undo, UndoError};
use uuid::Uuid;

use super::cases::pool;

/// It cannot be done, or somebody was faster.
const CONFLICT: u8 = 1;

/// Propose to undo a payout.
#[derive(clap::Args)]
pub(crate) struct Propose {
    /// The payout's command.
    id: Uuid,
    /// Who proposes.
    #[arg(long)]
    operator: String,
    /// Why.
    #[arg(long)]
    reason: String,
    /// The proposal's id, to ask again how it stands.
    #[arg(long)]
    proposal_id: Option<Uuid>,
}

/// Approve that a payout is undone.
#[derive(clap::Args)]
pub(crate) struct Approve {
    /// The payout's command.
    id: Uuid,
    /// Who approves: another one than proposed it.
    #[arg(long)]
    operator: String,
}

impl Propose {
    pub(crate) async fn run(self, json: bool) -> anyhow::Result<ExitCode> {
        let proposal = Proposal {
            proposal_id: self.proposal_id.unwrap_or_else(Uuid::now_v7),
            firmbanking_id: self.id,
            operator: self.operator,
            reason: self.reason,
        };
        told(mypay_cases::propose(&pool()?, &proposal).await, json)
    }
}

impl Approve {
    pub(crate) async fn run(self, json: bool) -> anyhow::Result<ExitCode> {
        told(
            mypay_cases::approve(&pool()?, self.id, &self.operator).await,
            json,
        )
    }
}

fn told(undo: Result<(Undo, bool), UndoError>, json: bool) -> anyhow::Result<ExitCode> {
    let undo = match undo {
        Ok((undo, _)) => undo,
        Err(error) if error.is_conflict() => {
            eprintln!("error: {error}");
            return Ok(ExitCode::from(CONFLICT));
        }
        Err(error) => bail!(error),
    };
    if json {
        println!("{}", serde_json::to_string_pretty(&undo)?);
    } else {
        println!(
            "the undo of {} is {}; its command is {}",
            undo.firmbanking_id, undo.state, undo.undo_id
        );
    }
    Ok(ExitCode::SUCCESS)
}
