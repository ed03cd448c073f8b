//! `mypay bank cases`, `case`, `decide`: what people must settle.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use mypay_cases::{Case, Decision, Known, Standing, Verdict};
use mypay_stack::Endpoints;
use sqlx::PgPool;
use uuid::Uuid;

/// The bank's own answer, or another decision, was there first.
const CONFLICT: u8 = 1;
/// The most cases that are listed.
const LISTED: i64 = 1_000;
/// How long the workers may take to apply a decision before that is told.
const PATIENCE: Duration = Duration::from_secs(10);

/// Show one case.
#[derive(clap::Args)]
pub(crate) struct Show {
    /// The case: a command's id, or a notice's.
    id: Uuid,
}

/// Decide a case.
#[derive(clap::Args)]
pub(crate) struct Decide {
    /// The case: a command's id, or a notice's.
    id: Uuid,
    /// done, refused or resend of a command; dismiss of a notice.
    #[arg(long)]
    outcome: Verdict,
    /// Who decides.
    #[arg(long)]
    operator: String,
    /// Why: whom the operator asked, and what was said.
    #[arg(long)]
    reason: String,
    /// What the bank took for the command, whole won.
    #[arg(long, default_value_t = 0)]
    fee: i64,
    /// The decision's id, to ask again what became of it.
    #[arg(long)]
    decision_id: Option<Uuid>,
}

/// `mypay bank cases`.
pub(crate) async fn list(json: bool) -> anyhow::Result<ExitCode> {
    let cases = mypay_cases::list(&pool()?, None, LISTED).await?;
    if json {
        println!("{}", serde_json::to_string_pretty(&cases)?);
        return Ok(ExitCode::SUCCESS);
    }
    if cases.is_empty() {
        println!("no case is open");
        return Ok(ExitCode::SUCCESS);
    }
    let mut table =
        crate::cmd::schemas::table(["case", "kind", "bank", "date", "number", "won", "why"]);
    for case in &cases {
        table.add_row(row(case));
    }
    println!("{table}");
    Ok(ExitCode::SUCCESS)
}

fn row(case: &Case) -> [String; 7] {
    let date = case.business_date.map(|date| date.to_string());
    [
        case.case_id.to_string(),
        case.kind.clone(),
        case.bank_code.clone(),
        date.unwrap_or_default(),
        case.transaction_number.clone().unwrap_or_default(),
        case.amount.to_string(),
        case.why.clone().unwrap_or_default(),
    ]
}

impl Show {
    pub(crate) async fn run(self, json: bool) -> anyhow::Result<ExitCode> {
        let known = mypay_cases::find(&pool()?, self.id).await?;
        let known = known.with_context(|| format!("there is no case {}", self.id))?;
        if json {
            println!("{}", serde_json::to_string_pretty(&known)?);
        } else {
            print(&known);
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn print(known: &Known) {
    let case = &known.case;
    let shown = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_string());
    let date = case.business_date.map(|date| date.to_string());
    println!("{} {}: {}", case.kind, case.case_id, case.state);
    println!(
        "bank     {}, {} number {}",
        case.bank_code,
        shown(&date),
        shown(&case.transaction_number)
    );
    println!("amount   {} won", case.amount);
    println!(
        "accounts {} -> {}",
        shown(&known.from_account),
        shown(&known.to_account)
    );
    let origin = known.origin_id.map(|id| id.to_string());
    println!("purpose  {}, for {}", shown(&known.purpose), shown(&origin));
    println!("calls    {}, inquiries {}", known.calls, known.inquiries);
    for step in &known.history {
        println!(
            "  {}  {:8}  {}",
            step.at.to_rfc3339(),
            step.state,
            shown(&step.detail)
        );
    }
    for decided in &known.decisions {
        let became = match (&decided.overtaken, decided.applied_at) {
            (Some(by), _) => format!("overtaken: {by}"),
            (None, Some(at)) => format!("applied {}", at.to_rfc3339()),
            (None, None) => "not applied yet".to_string(),
        };
        println!(
            "decided  {} by {}: {} ({became})",
            decided.outcome, decided.operator, decided.reason
        );
    }
}

impl Decide {
    pub(crate) async fn run(self, json: bool) -> anyhow::Result<ExitCode> {
        let pool = pool()?;
        let decision = Decision {
            decision_id: self.decision_id.unwrap_or_else(Uuid::now_v7),
            case_id: self.id,
            verdict: self.outcome,
            fee: self.fee,
            operator: self.operator,
            reason: self.reason,
        };
        let standing = match mypay_cases::decide(&pool, &decision).await {
            Ok((Standing::Taken, _)) => until_applied(&pool, decision.decision_id).await?,
            Ok((standing, _)) => standing,
            Err(error) if error.is_conflict() => {
                eprintln!("error: {error}");
                return Ok(ExitCode::from(CONFLICT));
            }
            Err(error) => bail!(error),
        };
        let (word, code) = match &standing {
            Standing::Applied => ("applied".to_string(), ExitCode::SUCCESS),
            Standing::Taken => (
                "taken down; the workers apply it when they run (mypay consume firmbanking)"
                    .to_string(),
                ExitCode::SUCCESS,
            ),
            Standing::Overtaken(by) => (format!("overtaken: {by}"), ExitCode::from(CONFLICT)),
        };
        if json {
            let said = serde_json::json!({ "decision_id": decision.decision_id, "standing": word });
            println!("{said}");
        } else {
            println!("decision {}: {word}", decision.decision_id);
        }
        Ok(code)
    }
}

async fn until_applied(pool: &PgPool, decision_id: Uuid) -> anyhow::Result<Standing> {
    let began = std::time::Instant::now();
    loop {
        let standing = mypay_cases::standing(pool, decision_id).await?;
        match standing.context("the decision is gone")? {
            Standing::Taken if began.elapsed() < PATIENCE => {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            standing => return Ok(standing),
        }
    }
}

pub(super) fn pool() -> anyhow::Result<PgPool> {
    Ok(mypay_database::pool(
        &Endpoints::discover()?.database_url,
        2,
    )?)
}
