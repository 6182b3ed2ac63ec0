//! A service's own schema: connected to, and brought up to date, at start.

use std::str::FromStr;
use std::time::Duration;

use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection, PgConnection, PgPool, Postgres, Transaction};
use tonic::Status;

use crate::deadline;
use crate::reason::{self, Reason};
use crate::settings::DatabaseUrl;
use crate::start::StartError;
use crate::trace;

/// How long a request waits for a free connection before it fails.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

/// Between two looks at how many connections are in use.
const MEASURING: Duration = Duration::from_secs(1);

/// The parameter of a connection that bounds each of its statements, in milliseconds. The database ends one that takes
/// longer, also where the process that asked is gone.
const STATEMENT_TIMEOUT: &str = "statement_timeout";

/// `query_canceled`: what the database says of a statement that it ended.
const CANCELED: &str = "57014";

/// A character that PostgreSQL does not keep in a text; it comes to know of none but the null character.
const NOT_A_TEXT: &str = "22021";

/// How the codes begin by which it says that it goes, starts, or has too much to do (classes 08 and 53, 57P01 and those that
/// follow), and that somebody else was in the way (class 40): each time the same may succeed a moment later.
const AWAY_OR_BUSY: [&str; 4] = ["08", "40", "53", "57P"];

/// How long a caller waits before trying again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Connects with `schema` as the search path, creates the schema where it is absent and applies its migrations.
///
/// The migrations are recorded in the schema's own `_sqlx_migrations`, so that services which share a database stay out
/// of each other's way. A role that owns its schema needs no right to create one.
///
/// # Errors
/// The URL cannot be read, the database cannot be reached, or a migration failed.
pub async fn connect(database: &DatabaseUrl, schema: &'static str, migrator: &Migrator) -> Result<PgPool, StartError> {
    let setting = database.setting;
    let options = PgConnectOptions::from_str(&database.url)
        // sqlx's own text may repeat the URL, and with it the password.
        .map_err(|_| {
            StartError::setting(
                setting,
                "is not a PostgreSQL URL (postgres://user:password@host/database)",
            )
        })?
        .application_name(schema)
        // Statements here are short, and would be compiled for longer than they run.
        .options([("search_path", schema), ("jit", "off")]);
    let unreachable = |source| StartError::Database { setting, source };

    let mut connection = PgConnection::connect_with(&options).await.map_err(unreachable)?;
    create_schema(&mut connection, schema).await.map_err(unreachable)?;
    migrator
        .run_direct(None, &mut connection, false)
        .await
        .map_err(|source| StartError::Migration { schema, source })?;
    connection.close().await.map_err(unreachable)?;

    PgPoolOptions::new()
        .max_connections(database.max_connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .connect_with(options.options([(STATEMENT_TIMEOUT, database.longest_statement.as_millis().to_string())]))
        .await
        .map_err(unreachable)
}

/// Begins a transaction for the call that is being worked on. What runs in it ends in the database too when the time for
/// the call is over, for the limit goes along with `BEGIN` and costs no way of its own; so does the name of the trace, where that is
/// recorded. Outside of a call only the limit of every connection holds.
///
/// What only reads need not commit: dropped, the transaction is rolled back after the answer has left.
///
/// # Errors
/// The database is away or busy.
pub async fn begin(database: &PgPool) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
    let _waiting = Waiting::for_connection(database);
    let longest = longest_statement(database);
    let left = deadline::left().filter(|left| longest.is_none_or(|longest| *left < longest));
    let named = named_for_trace(database);
    if left.is_none() && named.is_none() {
        return database.begin().await;
    }
    let mut begin = "BEGIN".to_owned();
    if let Some(left) = left {
        // PostgreSQL takes 0 for no limit.
        let milliseconds = left.as_millis().max(1);
        begin.push_str(&format!("; SET LOCAL statement_timeout = {milliseconds}"));
    }
    if let Some(name) = named {
        begin.push_str(&format!("; SET LOCAL application_name = '{name}'"));
    }
    // Numbers and names of our own.
    database.begin_with(sqlx::AssertSqlSafe(begin)).await
}

/// What the connection is called while it works for a trace that is recorded: PostgreSQL's log has it (`%a`), and `pg_stat_activity`.
fn named_for_trace(database: &PgPool) -> Option<String> {
    trace::with_current(|place| {
        let schema = database.connect_options().get_application_name()?.to_owned();
        let is_plain = schema.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        (place.is_recorded() && is_plain).then(|| format!("{schema} {}", place.context.trace_id))
    })
    .flatten()
}

