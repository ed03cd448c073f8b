//! The bank contracts, as the flows read them.

use chrono::NaiveDate;
use mypay_decide::firmbanking::Contract;
use mypay_schemas::firmbanking::BankAccount;
use sqlx::{PgConnection, Row};

/// All bank contracts: a handful of rows, read once a batch.
#[derive(Debug, Clone, Default)]
pub struct Contracts(Vec<(String, Contract)>);

impl Contracts {
    /// Reads the contracts; `today` is the Korean day on which they count.
    pub async fn load(
        connection: &mut PgConnection,
        today: NaiveDate,
    ) -> Result<Self, sqlx::Error> {
        let rows = sqlx::query(
            "SELECT bank_code, corporate_account, status = 'ACTIVE' AND expires_on >= $1
               FROM banking.contract ORDER BY bank_code",
        )
        .bind(today)
        .fetch_all(connection)
        .await?;
        let contracts = rows
            .iter()
            .map(|row| {
                let contract = Contract {
                    corporate_account: row.try_get(1)?,
                    in_force: row.try_get(2)?,
                };
                Ok((row.try_get(0)?, contract))
            })
            .collect::<Result<_, sqlx::Error>>()?;
        Ok(Self(contracts))
    }

    /// The contract with a bank.
    pub fn of(&self, bank_code: &str) -> Option<&Contract> {
        self.0
            .iter()
            .find(|(code, _)| code == bank_code)
            .map(|(_, contract)| contract)
    }

    /// Our corporate accounts at banks whose contracts are in force.
    pub fn in_force(&self) -> Vec<BankAccount> {
        self.0
            .iter()
            .filter(|(_, contract)| contract.in_force)
            .map(|(bank_code, contract)| BankAccount {
                bank_code: bank_code.clone(),
                account_number: contract.corporate_account.clone(),
            })
            .collect()
    }
}
