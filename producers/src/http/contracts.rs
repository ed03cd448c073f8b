//! `PUT /contracts/{bank_code}`, `GET /contracts`,
//! `GET /contracts/{bank_code}/versions`, `GET /contracts/{bank_code}/bill`.

pub(crate) mod bill;
pub(crate) mod versions;

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use chrono::{NaiveDate, SubsecRound, Utc};
use mypay_decide::account::bank_owner;
use mypay_decide::limits::korean_day;
use mypay_decide::{AccountKind, Book, EntryKind, Limits, SystemAccount};
use mypay_ledger::WriteError;
use mypay_schemas::identity::derive;
use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::App;
use super::extract::{Asked, Body, Named};
use super::page::{Page, PageQuery};
use super::problem::{Problem, ProblemBody};
use crate::request::{Refusal, account, amount, date, text};

/// The bank's code stands in the path.
const FIELDS: [&str; 2] = ["bank_code", "corporate_account"];
const BANK_NAME_MAX: usize = 50;
/// The most won that a bank may take for a command; more is a slip of the pen.
const FEE_MAX: i64 = 1_000_000;

/// A contract with a bank.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ContractBody {
    #[schema(example = "국민은행", min_length = 1, max_length = 50)]
    bank_name: String,
    /// Number of our account at the bank.
    #[schema(
        example = "900-000-000001",
        pattern = "^[- ]*([0-9][- ]*){6,20}$",
        max_length = 64
    )]
    corporate_account: String,
    /// Whole won a command.
    #[schema(example = 50, minimum = 0, maximum = 1_000_000)]
    fee: i64,
    /// The last day on which it is in force, in Korea.
    #[schema(example = "2027-12-31")]
    expires_on: NaiveDate,
    /// `ACTIVE` where absent. While a contract is `SUSPENDED` nothing is asked of
    /// the bank, as after its last day.
    #[serde(default)]
    status: ContractStatus,
    /// What the corporate account holds when the contract begins, whole won.
    /// Posted once; can be given only when the contract is created.
    #[schema(minimum = 1, maximum = 100_000_000_000i64)]
    opening_capital: Option<i64>,
}

/// Whether commands may be given under a contract.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum ContractStatus {
    #[default]
    Active,
    Suspended,
}

impl ContractStatus {
    const fn name(self) -> &'static str {
        match self {
            Self::Active => "ACTIVE",
            Self::Suspended => "SUSPENDED",
        }
    }
}

/// A contract with a bank.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Contract {
    bank_code: String,
    bank_name: String,
    corporate_account: String,
    /// `ACTIVE` or `SUSPENDED`.
    status: String,
    expires_on: NaiveDate,
    /// Whether commands are taken today.
    in_force: bool,
    /// Whole won a command.
    fee: i64,
    /// How many days it has yet to run, in Korea; below zero once it has lapsed.
    days_left: i64,
}

