//! `mypay topics plan | apply | drift | lint`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Subcommand;
use mypay_stack::Endpoints;
use mypay_topics::{Cluster, Comparison, Finding, Plan, Profile, known_schemas, lint};
use serde_json::json;

use super::schemas;

/// The cluster differs, or a rule is broken.
const DIFFERENT: u8 = 1;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Show what `apply` would do; exit 1 if a rule is broken, a schema is
    /// incompatible or a change is refused.
    Plan(Target),
    /// Make the cluster as planned; exit 1 if a rule is broken or a change is refused.
    Apply(Target),
    /// Compare the cluster with the plan; exit 1 if it differs.
    Drift(Target),
    /// Check the plan itself, in every profile; exit 1 if a rule is broken.
    Lint {
        /// Another plan than the one in this binary.
        #[arg(long, value_name = "YAML")]
        file: Option<PathBuf>,
    },
}

/// Which plan, and which cluster.
#[derive(clap::Args)]
struct Target {
    /// Where the plan is to hold: local or production.
    #[arg(long, env = "MYPAY_PROFILE", default_value = "local")]
    profile: Profile,
    /// Another plan than the one in this binary.
    #[arg(long, value_name = "YAML")]
    file: Option<PathBuf>,
    /// Kafka's bootstrap servers; the local stack's where not given.
    #[arg(long, env = "MYPAY_KAFKA_BOOTSTRAP", value_name = "HOST:PORT,..")]
    bootstrap: Option<String>,
    /// The registry that `plan` compares the schemas with; the local stack's where
    /// neither this nor --bootstrap is given.
    #[arg(
        long,
        env = "MYPAY_REGISTRY_URL",
        hide_env_values = true,
        value_name = "URL"
    )]
    registry: Option<String>,
}

impl Args {
    pub(crate) async fn run(self, json: bool) -> anyhow::Result<ExitCode> {
        match self.action {
            Action::Plan(target) => target.plan(json).await,
            Action::Apply(target) => target.apply(json).await,
            Action::Drift(target) => target.drift(json).await,
            Action::Lint { file } => lint_all(file, json),
        }
    }
}

impl Target {
    async fn plan(self, json: bool) -> anyhow::Result<ExitCode> {
        let plan = read(self.file.as_ref(), self.profile)?;
        let findings = lint(&plan, &known_schemas());
        let schemas = schemas::problems(self.registry()?.as_deref()).await?;
        let comparison = self.cluster()?.compare(&plan).await?;
        if json {
            let mut report = as_json(&plan, &comparison);
            report["findings"] = json!(findings);
            report["schemas"] = json!(schemas);
            println!("{report:#}");
        } else {
            print_comparison(&plan, &comparison, true);
            print_findings(&findings);
            schemas::print_problems(&schemas);
        }
        let fine = findings.is_empty() && schemas.is_empty() && !comparison.has_refusals();
        Ok(code(fine))
    }

    async fn apply(self, json: bool) -> anyhow::Result<ExitCode> {
        let plan = read(self.file.as_ref(), self.profile)?;
        let findings = lint(&plan, &known_schemas());
        if !findings.is_empty() {
            // A topic cannot be taken back, so nothing is done with a broken plan.
            if json {
                println!("{:#}", json!({ "changed": false, "findings": findings }));
            } else {
                print_findings(&findings);
                println!("nothing was applied");
            }
            return Ok(code(false));
        }
        let applied = self.cluster()?.apply(&plan).await?;
        if json {
            // `as_planned` here tells of the cluster before it was changed.
            let mut report = as_json(&plan, &applied.found);
            report["changed"] = json!(applied.changed);
            println!("{report:#}");
        } else {
            print_comparison(&plan, &applied.found, false);
            println!(
                "{}",
                if applied.changed {
                    "applied"
                } else {
                    "nothing to do"
                }
            );
        }
        Ok(code(!applied.found.has_refusals()))
    }

