//! The row of a registered account, and of the one that it replaces.

use axum::http::StatusCode;
use sqlx::{PgConnection, PgPool};

use super::super::members::closed;
use super::super::problem::Problem;
use super::{RegisteredAccount, check_name, of, registrant};

/// Writes the account, unless the member was closed, or with `of_own_name` has
/// another name, since the bank was asked.
///
/// The member's row stays locked until the commit: of two that are registered at
/// once, the second replaces the first, and the history has both.
pub(super) async fn register(
    pool: &PgPool,
    asked: RegisteredAccount,
    of_own_name: bool,
) -> Result<(StatusCode, RegisteredAccount), Problem> {
    let mut transaction = pool.begin().await?;
    let lock = "FOR NO KEY UPDATE";
    let (may, name) = registrant(&mut *transaction, asked.member_id, lock).await?;
    if !may {
        return Err(closed());
    }
    if of_own_name {
        check_name(&name, &asked.holder_name)?;
    }
    let before = of(&mut *transaction, asked.member_id).await?;
    if let Some(before) = before {
        if before.is_same(&asked) {
            return Ok((StatusCode::OK, before));
        }
        keep(&mut transaction, &before, &asked).await?;
    }
    write(&mut transaction, &asked).await?;
    transaction.commit().await?;
    Ok((StatusCode::CREATED, asked))
}

async fn keep(
    connection: &mut PgConnection,
    before: &RegisteredAccount,
    after: &RegisteredAccount,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO banking.replaced_account
                (member_id, seq, bank_code, account_number, holder_name, registered_at, replaced_at)
         SELECT $1, coalesce(max(seq), 0) + 1, $2, $3, $4, $5, $6
           FROM banking.replaced_account WHERE member_id = $1",
    )
    .bind(before.member_id)
    .bind(&before.bank_code)
    .bind(&before.account_number)
    .bind(&before.holder_name)
    .bind(before.registered_at)
    .bind(after.registered_at)
    .execute(connection)
    .await?;
    Ok(())
}

async fn write(
    connection: &mut PgConnection,
    registered: &RegisteredAccount,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO banking.registered_account
                (member_id, bank_code, account_number, holder_name, registered_at)
         VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (member_id) DO UPDATE
            SET bank_code = EXCLUDED.bank_code, account_number = EXCLUDED.account_number,
                holder_name = EXCLUDED.holder_name, registered_at = EXCLUDED.registered_at",
    )
    .bind(registered.member_id)
    .bind(&registered.bank_code)
    .bind(&registered.account_number)
    .bind(&registered.holder_name)
    .bind(registered.registered_at)
    .execute(connection)
    .await?;
    Ok(())
}
