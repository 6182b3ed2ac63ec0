//! The database: a private cluster in the data folder, unless a setting names another.

use anyhow::Context;
use private_postgres::{Cluster, Durability, Options};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, PgConnection};

use crate::data_folder::DataFolder;
use crate::secrets;
use crate::settings::Settings;

const ROLES: &str = include_str!("../../deploy/postgres/roles.sql");

/// Where the services keep their rows.
pub enum Database {
    /// Started by us, stopped by us.
    Private(Box<Cluster>),
    /// Somebody else's.
    Given,
}

impl Database {
    /// Uses the databases that are set; where a service has none, starts the private cluster and sets its URL.
    ///
    /// # Errors
    /// PostgreSQL is missing or does not start.
    pub async fn open(settings: &mut Settings, folder: &DataFolder) -> anyhow::Result<Self> {
        let urls = [
            &mut settings.auth.auth_database_url,
            &mut settings.charger.charger_database_url,
            &mut settings.email.email_database_url,
        ];
        if settings.common.database.database_url.is_some() || urls.iter().all(|url| url.is_some()) {
            return Ok(Self::Given);
        }
        let cluster = Cluster::start(Options {
            folder: folder.join("postgres"),
            durability: Durability::Full,
        })
        .await?;
        let roles = ["voltgate_auth", "voltgate_charger", "voltgate_email"];
        let mut connection = prepare(&cluster).await.context("cannot prepare the private database")?;
        for (url, role) in urls.into_iter().zip(roles) {
            if url.is_none() {
                *url = Some(let_in(&mut connection, &cluster, role).await?);
            }
        }
        connection.close().await?;
        Ok(Self::Private(Box::new(cluster)))
    }

    /// Returns when a private server ended by itself; never otherwise.
    pub async fn ended(&self) {
        match self {
            Self::Private(cluster) => cluster.ended().await,
            Self::Given => std::future::pending().await,
        }
    }

    /// Stops a private server.
    ///
    /// # Errors
    /// It does not stop.
    pub async fn close(self) -> Result<(), private_postgres::Error> {
        match self {
            Self::Private(cluster) => cluster.stop().await,
            Self::Given => Ok(()),
        }
    }
}

/// Makes the database with a role and a schema for each service, where they are absent.
async fn prepare(cluster: &Cluster) -> Result<PgConnection, sqlx::Error> {
    let mut connection = connect(cluster, "postgres").await?;
    let exists: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = 'voltgate')")
        .fetch_one(&mut connection)
        .await?;
    if !exists {
        sqlx::raw_sql("CREATE DATABASE voltgate")
            .execute(&mut connection)
            .await?;
    }
    connection.close().await?;
    let mut connection = connect(cluster, "voltgate").await?;
    sqlx::raw_sql(ROLES).execute(&mut connection).await?;
    Ok(connection)
}

/// Without a word of its statements in the log: some of them have passwords in them.
async fn connect(cluster: &Cluster, database: &str) -> Result<PgConnection, sqlx::Error> {
    let options: PgConnectOptions = cluster.url(database).parse()?;
    options.disable_statement_logging().connect().await
}

/// Gives the role a new password, known to this process only, and returns the URL to log in with.
async fn let_in(connection: &mut PgConnection, cluster: &Cluster, role: &str) -> anyhow::Result<String> {
    let password = secrets::random();
    // A statement of this kind takes no parameters; both parts are our own, and neither can hold a quote.
    let statement = sqlx::AssertSqlSafe(format!("ALTER ROLE {role} LOGIN PASSWORD '{password}'"));
    sqlx::raw_sql(statement)
        .execute(connection)
        .await
        .with_context(|| format!("cannot let {role} log in"))?;
    Ok(format!(
        "postgres://{role}:{password}@127.0.0.1:{}/voltgate",
        cluster.port()
    ))
}
