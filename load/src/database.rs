//! A PostgreSQL of one's own that loses nothing, with a role and a schema for each service, and what it tells of itself.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use private_postgres::{Cluster, Durability, Options};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, PgPool};
use tokio::time::{Instant, sleep};

use crate::usage;

/// The number of commits is settled once it has been the same for as long, and is taken after the longer time in any case.
const STILL: Duration = Duration::from_secs(11);
const SETTLES_WITHIN: Duration = Duration::from_secs(15);
const LOOK: Duration = Duration::from_millis(500);

const ROLES: &str = include_str!("../../deploy/postgres/roles.sql");
const NAME: &str = "voltgate";
const ROLE_PASSWORD: &str = "for-this-run-only";

/// The server, and a connection for questions.
pub struct Database {
    cluster: Cluster,
    pool: PgPool,
    postmaster: u32,
}

impl Database {
    /// # Errors
    /// PostgreSQL is missing, does not start or does not know a setting.
    pub async fn start(folder: &Path, settings: &[(String, String)]) -> Result<Self> {
        let options = || Options {
            folder: folder.join("postgres"),
            durability: Durability::Full,
        };
        let mut cluster = Cluster::start(options()).await?;
        if !settings.is_empty() {
            set(&cluster, settings).await?;
            // Some count from the next start on.
            cluster.stop().await?;
            cluster = Cluster::start(options()).await?;
        }
        let mut connection = PgConnection::connect(&cluster.url("postgres")).await?;
        sqlx::raw_sql(AssertSqlSafe(format!("CREATE DATABASE {NAME}")))
            .execute(&mut connection)
            .await?;
        connection.close().await?;
        let pool = PgPool::connect(&cluster.url(NAME)).await?;
        sqlx::raw_sql(ROLES).execute(&pool).await?;
        for role in ["voltgate_auth", "voltgate_charger", "voltgate_email"] {
            let statement = AssertSqlSafe(format!("ALTER ROLE {role} LOGIN PASSWORD '{ROLE_PASSWORD}'"));
            sqlx::raw_sql(statement).execute(&pool).await?;
        }
        let pid_file = std::fs::read_to_string(cluster.folder().join("cluster/postmaster.pid"))?;
        let postmaster = pid_file.lines().next().and_then(|line| line.trim().parse().ok());
        Ok(Self {
            postmaster: postmaster.context("PostgreSQL has no process id")?,
            cluster,
            pool,
        })
    }

    /// Where a service connects.
    pub fn url_as(&self, role: &str) -> String {
        format!(
            "postgres://{role}:{ROLE_PASSWORD}@127.0.0.1:{}/{NAME}",
            self.cluster.port()
        )
    }

    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// Of all its processes.
    ///
    /// # Errors
    /// It has ended.
    pub fn processor_time(&self) -> Result<Duration> {
        usage::processor_time_of_family(self.postmaster)
    }

    /// Transactions that were committed so far, reads included, as far as PostgreSQL's processes have told.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn commits(&self) -> Result<i64> {
        let query = "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()";
        // Rolled back, so that to ask is no commit.
        let mut transaction = self.pool.begin().await?;
        let commits = sqlx::query_scalar(query).fetch_one(&mut *transaction).await?;
        transaction.rollback().await?;
        Ok(commits)
    }

    /// The same after all have told: an idle process of PostgreSQL does so within ten seconds. Whatever else goes on, it ends.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn settled_commits(&self) -> Result<i64> {
        let began = Instant::now();
        let mut still_since = began;
        let mut commits = self.commits().await?;
        while still_since.elapsed() < STILL && began.elapsed() < SETTLES_WITHIN {
            sleep(LOOK).await;
            let now = self.commits().await?;
            if now != commits {
                commits = now;
                still_since = Instant::now();
            }
        }
        Ok(commits)
    }

    /// What durability depends on, as it is set.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn durability(&self) -> Result<String> {
        let query = "SELECT version() || ', fsync ' || current_setting('fsync') || ', synchronous_commit '
                         || current_setting('synchronous_commit')";
        Ok(sqlx::query_scalar(query).fetch_one(&self.pool).await?)
    }

    /// # Errors
    /// It does not stop.
    pub async fn stop(self) -> Result<()> {
        self.pool.close().await;
        Ok(self.cluster.stop().await?)
    }
}

async fn set(cluster: &Cluster, settings: &[(String, String)]) -> Result<()> {
    let mut connection = PgConnection::connect(&cluster.url("postgres")).await?;
    for (name, value) in settings {
        // It takes no parameters; both come from the command line of whoever owns the server.
        let statement = format!("ALTER SYSTEM SET {name} = '{}'", value.replace('\'', "''"));
        let done = sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await;
        done.with_context(|| format!("PostgreSQL cannot be set to {name}={value}"))?;
    }
    Ok(connection.close().await?)
}
