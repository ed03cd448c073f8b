//! `mypay token`: a bearer token for the HTTP API, made with the local stack's key.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use mypay_auth::{Identity, Minter, Role, Sources};
use mypay_stack::Stack;

/// Make a token with the key that the edge checks with: that of the local stack, or
/// `MYPAY_JWT_SECRET` or `MYPAY_JWT_SECRET_FILE`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// member, franchise, staff, operator or auditor.
    #[arg(long)]
    role: Role,
    /// Whose it is: the id of a member or franchise, else a name.
    #[arg(long)]
    subject: String,
    /// For how long it is good, as in 30m, 1h or 7d.
    #[arg(long, default_value = "1h", value_parser = humantime::parse_duration)]
    expires: Duration,
}

impl Args {
    pub(crate) async fn run(self, json: bool) -> anyhow::Result<ExitCode> {
        let who = Identity::new(self.role, &self.subject).context("--subject")?;
        let key = Sources::of_environment(Stack::of_this_checkout().token_key()).key()?;
        let token = Minter::new(&key)?.mint(&who, self.expires)?;
        if json {
            let seconds = self.expires.as_secs();
            println!(
                "{}",
                serde_json::json!({ "token": token, "expires_in": seconds })
            );
        } else {
            println!("{token}");
        }
        Ok(ExitCode::SUCCESS)
    }
}
