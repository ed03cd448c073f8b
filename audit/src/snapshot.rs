//! One instant of the database, seen by several connections at once.

use sqlx::pool::PoolConnection;
use sqlx::{AssertSqlSafe, PgPool, Postgres, Row};

use crate::error::AuditError;

/// An instant of the database.
pub(crate) struct Snapshot {
    pool: PgPool,
    id: String,
    // The snapshot lives as long as the transaction that exported it.
    _holder: PoolConnection<Postgres>,
}

impl Snapshot {
    /// Takes the snapshot, now.
    pub(crate) async fn take(pool: &PgPool) -> Result<Self, AuditError> {
        let mut holder = pool.acquire().await?;
        begin(&mut holder).await?;
        let id = sqlx::query("SELECT pg_export_snapshot()").fetch_one(&mut *holder).await?;
        Ok(Self { pool: pool.clone(), id: id.try_get(0)?, _holder: holder })
    }

    /// A connection that sees this instant.
    pub(crate) async fn connection(&self) -> Result<PoolConnection<Postgres>, AuditError> {
        let mut connection = self.pool.acquire().await?;
        begin(&mut connection).await?;
        // PostgreSQL gave the id: digits and dashes.
        let set = format!("SET TRANSACTION SNAPSHOT '{}'", self.id);
        sqlx::raw_sql(AssertSqlSafe(set)).execute(&mut *connection).await?;
        // Sums over whole tables; the sort and hash areas of a default server
        // are 4 MB.
        sqlx::raw_sql("SET LOCAL work_mem = '64MB'").execute(&mut *connection).await?;
        Ok(connection)
    }
}

async fn begin(connection: &mut PoolConnection<Postgres>) -> Result<(), AuditError> {
    sqlx::raw_sql("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        .execute(&mut **connection)
        .await?;
    Ok(())
}