/// Creates or changes the contract with a bank.
///
/// What was agreed before is in `GET /contracts/{bank_code}/versions`. Where the
/// contract is not in force, requests that need the bank are rejected before
/// anything moves, and commands that wait and have never been sent are refused:
/// `no_contract` in both cases.
///
/// The same call can be made again; a contract that is created with an opening
/// capital gets it once. The corporate account can be another once no command of
/// that bank is under way and the ledger has no cash there.
#[utoipa::path(
    put,
    path = "/contracts/{bank_code}",
    tag = "contracts",
    params(("bank_code" = String, Path, description = "Three digits", example = "004")),
    request_body = ContractBody,
    responses(
        (status = 201, description = "Created", body = Contract),
        (status = 200, description = "Changed", body = Contract),
        (status = 409, description = "`opening_capital_is_set`, `corporate_account_in_use`", body = ProblemBody),
        (status = 422, description = "The content", body = ProblemBody),
    )
)]
pub(crate) async fn put(
    State(app): State<Arc<App>>,
    Named(bank_code): Named,
    Body(body): Body<ContractBody>,
) -> Result<(StatusCode, Json<Contract>), Problem> {
    if app.bank.table().bank(&bank_code).is_none() {
        let detail = format!("bank {bank_code} is not in the table of banks: nobody could call it");
        return Err(Problem::invalid("unknown_bank", detail));
    }
    let opening = body
        .opening_capital
        .map(|won| amount(won).map_err(|refusal| refusal.at("opening_capital")))
        .transpose()?;
    let contract = body.check(bank_code)?;
    let mut transaction = app.pool.begin().await?;
    check_account(&mut transaction, &contract).await?;
    let created = upsert(&mut transaction, &contract).await?;
    versions::append(&mut transaction, &contract.bank_code).await?;
    match (created, opening) {
        (true, Some(won)) => open(&mut transaction, &contract.bank_code, won).await?,
        (false, Some(won)) => check_opening(&mut transaction, &contract.bank_code, won).await?,
        (_, None) => {}
    }
    transaction.commit().await?;
    let status = if created {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    Ok((status, Json(contract)))
}

/// The contracts with banks.
#[utoipa::path(
    get,
    path = "/contracts",
    tag = "contracts",
    params(PageQuery),
    responses((status = 200, description = "A page of contracts, by the banks' codes", body = Page<Contract>))
)]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Asked(page): Asked<PageQuery>,
) -> Result<Json<Page<Contract>>, Problem> {
    let contracts = sqlx::query(
        "SELECT bank_code, bank_name, corporate_account, status, expires_on,
                status = 'ACTIVE' AND expires_on >= $1, fee, (expires_on - $1)::bigint
           FROM banking.contract
          WHERE $2::text IS NULL OR bank_code > $2
          ORDER BY bank_code LIMIT $3",
    )
    .bind(korean_day(Utc::now()))
    .bind(page.place()?)
    .bind(page.rows()?)
    .fetch_all(&app.pool)
    .await?
    .iter()
    .map(|row| {
        Ok(Contract {
            bank_code: row.try_get(0)?,
            bank_name: row.try_get(1)?,
            corporate_account: row.try_get(2)?,
            status: row.try_get(3)?,
            expires_on: row.try_get(4)?,
            in_force: row.try_get(5)?,
            fee: row.try_get(6)?,
            days_left: row.try_get(7)?,
        })
    })
    .collect::<Result<Vec<_>, sqlx::Error>>()?;
    Ok(Json(
        page.page(contracts, |contract| contract.bank_code.clone())?,
    ))
}

impl ContractBody {
    pub(in crate::http) fn check(self, bank_code: String) -> Result<Contract, Problem> {
        if !(0..=FEE_MAX).contains(&self.fee) {
            let detail = format!("whole won from 0 to {FEE_MAX}");
            return Err(Refusal::of_field("fee_out_of_range", "fee", detail).into());
        }
        let account = account(FIELDS, &bank_code, &self.corporate_account)?;
        let expires_on = date("expires_on", self.expires_on)?;
        let today = korean_day(Utc::now());
        Ok(Contract {
            bank_code: account.bank_code,
            bank_name: text("bank_name", &self.bank_name, BANK_NAME_MAX)?,
            corporate_account: account.account_number,
            status: self.status.name().to_owned(),
            expires_on,
            in_force: self.status == ContractStatus::Active && expires_on >= today,
            fee: self.fee,
            days_left: (expires_on - today).num_days(),
        })
    }
}

/// Whether the contract is new.
async fn upsert(connection: &mut PgConnection, contract: &Contract) -> Result<bool, sqlx::Error> {
    sqlx::query(
        "INSERT INTO banking.contract (bank_code, bank_name, corporate_account, status, expires_on, fee)
         VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (bank_code) DO UPDATE
            SET bank_name = EXCLUDED.bank_name, corporate_account = EXCLUDED.corporate_account,
                status = EXCLUDED.status, expires_on = EXCLUDED.expires_on, fee = EXCLUDED.fee
         RETURNING xmax = 0",
    )
    .bind(&contract.bank_code)
    .bind(&contract.bank_name)
    .bind(&contract.corporate_account)
    .bind(&contract.status)
    .bind(contract.expires_on)
    .bind(contract.fee)
    .fetch_one(connection)
    .await?
    .try_get(0)
}

