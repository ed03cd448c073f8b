//! `POST` and `GET /members/{id}/bank-account`, `GET /members/{id}/bank-accounts`.

pub(crate) mod asking;
pub(crate) mod history;
mod often;
mod write;

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, SubsecRound, Utc};
use mypay_bank::account::same_holder;
use mypay_bank::{BankAccount, HolderAnswer};
use mypay_decide::SystemAccount;
use mypay_decide::limits::korean_day;
use serde::{Deserialize, Serialize};
use sqlx::{PgExecutor, PgPool, Row};
use uuid::Uuid;

use super::App;
use super::caller::Caller;
use super::extract::{Body, Id};
use super::members::{closed, unknown};
use super::problem::{Problem, ProblemBody};
use crate::request::{HOLDER_NAME_MAX, Refusal, account, text};

const FIELDS: [&str; 2] = ["bank_code", "account_number"];

/// A bank account to register.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BankAccountBody {
    /// Three digits.
    #[schema(example = "004", pattern = "^[0-9]{3}$")]
    bank_code: String,
    /// 6 to 20 digits; dashes and spaces are left out.
    #[schema(
        example = "110-123-456789",
        pattern = "^[- ]*([0-9][- ]*){6,20}$",
        max_length = 64
    )]
    account_number: String,
    /// As the bank has it.
    #[schema(example = "김하나", min_length = 1, max_length = 100)]
    holder_name: String,
}

impl BankAccountBody {
    pub(in crate::http) fn check(&self) -> Result<(BankAccount, String), Refusal> {
        let account = account(FIELDS, &self.bank_code, &self.account_number)?;
        let holder_name = text("holder_name", &self.holder_name, HOLDER_NAME_MAX)?;
        Ok((account, holder_name))
    }
}

/// A member's registered bank account.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct RegisteredAccount {
    member_id: Uuid,
    bank_code: String,
    account_number: String,
    holder_name: String,
    registered_at: DateTime<Utc>,
}

/// Registers a member's bank account, in place of an earlier one.
///
/// The bank is asked that the account is real and open, and whose it is. A member
/// registers an account of its own name only, since recharges draw from it; for one
/// of another name (a shop's owner) staff must have seen a proof. Each try costs a
/// bank's answer: a member has 20 a day where nothing else is set, staff any number.
/// What was registered before is in `GET /members/{id}/bank-accounts`.
#[utoipa::path(
    post,
    path = "/members/{id}/bank-account",
    tag = "members",
    params(("id" = Uuid, Path, description = "The member")),
    request_body = BankAccountBody,
    responses(
        (status = 201, description = "Registered", body = RegisteredAccount),
        (status = 200, description = "Registered before, the same", body = RegisteredAccount),
        (status = 404, description = "There is no such member", body = ProblemBody),
        (status = 422, description = "`member_closed`, `no_contract`, `no_such_account`, `account_closed`, `holder_mismatch`", body = ProblemBody),
        (status = 429, description = "`too_many_registrations`: the member has had a bank asked as often as it may in a day; again after `Retry-After`", body = ProblemBody),
        (status = 503, description = "`bank_unavailable`: the bank did not say, or too many wait for it: try again", body = ProblemBody),
    )
)]
pub(crate) async fn register(
    State(app): State<Arc<App>>,
    caller: Caller,
    Id(member_id): Id,
    Body(body): Body<BankAccountBody>,
) -> Result<(StatusCode, Json<RegisteredAccount>), Problem> {
    let (account, holder_name) = body.check()?;
    let (may, name) = registrant(&app.pool, member_id, "").await?;
    if !may {
        return Err(closed());
    }
    check_contract(&app.pool, &account.bank_code).await?;
    let of_own_name = caller.member_id().is_some();
    if of_own_name {
        // Before the bank is asked: else strangers' accounts could be tried out.
        check_name(&name, &holder_name)?;
    }
    // Before it counts: who finds no place has not had the bank asked.
    let place = app.asking.place(&account.bank_code).await?;
    if of_own_name {
        often::count(&app.pool, member_id, app.bounds.registrations, Utc::now()).await?;
    }
    often::for_the_bill(&app.pool, &account.bank_code, Utc::now()).await?;
    let answer = app.bank.holder(&account).await;
    drop(place);
    check_holder(answer, &holder_name)?;
    let asked = RegisteredAccount {
        member_id,
        bank_code: account.bank_code,
        account_number: account.account_number,
        holder_name,
        registered_at: Utc::now().trunc_subsecs(6),
    };
    let (status, registered) = write::register(&app.pool, asked, of_own_name).await?;
    Ok((status, Json(registered)))
}

/// A member's registered bank account.
#[utoipa::path(
    get,
    path = "/members/{id}/bank-account",
    tag = "members",
    params(("id" = Uuid, Path, description = "The member")),
    responses(
        (status = 200, description = "The account", body = RegisteredAccount),
        (status = 404, description = "`unknown_member` or `no_bank_account`", body = ProblemBody),
    )
)]
pub(crate) async fn find(
    State(app): State<Arc<App>>,
    Id(member_id): Id,
) -> Result<Json<RegisteredAccount>, Problem> {
    match of(&app.pool, member_id).await? {
        Some(registered) => Ok(Json(registered)),
        None => {
            registrant(&app.pool, member_id, "").await?;
            let detail = "the member has no registered bank account";
            Err(Problem::not_found("no_bank_account", detail))
        }
    }
}