/// Counts, for as long as it is held, somebody who found no connection free.
struct Waiting(Option<metrics::Gauge>);

impl Waiting {
    fn for_connection(database: &PgPool) -> Self {
        let is_full = database.num_idle() == 0 && database.size() >= database.options().get_max_connections();
        Self(is_full.then(|| {
            let waiting = waiting(&schema(database));
            waiting.increment(1.0);
            waiting
        }))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(waiting) = &self.0 {
            waiting.decrement(1.0);
        }
    }
}

fn schema(database: &PgPool) -> String {
    let options = database.connect_options();
    options.get_application_name().unwrap_or_default().to_owned()
}

fn waiting(schema: &str) -> metrics::Gauge {
    metrics::gauge!("voltgate_database_waiting", "schema" => schema.to_owned())
}

/// Measures a pool into the process's metrics, for as long as it is polled.
pub async fn measure(database: &PgPool) {
    let schema = schema(database);
    let gauge = |state: &'static str| metrics::gauge!("voltgate_database_connections", "schema" => schema.clone(), "state" => state);
    let (idle, in_use) = (gauge("idle"), gauge("in_use"));
    metrics::gauge!("voltgate_database_connections_max", "schema" => schema.clone())
        .set(database.options().get_max_connections());
    waiting(&schema).increment(0.0);
    metrics::counter!("voltgate_database_unavailable_total").increment(0);
    loop {
        let (all, free) = (database.size(), u32::try_from(database.num_idle()).unwrap_or(u32::MAX));
        idle.set(free);
        in_use.set(all.saturating_sub(free));
        tokio::time::sleep(MEASURING).await;
    }
}

/// Has what follows in this transaction planned for the very values that it comes with. A statement that filters by
/// whatever is given, and is planned once for all that may be, reads whole tables (docs/performance.md).
///
/// # Errors
/// The database is away.
pub async fn plan_for_values(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query("SET LOCAL plan_cache_mode = force_custom_plan")
        .execute(connection)
        .await?;
    Ok(())
}

/// The bound of every statement, as [`connect`] has set it.
fn longest_statement(database: &PgPool) -> Option<Duration> {
    let options = database.connect_options();
    // What stands last holds; before it may be what the URL says.
    let mut words = options.get_options()?.split_ascii_whitespace().rev();
    let milliseconds = words.find_map(|word| word.strip_prefix(STATEMENT_TIMEOUT)?.strip_prefix('='));
    milliseconds?.parse().ok().map(Duration::from_millis)
}

/// How callers are told. A database that is away or busy is worth another try; anything else it says is our fault.
pub fn failed(error: &sqlx::Error) -> Status {
    match error {
        error if is_away_or_busy(error) => {
            metrics::counter!("voltgate_database_unavailable_total").increment(1);
            tracing::warn!(error = error as &dyn std::error::Error, "The database does not answer");
            Reason::Unavailable.retry_after(RETRY_AFTER, "The database is not available just now; try again")
        }
        sqlx::Error::Database(error) if error.code().as_deref() == Some(CANCELED) => {
            Reason::DeadlineExceeded.status("The database did not answer in time")
        }
        sqlx::Error::Database(error) if error.code().as_deref() == Some(NOT_A_TEXT) => {
            Reason::InvalidRequest.status("A text of the request contains a null character")
        }
        _ => reason::internal(error),
    }
}

fn is_away_or_busy(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::Io(_) => true,
        sqlx::Error::Database(error) => {
            let code = error.code();
            code.is_some_and(|code| AWAY_OR_BUSY.iter().any(|begin| code.starts_with(begin)))
        }
        _ => false,
    }
}

/// `CREATE SCHEMA IF NOT EXISTS` asks for the right to create even where the schema exists, hence the look first. Two
/// replicas that start at once may both find it absent, hence the `IF NOT EXISTS`, and the lock that serialises them.
async fn create_schema(connection: &mut PgConnection, schema: &'static str) -> Result<(), sqlx::Error> {
    let mut transaction = connection.begin().await?;
    sqlx::query("SELECT pg_advisory_xact_lock(hashtext('voltgate schema ' || $1))")
        .bind(schema)
        .execute(&mut *transaction)
        .await?;
    let exists: bool = sqlx::query_scalar("SELECT to_regnamespace($1) IS NOT NULL")
        .bind(schema)
        .fetch_one(&mut *transaction)
        .await?;
    if !exists {
        // The name is one of our own constants, never input.
        let create = sqlx::AssertSqlSafe(format!("CREATE SCHEMA IF NOT EXISTS {schema}"));
        sqlx::query(create).execute(&mut *transaction).await?;
    }
    transaction.commit().await
}
