//! `mypay dlq`: the dead letters, what to do about them, and what was done.

mod print;

use std::process::ExitCode;

use clap::Subcommand;
use mypay_audit::dlq::{self, Selector};
use mypay_audit::{AuditError, Servers};
use mypay_schemas::Flow;
use serde_json::json;
use uuid::Uuid;

/// What was to be released is not parked (any more).
const NOT_PARKED: u8 = 1;

/// Look at the dead letters, put their messages through again, or give one up.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// All dead letters, by what they died of.
    Groups {
        /// Of one flow.
        #[arg(long)]
        flow: Option<Flow>,
    },
    /// The dead letters of one fingerprint, the oldest first.
    Show {
        /// As `groups` lists it.
        fingerprint: String,
        /// How many of them.
        #[arg(long, value_name = "N", default_value_t = 20)]
        limit: usize,
    },
    /// Put the messages of dead letters through again, under their own ids: what was
    /// done stays done. Where a key is parked, all that is parked of it goes through.
    Redrive(Redrive),
    /// Give up a parked message that can never be handled, so that those behind it can
    /// be put through: it is done with the reason `given_up`, and stays so. With --key
    /// alone, all that waits under the key, in its order; where one of them cannot be
    /// given up, none is. What a request of ours waits for (a bank's answer, a top-up)
    /// cannot be. Exit 1 where nothing such is parked.
    Release(Release),
}

/// At least one says which letters are meant; those that all of them fit are.
#[derive(clap::Args)]
struct Redrive {
    #[command(flatten)]
    which: Which,
    /// Count, and put nothing through.
    #[arg(long)]
    dry_run: bool,
}

#[derive(clap::Args)]
#[group(required = true, multiple = true)]
struct Which {
    /// Of one flow.
    #[arg(long)]
    flow: Option<Flow>,
    /// Of one fingerprint, as `groups` lists it.
    #[arg(long)]
    fingerprint: Option<String>,
    /// Of one message.
    #[arg(long, value_name = "ID")]
    message_id: Option<Uuid>,
}

#[derive(clap::Args)]
struct Release {
    /// Whose consumer has parked it.
    #[arg(long)]
    flow: Flow,
    #[command(flatten)]
    parked: Parked,
    /// Who gives it up.
    #[arg(long, value_name = "NAME")]
    by: String,
    /// Why.
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

#[derive(clap::Args)]
#[group(required = true, multiple = true)]
struct Parked {
    /// The message.
    #[arg(long, value_name = "ID")]
    message_id: Option<Uuid>,
    /// All that waits under the key; or the key of the message, where several are
    /// parked under its id.
    #[arg(long)]
    key: Option<String>,
}

impl Args {
    pub(crate) async fn run(self, json: bool) -> anyhow::Result<ExitCode> {
        let servers = super::audit::servers()?;
        match self.action {
            Action::Groups { flow } => {
                let groups = dlq::groups(&servers, flow).await?;
                if json {
                    println!("{}", serde_json::to_string_pretty(&groups)?);
                } else {
                    print::groups(&groups);
                }
            }
            Action::Show { fingerprint, limit } => {
                let letters = dlq::show(&servers, &fingerprint, limit).await?;
                if json {
                    println!("{}", serde_json::to_string_pretty(&letters)?);
                } else {
                    print::letters(&letters);
                }
            }
            Action::Redrive(redrive) => return redrive.run(json).await,
            Action::Release(release) => return release.run(json).await,
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Release {
    async fn run(self, json: bool) -> anyhow::Result<ExitCode> {
        let servers = super::audit::servers()?;
        match self.give_up(&servers, json).await {
            Ok(()) => Ok(ExitCode::SUCCESS),
            Err(error @ (AuditError::NotParked { .. } | AuditError::KeyNotParked { .. })) => {
                eprintln!("error: {error}");
                Ok(ExitCode::from(NOT_PARKED))
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn give_up(&self, servers: &Servers, json: bool) -> Result<(), AuditError> {
        let Self {
            flow, by, reason, ..
        } = self;
        let (flow, key) = (*flow, self.parked.key.as_deref());
        match (self.parked.message_id, key) {
            (Some(message_id), _) => {
                let released = dlq::release(servers, flow, message_id, key, by, reason).await?;
                match json {
                    true => println!("{:#}", json!(released)),
                    false => print::released(flow, message_id, &released),
                }
            }
            (None, key) => {
                let key = key.unwrap_or_default();
                let released = dlq::release_key(servers, flow, key, by, reason).await?;
                match json {
                    true => println!("{:#}", json!(released)),
                    false => print::released_key(flow, &released),
                }
            }
        }
        Ok(())
    }
}

impl Redrive {
    async fn run(self, json: bool) -> anyhow::Result<ExitCode> {
        let servers = super::audit::servers()?;
        let selector = Selector {
            flow: self.which.flow,
            fingerprint: self.which.fingerprint,
            message_id: self.which.message_id,
        };
        let plan = dlq::redrive(&servers, &selector).await?;
        let report = plan.report.clone();
        if !json {
            print::plan(&report);
        }
        let put_through = if self.dry_run {
            0
        } else {
            plan.apply(&servers).await?
        };
        if json {
            let mut said = serde_json::to_value(&report)?;
            said["dry_run"] = json!(self.dry_run);
            said["put_through"] = json!(put_through);
            println!("{said:#}");
        } else if self.dry_run {
            println!("a dry run: nothing was put through");
        } else {
            println!(
                "{put_through} messages were put through again; once they are handled (`mypay audit --wait 60`), \
                 `mypay dlq groups` tells what is still parked"
            );
        }
        Ok(ExitCode::SUCCESS)
    }
}
