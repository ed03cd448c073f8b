//! Commands to banks: `GET /firmbankings/{id}`, `GET /members/{id}/firmbankings`.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, NaiveDate, Utc};
use mypay_cases::Undo;
use serde::Serialize;
use sqlx::postgres::PgRow;
use sqlx::{PgPool, Row};
use uuid::Uuid;

use super::App;
use super::caller::Caller;
use super::extract::{Asked, Id};
use super::members::unknown;
use super::page::{Page, PageQuery};
use super::problem::{Problem, ProblemBody};

/// A command to a bank.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Firmbanking {
    firmbanking_id: Uuid,
    /// The request that it is for; null for a direct command.
    origin_id: Option<Uuid>,
    /// `recharge`, `remittance`, `settlement`, `closing`, `undo` (of the payout whose
    /// command `origin_id` is), or what staff wrote.
    #[schema(example = "recharge")]
    purpose: String,
    from_bank: String,
    from_account: String,
    to_bank: String,
    to_account: String,
    /// Whole won.
    amount: i64,
    /// `pending`, `sending`, `unknown`, `done`, `refused` or `manual`.
    #[schema(example = "done")]
    state: String,
    reason: Option<String>,
    business_date: Option<NaiveDate>,
    /// Our number of the command: with bank and business date it names it to the
    /// bank.
    transaction_number: Option<i32>,
    /// What the bank took for it, whole won.
    fee: i64,
    /// How often it was sent: calls of which a byte may have left.
    calls: i32,
    /// How often the bank was asked what became of it.
    inquiries: i32,
    bank_reference: Option<String>,
    created_at: DateTime<Utc>,
    changed_at: DateTime<Utc>,
    /// Since when the bank has undone it, by the bank's clock; or we have, by ours.
    reversed_at: Option<DateTime<Utc>>,
}

/// A command to a bank, with all that became of it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct FirmbankingStory {
    #[serde(flatten)]
    command: Firmbanking,
    /// Every change of its state, the first first; where one command is asked for,
    /// also what was heard of it without its state being another.
    changes: Vec<CommandChange>,
    /// Where one command is asked for: the undo of it that was proposed.
    undo: Option<Undo>,
}

/// A change of a command's state.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct CommandChange {
    at: DateTime<Utc>,
    state: String,
    /// What the bank said, or did not, and who decided and why; null to members and
    /// franchises, who are not told of our own people.
    detail: Option<String>,
}

const COLUMNS: &str = "f.firmbanking_id, f.origin_id, f.purpose, f.from_bank, f.from_account, f.to_bank,
     f.to_account, f.amount, f.state, f.reason, f.business_date, f.transaction_number, f.fee, f.calls,
     f.inquiries, f.bank_reference, f.created_at, f.changed_at, r.reversed_at";

/// A command to a bank, and every change of its state.
#[utoipa::path(
    get,
    path = "/firmbankings/{id}",
    tag = "firmbankings",
    params(("id" = Uuid, Path, description = "The command")),
    responses(
        (status = 200, description = "The command", body = FirmbankingStory),
        (status = 404, description = "No such command was taken in", body = ProblemBody),
    )
)]
pub(crate) async fn find(
    State(app): State<Arc<App>>,
    Id(id): Id,
) -> Result<Json<FirmbankingStory>, Problem> {
    let select = format!(
        "SELECT {COLUMNS} FROM banking.firmbanking f
           LEFT JOIN banking.reversal r USING (firmbanking_id)
          WHERE f.firmbanking_id = $1"
    );
    let row = sqlx::query(sqlx::AssertSqlSafe(select))
        .bind(id)
        .fetch_optional(&app.pool)
        .await?
        .ok_or_else(|| {
            let detail =
                "no such command was taken in; GET /requests/{id} knows those that were rejected";
            Problem::not_found("unknown_firmbanking", detail)
        })?;
    let mut stories = stories(&app.pool, vec![command(&row)?], Told::All).await?;
    let story = stories.pop();
    let mut story = story.ok_or_else(|| Problem::defect(&"a command without its story"))?;
    story.undo = mypay_cases::find_undo(&app.pool, id).await?;
    Ok(Json(story))
}

