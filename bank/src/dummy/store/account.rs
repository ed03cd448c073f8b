//! One account, as it is shown.

use sqlx::PgPool;

use super::rows::{kind, status};
use crate::account::BankAccount;
use crate::wire::AccountInfo;

pub(in crate::dummy) async fn account_info(
    pool: &PgPool,
    account: &BankAccount,
) -> Result<Option<AccountInfo>, sqlx::Error> {
    let row = sqlx::query_as::<_, (String, String, String, i64)>(
        "SELECT holder_name, kind, status, balance
           FROM dummy_bank.account
          WHERE bank_code = $1 AND account_number = $2",
    )
    .bind(&account.bank_code)
    .bind(&account.account_number)
    .fetch_optional(pool)
    .await?;
    row.map(|(holder_name, kind_text, status_text, balance)| {
        Ok(AccountInfo {
            bank_code: account.bank_code.clone(),
            account_number: account.account_number.clone(),
            holder_name,
            kind: kind(&kind_text)?,
            status: status(&status_text)?,
            balance,
        })
    })
    .transpose()
}