/// Refuses another corporate account while the present one has our money, or a
/// command that names it is under way: the ledger keeps one cash account a bank, and
/// what the bank knows under the old number would be missing under the new one.
async fn check_account(connection: &mut PgConnection, contract: &Contract) -> Result<(), Problem> {
    let row = sqlx::query(
        "SELECT EXISTS (SELECT 1 FROM banking.firmbanking f
                         WHERE f.from_bank = c.bank_code
                           AND f.state IN ('pending', 'sending', 'unknown'))
                OR EXISTS (SELECT 1 FROM banking.firmbanking f
                            WHERE f.from_bank = c.bank_code AND f.state = 'manual')
                OR EXISTS (SELECT 1 FROM banking.firmbanking f
                            WHERE f.to_bank = c.bank_code AND f.to_ours AND f.from_bank <> f.to_bank
                              AND f.state IN ('pending', 'sending', 'unknown', 'manual')),
                EXISTS (SELECT 1 FROM banking.firmbanking f
                         WHERE f.from_bank = c.bank_code AND f.transaction_number IS NOT NULL)
                OR EXISTS (SELECT 1 FROM banking.firmbanking f
                            WHERE f.to_bank = c.bank_code AND f.to_ours AND f.from_bank <> f.to_bank),
                (SELECT -coalesce(sum(balance), 0)::bigint FROM money.account
                  WHERE kind = $3 AND owner = $4)
           FROM banking.contract c
          WHERE c.bank_code = $1 AND c.corporate_account <> $2
            FOR UPDATE OF c",
    )
    .bind(&contract.bank_code)
    .bind(&contract.corporate_account)
    .bind(AccountKind::CorporateCash.number())
    .bind(bank_owner(&contract.bank_code))
    .fetch_optional(connection)
    .await?;
    let Some(row) = row else { return Ok(()) };
    let (under_way, used, cash): (bool, bool, i64) =
        (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    // Before any command an account that was mistyped can be put right, with the
    // opening capital that was posted for it.
    let detail = if under_way {
        "corporate_account: commands of this bank are under way with the present one".to_owned()
    } else if used && cash != 0 {
        format!(
            "corporate_account: by the ledger the present one holds {cash} won; move them first"
        )
    } else {
        return Ok(());
    };
    Err(Problem::conflict("corporate_account_in_use", detail)
        .at_pointer("/corporate_account".to_owned()))
}

/// The entry of a bank's opening capital: derived from the bank, so that a
/// second one fails.
fn opening_entry(bank_code: &str) -> Uuid {
    derive(Uuid::nil(), &format!("opening {bank_code}"))
}

/// Posts what the corporate account holds at its opening.
async fn open(connection: &mut PgConnection, bank_code: &str, won: i64) -> Result<(), Problem> {
    let now = Utc::now().trunc_subsecs(6);
    let mut book = Book::new(korean_day(now), []);
    let cash = SystemAccount::corporate_cash(bank_code, 0);
    let capital = SystemAccount::new(AccountKind::Capital, bank_owner(bank_code), 0);
    book.post(
        (opening_entry(bank_code), 0),
        EntryKind::Opening,
        cash,
        capital,
        won,
    );
    match mypay_ledger::write(connection, &book, now, &Limits::default()).await {
        Ok(()) => Ok(()),
        Err(WriteError::Database(error)) => Err(error.into()),
        // Only members' accounts can fall short, and there is none here.
        Err(error @ WriteError::Shortfall) => Err(Problem::defect(&error)),
    }
}

/// Refuses a capital that is not the one that was posted.
async fn check_opening(
    connection: &mut PgConnection,
    bank_code: &str,
    won: i64,
) -> Result<(), Problem> {
    let row = sqlx::query("SELECT amount FROM money.posting WHERE entry_id = $1 AND line = 0")
        .bind(opening_entry(bank_code))
        .fetch_optional(connection)
        .await?;
    let posted: Option<i64> = row.map(|row| row.try_get(0)).transpose()?;
    if posted == Some(won) {
        return Ok(());
    }
    let detail = match posted {
        Some(posted) => {
            format!("opening_capital: {posted} won were posted when the contract was created")
        }
        None => "opening_capital: can be given only when the contract is created".to_owned(),
    };
    Err(Problem::conflict("opening_capital_is_set", detail)
        .at_pointer("/opening_capital".to_owned()))
}