/// The commands to banks for a member's requests, the latest first: recharges,
/// payouts of remittances, of a franchise's settlements, and of closings, and what undid
/// one of those. Each with every change of its state, and when.
#[utoipa::path(
    get,
    path = "/members/{id}/firmbankings",
    tag = "firmbankings",
    params(("id" = Uuid, Path, description = "The member"), PageQuery),
    responses(
        (status = 200, description = "A page of commands", body = Page<FirmbankingStory>),
        (status = 404, description = "There is no such member", body = ProblemBody),
    )
)]
pub(crate) async fn of_member(
    State(app): State<Arc<App>>,
    caller: Caller,
    Id(member_id): Id,
    Asked(page): Asked<PageQuery>,
) -> Result<Json<Page<FirmbankingStory>>, Problem> {
    // First the member's own, by their indexes; then a page of those.
    let select = format!(
        "WITH asked AS MATERIALIZED (
             SELECT firmbanking_id FROM recharge.recharge WHERE member_id = $1
              UNION ALL
             SELECT firmbanking_id FROM remittance.payout WHERE sender_id = $1
              UNION ALL
             SELECT firmbanking_id FROM settlement.payout
              WHERE franchise_id = $1 AND firmbanking_id IS NOT NULL
              UNION ALL
             SELECT firmbanking_id FROM membership.closing
              WHERE member_id = $1 AND firmbanking_id IS NOT NULL
         ), own AS (
             SELECT firmbanking_id FROM asked
              UNION ALL
             SELECT u.undo_id FROM asked JOIN banking.undo u USING (firmbanking_id)
         ), wanted AS MATERIALIZED (
             SELECT firmbanking_id FROM own
              WHERE $2::uuid IS NULL OR firmbanking_id < $2
         )
         SELECT {COLUMNS} FROM wanted
           JOIN banking.firmbanking f USING (firmbanking_id)
           LEFT JOIN banking.reversal r USING (firmbanking_id)
          ORDER BY f.firmbanking_id DESC LIMIT $3"
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(select))
        .bind(member_id)
        .bind(page.after_id()?)
        .bind(page.rows()?)
        .fetch_all(&app.pool)
        .await?;
    if rows.is_empty() {
        sqlx::query("SELECT 1 FROM membership.member WHERE member_id = $1")
            .bind(member_id)
            .fetch_optional(&app.pool)
            .await?
            .ok_or_else(unknown)?;
    }
    let commands = rows.iter().map(command).collect::<Result<Vec<_>, _>>()?;
    let page = page.page(commands, |it| it.firmbanking_id.to_string())?;
    Ok(Json(Page {
        items: stories(&app.pool, page.items, Told::to(&caller)).await?,
        next: page.next,
    }))
}

/// How much is told of a command.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    /// Changes of its state, and nothing of what was said: a detail may name who decided.
    States,
    /// Changes of its state: few, however long its bank is asked about it.
    Changes,
    /// All that was written down.
    All,
}

impl Told {
    /// What a list tells whoever asks for it.
    fn to(caller: &Caller) -> Self {
        if caller.member_id().is_some() {
            Self::States
        } else {
            Self::Changes
        }
    }

    fn detail<T>(self, detail: T) -> Option<T> {
        (self != Self::States).then_some(detail)
    }
}

/// Commands with what became of them.
async fn stories(
    pool: &PgPool,
    commands: Vec<Firmbanking>,
    told: Told,
) -> Result<Vec<FirmbankingStory>, sqlx::Error> {
    let ids: Vec<Uuid> = commands.iter().map(|it| it.firmbanking_id).collect();
    let mut changes = changes(pool, &ids, told).await?;
    let stories = commands.into_iter().map(|command| {
        let mut all = vec![CommandChange {
            at: command.created_at,
            state: "pending".to_owned(),
            detail: told.detail("taken in".to_owned()),
        }];
        all.extend(changes.remove(&command.firmbanking_id).unwrap_or_default());
        FirmbankingStory {
            command,
            changes: all,
            undo: None,
        }
    });
    Ok(stories.collect())
}

async fn changes(
    pool: &PgPool,
    ids: &[Uuid],
    told: Told,
) -> Result<HashMap<Uuid, Vec<CommandChange>>, sqlx::Error> {
    let rows = sqlx::query(
        "WITH heard AS (
             SELECT firmbanking_id, changed_at, state, detail, seq,
                    lag(state, 1, 'pending') OVER (
                        PARTITION BY firmbanking_id ORDER BY seq) AS before
               FROM banking.firmbanking_history
              WHERE firmbanking_id = ANY($1)
         )
         SELECT firmbanking_id, changed_at, state, detail FROM heard
          WHERE $2 OR state <> before
          ORDER BY firmbanking_id, seq",
    )
    .bind(ids)
    .bind(told == Told::All)
    .fetch_all(pool)
    .await?;
    let mut changes: HashMap<Uuid, Vec<CommandChange>> = HashMap::new();
    for row in &rows {
        let change = CommandChange {
            at: row.try_get(1)?,
            state: row.try_get(2)?,
            detail: told.detail(row.try_get(3)?).flatten(),
        };
        changes.entry(row.try_get(0)?).or_default().push(change);
    }
    Ok(changes)
}

fn command(row: &PgRow) -> Result<Firmbanking, sqlx::Error> {
    Ok(Firmbanking {
        firmbanking_id: row.try_get(0)?,
        origin_id: row.try_get(1)?,
        purpose: row.try_get(2)?,
        from_bank: row.try_get(3)?,
        from_account: row.try_get(4)?,
        to_bank: row.try_get(5)?,
        to_account: row.try_get(6)?,
        amount: row.try_get(7)?,
        state: row.try_get(8)?,
        reason: row.try_get(9)?,
        business_date: row.try_get(10)?,
        transaction_number: row.try_get(11)?,
        fee: row.try_get(12)?,
        calls: row.try_get(13)?,
        inquiries: row.try_get(14)?,
        bank_reference: row.try_get(15)?,
        created_at: row.try_get(16)?,
        changed_at: row.try_get(17)?,
        reversed_at: row.try_get(18)?,
    })
}

#[cfg(test)]
mod tests {
    use mypay_auth::{Identity, Role};

    use super::*;

    #[test]
    fn who_decided_and_why_is_told_to_our_own_people_alone() {
        let id = Uuid::now_v7().to_string();
        for role in [
            Role::Member,
            Role::Franchise,
            Role::Staff,
            Role::Operator,
            Role::Auditor,
        ] {
            let caller = Caller::new(Identity::new(role, &id).unwrap());
            let told = Told::to(&caller).detail("kim decided done");
            let ours = !matches!(role, Role::Member | Role::Franchise);
            assert_eq!(told.is_some(), ours, "{role}");
        }
    }
}