impl RegisteredAccount {
    /// Whether it is the same account, whenever it was registered.
    fn is_same(&self, other: &Self) -> bool {
        (&self.bank_code, &self.account_number, &self.holder_name)
            == (&other.bank_code, &other.account_number, &other.holder_name)
    }
}

/// A member's registered account, where there is one.
pub(crate) async fn of(
    connection: impl PgExecutor<'_>,
    member_id: Uuid,
) -> Result<Option<RegisteredAccount>, sqlx::Error> {
    let row = sqlx::query(
        "SELECT member_id, bank_code, account_number, holder_name, registered_at
           FROM banking.registered_account WHERE member_id = $1",
    )
    .bind(member_id)
    .fetch_optional(connection)
    .await?;
    row.map(|row| {
        Ok(RegisteredAccount {
            member_id: row.try_get(0)?,
            bank_code: row.try_get(1)?,
            account_number: row.try_get(2)?,
            holder_name: row.try_get(3)?,
            registered_at: row.try_get(4)?,
        })
    })
    .transpose()
}

/// Who may register an account: who is open, or is closed and has money that came
/// back after that. `$2` is the account of what is kept for the member.
const MAY_REGISTER: &str = "status = 'OPEN' OR status = 'CLOSED' AND EXISTS (
    SELECT FROM money.account a WHERE a.account_id = $2 AND a.balance > 0)";

/// Whether the member may register an account, and its name; an error where there
/// is none. `lock` ends the statement.
async fn registrant(
    executor: impl PgExecutor<'_>,
    member_id: Uuid,
    lock: &str,
) -> Result<(bool, String), Problem> {
    let select =
        format!("SELECT {MAY_REGISTER}, name FROM membership.member WHERE member_id = $1 {lock}");
    let row = sqlx::query(sqlx::AssertSqlSafe(select))
        .bind(member_id)
        .bind(SystemAccount::unclaimed(member_id).id())
        .fetch_optional(executor)
        .await?
        .ok_or_else(unknown)?;
    Ok((row.try_get(0)?, row.try_get(1)?))
}

async fn check_contract(pool: &PgPool, bank_code: &str) -> Result<(), Problem> {
    let in_force = sqlx::query(
        "SELECT 1 FROM banking.contract
          WHERE bank_code = $1 AND status = 'ACTIVE' AND expires_on >= $2",
    )
    .bind(bank_code)
    .bind(korean_day(Utc::now()))
    .fetch_optional(pool)
    .await?
    .is_some();
    if in_force {
        Ok(())
    } else {
        Err(Problem::invalid(
            "no_contract",
            format!("there is no contract in force with bank {bank_code}"),
        )
        .at_pointer("/bank_code".to_owned()))
    }
}

/// Refuses another's account: whoever was ever paid at a bank has told number and
/// holder of an account to somebody.
fn check_name(name: &str, holder_name: &str) -> Result<(), Problem> {
    if same_holder(name, holder_name) {
        return Ok(());
    }
    Err(Problem::invalid(
        "holder_mismatch",
        "the holder is another than the member: register an account of your own name, or ask staff",
    )
    .at_pointer("/holder_name".to_owned()))
}

/// Compares the bank's answer with what the member says.
fn check_holder(answer: HolderAnswer, named: &str) -> Result<(), Problem> {
    match answer {
        HolderAnswer::Open { holder_name } if same_holder(&holder_name, named) => Ok(()),
        // The bank's name is not told: anybody could ask for a stranger's.
        HolderAnswer::Open { .. } => Err(Problem::invalid(
            "holder_mismatch",
            "the account belongs to another holder than the one named",
        )
        .at_pointer("/holder_name".to_owned())),
        HolderAnswer::Closed { .. } => {
            Err(Problem::invalid("account_closed", "the account is closed")
                .at_pointer("/account_number".to_owned()))
        }
        HolderAnswer::NoSuchAccount => Err(Problem::invalid(
            "no_such_account",
            "the bank has no such account",
        )
        .at_pointer("/account_number".to_owned())),
        HolderAnswer::Unavailable { why } => {
            tracing::warn!(%why, "a bank did not say whose an account is");
            Err(Problem::unavailable(
                "bank_unavailable",
                "the bank did not say whose the account is: try again",
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_registers_an_account_of_its_own_name() {
        assert!(check_name("김하나", "김하나").is_ok());
        assert!(check_name("김하나", "이두리").is_err());
        assert!(check_name("", "김하나").is_err());
    }

    #[test]
    fn only_the_holder_that_the_bank_names_will_do() {
        let open = |name: &str| HolderAnswer::Open {
            holder_name: name.to_owned(),
        };
        assert!(check_holder(open("김하나 "), "김하나").is_ok());
        // A bank may write the syllables as their letters.
        let apart = "\u{1100}\u{1175}\u{11b7}\u{1112}\u{1161}\u{1102}\u{1161}";
        assert!(check_holder(open(apart), "김하나").is_ok());
        assert!(check_holder(open("이두리"), "김하나").is_err());
        let closed = HolderAnswer::Closed {
            holder_name: "김하나".to_owned(),
        };
        assert!(check_holder(closed, "김하나").is_err());
        assert!(check_holder(HolderAnswer::NoSuchAccount, "김하나").is_err());
    }
}
