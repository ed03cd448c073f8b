//! Accounts: shown, and opened out of nothing for tests and `make run`.

use std::collections::BTreeMap;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use sqlx::PgPool;

use super::http::{self, Problem, Shared};
use super::store;
use super::writer;
use crate::account::BankAccount;
use crate::classes::{Class, Reason};
use crate::client::SEED_BATCH;
use crate::rest_window::korean_date;
use crate::wire::{AccountInfo, AccountKind, AccountSeed, AccountStatus};

/// The most that an account can be opened with: a thousand times what we hold.
const MAX_OPENING: i64 = 1_000_000_000_000_000;
/// Characters, not bytes: names are Korean first.
const MAX_NAME: usize = 100;

pub(super) async fn show(
    State(state): State<Shared>,
    Path((bank, number)): Path<(String, String)>,
) -> Result<Json<AccountInfo>, Problem> {
    state.known_bank(&bank)?;
    let account = BankAccount::new(&bank, &number).map_err(|e| Problem::bad(e.to_string()))?;
    let found = store::account_info(&state.pool, &account).await?;
    state.latency(&bank).await;
    found.map(Json).ok_or_else(|| {
        state.not_there(
            &bank,
            Class::Refused(Reason::NoSuchAccount),
            "no such account",
        )
    })
}

pub(super) async fn put(
    State(state): State<Shared>,
    Path((bank, number)): Path<(String, String)>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<AccountInfo>, Problem> {
    state.known_bank(&bank)?;
    let seed = AccountSeed {
        account_number: number,
        ..http::parse(body)?
    };
    let (account, seed) = checked(&bank, seed)?;
    open(&state.pool, &BTreeMap::from([(account.clone(), seed)])).await?;
    let info = store::account_info(&state.pool, &account).await?;
    info.map(Json)
        .ok_or_else(|| Problem::internal("the account is not there"))
}

pub(super) async fn batch(
    State(state): State<Shared>,
    Path(bank): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<serde_json::Value>, Problem> {
    state.known_bank(&bank)?;
    let seeds: Vec<AccountSeed> = http::parse(body)?;
    if seeds.len() > SEED_BATCH {
        return Err(Problem::bad(format!("more than {SEED_BATCH} accounts")));
    }
    let count = seeds.len();
    let seeds: BTreeMap<_, _> = seeds
        .into_iter()
        .map(|seed| checked(&bank, seed))
        .collect::<Result<_, _>>()?;
    if seeds.len() != count {
        return Err(Problem::bad("an account is there twice"));
    }
    let opened = open(&state.pool, &seeds).await?;
    Ok(Json(
        serde_json::json!({ "accounts": count, "opened": opened }),
    ))
}

fn checked(bank: &str, seed: AccountSeed) -> Result<(BankAccount, AccountSeed), Problem> {
    let account = BankAccount::new(bank, &seed.account_number)
        .map_err(|e| Problem::bad(format!("{:?}: {e}", seed.account_number)))?;
    let name = seed.holder_name.trim();
    // PostgreSQL's text cannot hold NUL.
    if name.is_empty() || name.chars().count() > MAX_NAME || name.contains('\0') {
        return Err(Problem::bad(format!(
            "a holder's name has 1 to {MAX_NAME} characters"
        )));
    }
    if !(0..=MAX_OPENING).contains(&seed.opening_balance) {
        return Err(Problem::bad(format!(
            "an opening balance is in 0..={MAX_OPENING}"
        )));
    }
    let holder_name = name.to_owned();
    Ok((
        account,
        AccountSeed {
            holder_name,
            ..seed
        },
    ))
}

/// Opens what is not there; of what is there, sets the holder and the state.
///
/// The opening balance is a line of the statement, so that every balance is the
/// sum of its lines. In the order of the keys, as the writer locks.
async fn open(
    pool: &PgPool,
    seeds: &BTreeMap<BankAccount, AccountSeed>,
) -> Result<i64, sqlx::Error> {
    let now = writer::now();
    let column = |f: fn(&AccountSeed) -> &str| seeds.values().map(f).collect::<Vec<_>>();
    let balances: Vec<i64> = seeds.values().map(|seed| seed.opening_balance).collect();
    sqlx::query_scalar(
        "WITH seeded AS (
            INSERT INTO dummy_bank.account AS a
                   (bank_code, account_number, holder_name, kind, status, balance, lines)
            SELECT bank_code, account_number, holder_name, kind, status, balance,
                   CASE WHEN balance > 0 THEN 1 ELSE 0 END
              FROM UNNEST($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[])
                   AS new (bank_code, account_number, holder_name, kind, status, balance)
             ORDER BY bank_code, account_number
                ON CONFLICT (bank_code, account_number) DO UPDATE
               SET holder_name = EXCLUDED.holder_name, status = EXCLUDED.status
            RETURNING a.bank_code, a.account_number, a.balance, a.lines, (xmax = 0) AS opened
         ), lines AS (
            INSERT INTO dummy_bank.statement_line
                   (bank_code, account_number, line_number, kind, business_date,
                    amount, fee, balance_after, executed_at)
            SELECT bank_code, account_number, 1, 'opening', $7, balance, 0, balance, $8
              FROM seeded
             WHERE opened AND balance > 0
         )
         SELECT COUNT(*) FILTER (WHERE opened) FROM seeded",
    )
    .bind(
        seeds
            .keys()
            .map(|a| a.bank_code.as_str())
            .collect::<Vec<_>>(),
    )
    .bind(
        seeds
            .keys()
            .map(|a| a.account_number.as_str())
            .collect::<Vec<_>>(),
    )
    .bind(column(|seed| &seed.holder_name))
    .bind(column(|seed| match seed.kind {
        AccountKind::Personal => "personal",
        AccountKind::Corporate => "corporate",
    }))
    .bind(column(|seed| match seed.status {
        AccountStatus::Open => "open",
        AccountStatus::Closed => "closed",
    }))
    .bind(balances)
    .bind(korean_date(now))
    .bind(now)
    .fetch_one(pool)
    .await
}
