//! An account as the other modules know it: who it is and what it may do. How it came to be is `signup.rs` and
//! `administrator.rs`.

use chrono::{DateTime, Utc};
use service_kit::access::Role;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::email::Email;
use crate::password_hash::PasswordHash;
use crate::username::{Username, claim};

/// What a token is issued for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    pub id: Uuid,
    pub username: String,
    pub roles: Vec<String>,
    /// Groups of sites to which an operator is limited; none where there is no limit.
    pub site_groups: Option<Vec<String>>,
}

/// A new row of `authentication.account`.
pub struct NewAccount<'a> {
    pub id: Uuid,
    pub username: &'a Username,
    pub email: Option<&'a Email>,
    pub password: &'a PasswordHash,
    pub roles: &'a [Role],
    pub site_groups: Option<&'a [String]>,
    /// A BCP 47 tag.
    pub language: Option<&'a str>,
    pub created_at: DateTime<Utc>,
}

#[derive(Debug, thiserror::Error)]
pub enum InsertError {
    #[error("the username is taken")]
    UsernameTaken,
    #[error("the account could not be stored")]
    Database(#[source] sqlx::Error),
}

impl From<sqlx::Error> for InsertError {
    fn from(error: sqlx::Error) -> Self {
        match error.as_database_error().and_then(|error| error.constraint()) {
            Some("account_username_unique") => Self::UsernameTaken,
            _ => Self::Database(error),
        }
    }
}

pub async fn insert(connection: &mut PgConnection, new: &NewAccount<'_>) -> Result<Account, InsertError> {
    let roles: Vec<_> = new.roles.iter().map(|role| role.as_str().to_owned()).collect();
    if !claim::is_free(connection, new.username, None).await? {
        return Err(InsertError::UsernameTaken);
    }
    sqlx::query!(
        "INSERT INTO authentication.account (id, username, username_key, skeletons, email, password_hash, roles, created_at,
             site_groups, language)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        new.id,
        new.username.as_str(),
        new.username.key(),
        &new.username.skeletons(),
        new.email.map(Email::as_str),
        new.password.as_str(),
        &roles,
        new.created_at,
        new.site_groups,
        new.language,
    )
    .execute(&mut *connection)
    .await?;
    Ok(Account {
        id: new.id,
        username: new.username.as_str().to_owned(),
        roles,
        site_groups: new.site_groups.map(<[String]>::to_vec),
    })
}

/// Nobody else changes the account before the transaction is over. What is to be known of it is read by a statement of its own,
/// which sees what was committed while the lock was waited for.
pub async fn lock(connection: &mut PgConnection, account: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "SELECT FROM authentication.account WHERE id = $1 FOR NO KEY UPDATE",
        account
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Gives an account another username.
///
/// # Errors
/// The username is taken, or looks like one that is.
pub async fn rename(connection: &mut PgConnection, account: Uuid, username: &Username) -> Result<(), InsertError> {
    if !claim::is_free(connection, username, Some(account)).await? {
        return Err(InsertError::UsernameTaken);
    }
    sqlx::query!(
        "UPDATE authentication.account
         SET username = $2, username_key = $3, skeletons = $4, revision = revision + 1
         WHERE id = $1",
        account,
        username.as_str(),
        username.key(),
        &username.skeletons()
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Has mail to the account written in another language.
pub async fn speak(connection: &mut PgConnection, account: Uuid, language: &str) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE authentication.account SET language = $2, revision = revision + 1 WHERE id = $1",
        account,
        language
    )
    .execute(connection)
    .await?;
    Ok(())
}
