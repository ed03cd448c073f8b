//! The book in PostgreSQL: a handful of array statements a batch.

mod account;
mod load;
mod rows;
mod save;

pub(super) use account::account_info;
pub(super) use load::{load, transfer_by_key};
pub(super) use save::save;

use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};

/// The statements that make the schema.
const SCHEMA: &str = include_str!("schema.sql");
/// The version that they make.
const SCHEMA_VERSION: i32 = 1;

/// "dummy_bank" in ASCII: two banks that start at once make the schema in turn.
/// (`CREATE .. IF NOT EXISTS` alone can fail when two run at the same time.)
const SCHEMA_LOCK: i64 = 0x64756d_6d796261;

/// Connects and makes the schema if it is not there.
pub(super) async fn open(database_url: &str) -> Result<PgPool, sqlx::Error> {
    let options: PgConnectOptions = database_url.parse()?;
    // A promise that was answered must be on disk, whatever the server's default.
    let options = options
        .application_name("mypay-dummy-bank")
        .options([("synchronous_commit", "on")]);
    let pool = PgPoolOptions::new()
        .max_connections(8)
        .connect_with(options)
        .await?;
    make_schema(&pool).await?;
    Ok(pool)
}

/// Makes the schema unless it is there.
///
/// Looking first is no thrift: `CREATE INDEX IF NOT EXISTS` locks the table even
/// where the index exists, and deadlocks with a bank that is at work in it.
async fn make_schema(pool: &PgPool) -> Result<(), sqlx::Error> {
    let mut tx = pool.begin().await?;
    sqlx::query("SELECT pg_advisory_xact_lock($1)")
        .bind(SCHEMA_LOCK)
        .execute(&mut *tx)
        .await?;
    let any: bool =
        sqlx::query_scalar("SELECT to_regclass('dummy_bank.schema_version') IS NOT NULL")
            .fetch_one(&mut *tx)
            .await?;
    let version: Option<i32> = if any {
        sqlx::query_scalar("SELECT MAX(version) FROM dummy_bank.schema_version")
            .fetch_one(&mut *tx)
            .await?
    } else {
        None
    };
    if version.is_none_or(|version| version < SCHEMA_VERSION) {
        sqlx::raw_sql(SCHEMA).execute(&mut *tx).await?;
    }
    tx.commit().await
}