    async fn drift(self, json: bool) -> anyhow::Result<ExitCode> {
        let plan = read(self.file.as_ref(), self.profile)?;
        let comparison = self.cluster()?.compare(&plan).await?;
        let as_planned = comparison.is_as_planned();
        if json {
            println!("{:#}", as_json(&plan, &comparison));
        } else if as_planned {
            println!(
                "{} topics are as planned ({})",
                plan.topics.len(),
                plan.profile
            );
        } else {
            print_comparison(&plan, &comparison, false);
        }
        Ok(code(as_planned))
    }

    fn cluster(&self) -> anyhow::Result<Cluster> {
        let bootstrap = match &self.bootstrap {
            Some(bootstrap) => bootstrap.clone(),
            None => Endpoints::discover()?.kafka_bootstrap,
        };
        Ok(Cluster::new(&bootstrap)?)
    }

    /// The registry to ask: the one that was named, or that of the local stack
    /// where the topics are the local stack's too.
    fn registry(&self) -> anyhow::Result<Option<String>> {
        Ok(match (&self.registry, &self.bootstrap) {
            (Some(url), _) => Some(url.clone()),
            (None, Some(_)) => None,
            (None, None) => Some(Endpoints::discover()?.registry_url),
        })
    }
}

fn lint_all(file: Option<PathBuf>, json: bool) -> anyhow::Result<ExitCode> {
    let mut findings = Vec::new();
    for profile in Profile::ALL {
        let plan = read(file.as_ref(), profile)?;
        for finding in lint(&plan, &known_schemas()) {
            // What is wrong in every profile is told once.
            if !findings.contains(&finding) {
                findings.push(finding);
            }
        }
    }
    if json {
        println!("{:#}", json!({ "findings": findings }));
    } else if findings.is_empty() {
        println!("{} rules hold", mypay_topics::LINTS.len());
    } else {
        print_findings(&findings);
    }
    Ok(code(findings.is_empty()))
}

fn read(file: Option<&PathBuf>, profile: Profile) -> anyhow::Result<Plan> {
    let Some(path) = file else {
        return Ok(Plan::load(profile)?);
    };
    let place = || path.display().to_string();
    let yaml = std::fs::read_to_string(path).with_context(place)?;
    Plan::parse(&yaml, profile).with_context(place)
}

fn code(fine: bool) -> ExitCode {
    if fine {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(DIFFERENT)
    }
}

fn as_json(plan: &Plan, comparison: &Comparison) -> serde_json::Value {
    json!({
        "profile": plan.profile,
        "as_planned": comparison.is_as_planned(),
        "topics": comparison.topics,
        "unplanned": comparison.unplanned,
    })
}

/// A topic a row; without `all`, only those that differ.
fn print_comparison(plan: &Plan, comparison: &Comparison, all: bool) {
    let mut table = schemas::table(["topic", "partitions", "RF/ISR", "retention", "key", "step"]);
    for entry in comparison
        .topics
        .iter()
        .filter(|entry| all || !entry.steps.is_empty())
    {
        let Some(topic) = plan.topic(&entry.topic) else {
            continue;
        };
        let steps: Vec<String> = entry.steps.iter().map(ToString::to_string).collect();
        table.add_row([
            topic.name.clone(),
            topic.partitions.to_string(),
            format!("{}/{}", topic.replication_factor, topic.min_insync_replicas),
            topic.retention.to_string(),
            topic
                .key
                .as_ref()
                .map_or("?".to_owned(), ToString::to_string),
            if steps.is_empty() {
                "unchanged".to_owned()
            } else {
                steps.join("\n")
            },
        ]);
    }
    if !table.is_empty() {
        println!("{table}");
    }
    if !comparison.unplanned.is_empty() {
        println!(
            "not in the plan, left alone: {}",
            comparison.unplanned.join(", ")
        );
    }
}

fn print_findings(findings: &[Finding]) {
    for finding in findings {
        let rule = mypay_topics::LINTS
            .iter()
            .find(|rule| rule.id == finding.lint);
        println!("{finding}\n    why: {}", rule.map_or("", |rule| rule.why));
    }
}
