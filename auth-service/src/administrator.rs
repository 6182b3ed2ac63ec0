//! The first administrator. An installation without one gets it at the start: from `ADMIN_USERNAME` and
//! `ADMIN_PASSWORD`, or, where the process may show it to somebody, with a password made up on the spot. An installation
//! that has an administrator is left alone, whatever the settings say.

use chrono::{DateTime, Utc};
use service_kit::access::Role;
use sqlx::{PgConnection, PgPool};
use thiserror::Error;
use uuid::Uuid;

use crate::account::{self, InsertError, NewAccount};
use crate::audit::{self, Action, Entry};
use crate::password::Password;
use crate::password_hash::{HashError, PasswordHasher};
use crate::username::Username;

/// Where the first administrator's password comes from.
#[derive(Debug, Clone)]
pub enum FirstPassword {
    Given(Password),
    /// Nobody gave one: make one up, for the caller to show once.
    Generate,
    /// Nobody gave one and nobody would see it: do without an administrator.
    Missing,
}

/// What the start found or did.
#[derive(Debug)]
pub enum Administrator {
    AlreadyThere,
    Created { username: Username },
    CreatedWithPassword { username: Username, password: Password },
    Missing,
}

#[derive(Debug, Error)]
pub enum AdministratorError {
    #[error("ADMIN_USERNAME is the name of an account that is no administrator")]
    UsernameTaken,
    #[error(transparent)]
    Hash(#[from] HashError),
    #[error("the administrator could not be stored")]
    Database(#[from] sqlx::Error),
}

impl From<InsertError> for AdministratorError {
    fn from(error: InsertError) -> Self {
        match error {
            InsertError::UsernameTaken => Self::UsernameTaken,
            InsertError::Database(error) => Self::Database(error),
        }
    }
}

/// Replicas that start at once agree on one: the transaction lock lets one of them look and create at a time.
pub async fn create_if_none(
    database: &PgPool,
    passwords: &PasswordHasher,
    username: Username,
    password: FirstPassword,
    now: DateTime<Utc>,
) -> Result<Administrator, AdministratorError> {
    let mut transaction = database.begin().await?;
    lock(&mut transaction).await?;
    if exists(&mut transaction).await? {
        return Ok(Administrator::AlreadyThere);
    }
    let (password, generated) = match password {
        FirstPassword::Given(password) => (password, false),
        FirstPassword::Generate => (Password::generate(), true),
        FirstPassword::Missing => return Ok(Administrator::Missing),
    };
    let hash = passwords.hash(password.clone()).await?;
    let new = NewAccount {
        id: Uuid::now_v7(),
        username: &username,
        email: None,
        password: &hash,
        roles: &[Role::Admin],
        site_groups: None,
        language: None,
        created_at: now,
    };
    let account = account::insert(&mut transaction, &new).await?;
    let entry = Entry::unasked(Action::Created, now)
        .on(account.id)
        .with("roles", account.roles.clone());
    audit::record(&mut transaction, entry).await?;
    transaction.commit().await?;
    tracing::info!(account = %account.id, "Created the first administrator");
    Ok(if generated {
        Administrator::CreatedWithPassword { username, password }
    } else {
        Administrator::Created { username }
    })
}

/// Whether nobody but this account is an administrator who can log in. Until the transaction ends nobody else gets to ask,
/// so that two administrators cannot step down at once.
pub async fn is_last(connection: &mut PgConnection, account: Uuid) -> Result<bool, sqlx::Error> {
    lock(connection).await?;
    sqlx::query_scalar!(
        r#"SELECT EXISTS (
               SELECT FROM authentication.account WHERE 'admin' = ANY (roles) AND id = $1
           ) AND NOT EXISTS (
               SELECT FROM authentication.account WHERE 'admin' = ANY (roles) AND id <> $1 AND disabled_at IS NULL
           ) AS "last!""#,
        account
    )
    .fetch_one(connection)
    .await
}

async fn exists(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM authentication.account WHERE 'admin' = ANY (roles)) AS "exists!""#
    )
    .fetch_one(connection)
    .await
}

async fn lock(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query!("SELECT pg_advisory_xact_lock(hashtextextended('authentication.administrator', 0))")
        .execute(connection)
        .await?;
    Ok(())
}
