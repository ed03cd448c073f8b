//! Connections to PostgreSQL, and the migrations.

pub mod copy;
mod nodelay;
pub mod standstill;

use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, PgPool};

/// The migrations, numbered; the reason of each stands at its top.
pub static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("./migrations");

/// What the sessions of [`pool`] are called in `pg_stat_activity`.
const APPLICATION: &str = "mypay";

/// A pool of at most `connections` connections, opened when they are needed.
///
/// A database that is down is not an error here: who asks for a connection
/// finds out, and tries again.
pub fn pool(database_url: &str, connections: u32) -> Result<PgPool, sqlx::Error> {
    let options = PgConnectOptions::from_str(database_url)?
        .application_name(APPLICATION)
        .options([
            // Batches are joined from an array to a table by key. The planner
            // must take the array's order, in which rows are locked: two lanes
            // that lock the same rows in two orders would deadlock.
            ("enable_hashjoin", "off"),
            ("enable_mergejoin", "off"),
            // Statistics of a fresh table say that it is empty; a plan that
            // scans it would stay for the life of the connection.
            ("enable_seqscan", "off"),
            ("jit", "off"),
            // A process that was stopped, or a machine that vanished, must not
            // hold a lane's row: who comes after it would wait for ever. (Where it
            // was stopped in the midst of a statement: `standstill`.)
            ("idle_in_transaction_session_timeout", "10s"),
            ("lock_timeout", "20s"),
            ("statement_timeout", "60s"),
            ("tcp_keepalives_idle", "10"),
            ("tcp_keepalives_interval", "5"),
            ("tcp_keepalives_count", "3"),
            ("tcp_user_timeout", "15s"),
            // One plan for a prepared statement, whatever the array's length.
            ("plan_cache_mode", "force_generic_plan"),
        ]);
    Ok(connect_lazy(connections, options))
}

/// A pool for questions over whole tables, with the planner left alone.
pub fn reporting_pool(database_url: &str, connections: u32) -> Result<PgPool, sqlx::Error> {
    let options = PgConnectOptions::from_str(database_url)?
        .application_name("mypay-report")
        // A question over a whole table may take seconds: no warning is due.
        .disable_statement_logging();
    Ok(connect_lazy(connections, options))
}

fn connect_lazy(connections: u32, options: PgConnectOptions) -> PgPool {
    let port = options.get_port();
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(Duration::from_secs(5))
        // A ping before each use is a round trip a batch; a broken connection
        // shows itself at its first statement, and every caller tries again.
        .test_before_acquire(false)
        .after_connect(move |_, _| {
            nodelay::set_on_connections_to(port);
            Box::pin(async { Ok(()) })
        })
        .connect_lazy_with(options)
}

/// Brings the tables up to date. Safe to call from many processes at once.
pub async fn migrate(pool: &PgPool) -> Result<(), sqlx::migrate::MigrateError> {
    MIGRATIONS.run(pool).await
}
