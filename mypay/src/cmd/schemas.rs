//! `mypay schemas check | register`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;
use comfy_table::{ContentArrangement, LineStyle, Row, Table, presets};
use mypay_schemas::registry::{
    Checked, RegistryError, check_all, check_offline, register_all, released_directory,
};
use mypay_stack::Endpoints;
use serde_json::json;

/// A schema is incompatible, or breaks the contract.
const INCOMPATIBLE: u8 = 1;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Compare each schema with the last release and with all versions in the
    /// registry; exit 1 if one is incompatible.
    Check {
        /// Only with the last release: no server is asked.
        #[arg(long)]
        offline: bool,
        /// Where the released schemas lie.
        #[arg(long, value_name = "DIR", default_value_os_t = released_directory())]
        released: PathBuf,
        #[command(flatten)]
        registry: Registry,
    },
    /// Register each schema under `<topic>-value`; exit 1 if one is refused.
    Register {
        #[command(flatten)]
        registry: Registry,
    },
}

#[derive(clap::Args)]
struct Registry {
    /// The registry's Confluent-compatible API; the local stack's where not given.
    #[arg(
        long = "registry",
        env = "MYPAY_REGISTRY_URL",
        hide_env_values = true,
        value_name = "URL"
    )]
    url: Option<String>,
}

impl Registry {
    fn url(self) -> anyhow::Result<String> {
        match self.url {
            Some(url) => Ok(url),
            None => Ok(Endpoints::discover()?.registry_url),
        }
    }
}

impl Args {
    pub(crate) async fn run(self, json: bool) -> anyhow::Result<ExitCode> {
        match self.action {
            Action::Check {
                offline,
                released,
                registry,
            } => {
                let mut checked = check_offline(&released)?;
                if !offline {
                    merge(&mut checked, check_all(&registry.url()?).await?);
                }
                Ok(report_check(&checked, json))
            }
            Action::Register { registry } => register(&registry.url()?, json).await,
        }
    }
}

async fn register(url: &str, json: bool) -> anyhow::Result<ExitCode> {
    let registered = match register_all(url).await {
        Ok(registered) => registered,
        Err(refused @ RegistryError::Refused { .. }) => {
            eprintln!("error: {refused}");
            return Ok(ExitCode::from(INCOMPATIBLE));
        }
        Err(error) => return Err(error.into()),
    };
    if json {
        println!("{:#}", json!({ "registered": registered }));
    } else {
        let mut table = table(["subject", "id", "version"]);
        for entry in registered {
            table.add_row([
                entry.subject,
                entry.id.to_string(),
                entry.version.to_string(),
            ]);
        }
        println!("{table}");
    }
    Ok(ExitCode::SUCCESS)
}

fn report_check(checked: &[Checked], json: bool) -> ExitCode {
    let fine = checked.iter().all(|entry| entry.problems.is_empty());
    if json {
        println!("{:#}", json!({ "compatible": fine, "subjects": checked }));
    } else {
        let mut table = table(["subject", "compared with", "found"]);
        for entry in checked {
            let found = if entry.problems.is_empty() {
                "ok".to_owned()
            } else {
                entry.problems.join("\n")
            };
            table.add_row([entry.subject.clone(), entry.compared.join("\n"), found]);
        }
        println!("{table}");
    }
    if fine {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(INCOMPATIBLE)
    }
}

/// The subjects with problems, for `mypay topics plan`: against the last release
/// where this machine has the tree, and against the registry where one is given.
pub(crate) async fn problems(registry: Option<&str>) -> anyhow::Result<Vec<Checked>> {
    let mut checked = Vec::new();
    let released = released_directory();
    if released.is_dir() {
        checked = check_offline(&released)?;
    }
    if let Some(url) = registry {
        merge(&mut checked, check_all(url).await?);
    }
    checked.retain(|entry| !entry.problems.is_empty());
    Ok(checked)
}

pub(crate) fn print_problems(checked: &[Checked]) {
    for entry in checked {
        for problem in &entry.problems {
            println!("[schema-compatible] {}: {problem}", entry.subject);
        }
    }
}

/// Puts the findings on one subject together.
fn merge(checked: &mut Vec<Checked>, more: Vec<Checked>) {
    for entry in more {
        match checked
            .iter_mut()
            .find(|known| known.subject == entry.subject)
        {
            Some(known) => {
                known.compared.extend(entry.compared);
                known.problems.extend(entry.problems);
            }
            None => checked.push(entry),
        }
    }
}

/// A table as the commands print it: a line under the header and no frame, so
/// that `grep` and `awk` work on it too.
pub(crate) fn table<T: Into<Row>>(header: T) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING.header_separator(LineStyle::none().fill('─')))
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(header);
    table
}
