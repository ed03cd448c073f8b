//! One instant of the database, seen by several connections at once.

use sqlx::{AssertSqlSafe, PgPool, Postgres, Row, Transaction};

use crate::error::AuditError;

const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// An instant of the database.
pub(crate) struct Snapshot {
    pool: PgPool,
    id: String,
    // The snapshot lives as long as the transaction that exported it.
    _holder: Transaction<'static, Postgres>,
}

impl Snapshot {
    /// Takes the snapshot, now.
    pub(crate) async fn take(pool: &PgPool) -> Result<Self, AuditError> {
        let mut holder = pool.begin_with(BEGIN).await?;
        let id = sqlx::query("SELECT pg_export_snapshot()")
            .fetch_one(&mut *holder)
            .await?;
        Ok(Self {
            pool: pool.clone(),
            id: id.try_get(0)?,
            _holder: holder,
        })
    }

    /// A transaction that sees this instant.
    pub(crate) async fn see(&self) -> Result<Transaction<'static, Postgres>, AuditError> {
        let mut transaction = self.pool.begin_with(BEGIN).await?;
        // PostgreSQL gave the id: digits and dashes.
        let set = format!("SET TRANSACTION SNAPSHOT '{}'", self.id);
        sqlx::raw_sql(AssertSqlSafe(set))
            .execute(&mut *transaction)
            .await?;
        // Sums over whole tables; the sort and hash areas of a default server
        // are 4 MB.
        sqlx::raw_sql("SET LOCAL work_mem = '64MB'")
            .execute(&mut *transaction)
            .await?;
        Ok(transaction)
    }
}
