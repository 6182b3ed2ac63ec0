//! Log in: a username and its password start a session, or lead to the question for a second factor. Nothing in the answer, nor the time that it takes, tells
//! an unknown username from a wrong password.

use service_kit::access::Client;
use service_kit::database;
use service_kit::reason::FieldViolation;
use sqlx::PgConnection;
use thiserror::Error;
use uuid::Uuid;
use voltgate_proto::auth::v1::{LogInRequest, SecondFactorRequired};

use crate::State;
use crate::account::Account;
use crate::password_hash::{HashError, PasswordHash};
use crate::second_factor::challenge;
use crate::second_factor::code::CodeError;
use crate::session::LoggedIn;
use crate::sign_in::{self, Proof, SignInError};
use crate::throttle::{Purpose, ThrottleError};
use crate::username::{self, Username};

/// What somebody typed. It need not be a name or a password that a signup would accept.
pub struct Credentials {
    username: String,
    password: String,
}

/// What the right password leads to.
pub enum Outcome {
    LoggedIn(LoggedIn),
    /// The account has an authenticator app.
    SecondFactor(SecondFactorRequired),
}

#[derive(Debug, Error)]
pub enum LogInError {
    #[error("the credentials are no account's")]
    InvalidCredentials,
    /// Said only to those who know the password.
    #[error("an administrator demands another password")]
    PasswordResetRequired,
    #[error(transparent)]
    Throttled(#[from] ThrottleError),
    #[error(transparent)]
    Hash(#[from] HashError),
    #[error(transparent)]
    SecondFactor(#[from] CodeError),
    #[error(transparent)]
    SignIn(#[from] SignInError),
    #[error("the account could not be looked up")]
    Database(#[from] sqlx::Error),
}

impl TryFrom<LogInRequest> for Credentials {
    type Error = Vec<FieldViolation>;

    fn try_from(request: LogInRequest) -> Result<Self, Self::Error> {
        let missing: Vec<_> = [("username", &request.username), ("password", &request.password)]
            .into_iter()
            .filter(|(_, value)| value.is_empty())
            .map(|(field, _)| FieldViolation::new(field, "is required"))
            .collect();
        if missing.is_empty() {
            Ok(Self {
                username: request.username,
                password: request.password,
            })
        } else {
            Err(missing)
        }
    }
}

pub async fn log_in(state: &State, credentials: Credentials, client: &Client) -> Result<Outcome, LogInError> {
    let name = username::key_of(&credentials.username);
    let attempt = state
        .throttle
        .reserve(Purpose::LogIn, client.address, Some(&name))
        .await?;
    let result = check(state, credentials, client).await;
    match &result {
        Ok(Outcome::LoggedIn(_)) => attempt.succeeded().await,
        // It stays counted.
        Err(LogInError::InvalidCredentials) => {}
        Ok(Outcome::SecondFactor(_)) | Err(_) => attempt.give_back().await,
    }
    result
}

async fn check(state: &State, credentials: Credentials, client: &Client) -> Result<Outcome, LogInError> {
    let stored = match Username::parse(&credentials.username) {
        Ok(username) => find(state, &username).await?,
        Err(_) => None,
    };
    let hash = stored.as_ref().map(|stored| stored.password.clone());
    let matches = state.passwords.verify(credentials.password, hash).await?;
    let stored = stored.filter(|_| matches).ok_or(LogInError::InvalidCredentials)?;

    let now = state.clock.now();
    let mut transaction = database::begin(&state.database).await?;
    let account = lock(&mut transaction, &stored).await?;
    if let Some(required) = challenge::open(&mut transaction, account.id, &stored.password, client, now).await? {
        transaction.commit().await?;
        tracing::info!(account = %account.id, "An account is asked for its second factor");
        return Ok(Outcome::SecondFactor(required));
    }
    let logged_in = sign_in::sign_in(&mut transaction, state, account, Proof::Password, client, now).await?;
    transaction.commit().await?;
    tracing::info!(account = %logged_in.account.id, "An account logged in");
    Ok(Outcome::LoggedIn(logged_in))
}

struct Stored {
    id: Uuid,
    password: PasswordHash,
}

async fn find(state: &State, username: &Username) -> Result<Option<Stored>, sqlx::Error> {
    let mut connection = database::begin(&state.database).await?;
    let row = sqlx::query!(
        "SELECT id, password_hash FROM authentication.account WHERE username_key = $1",
        username.key()
    )
    .fetch_optional(&mut *connection)
    .await?;
    Ok(row.map(|row| Stored {
        id: row.id,
        password: row.password_hash.into(),
    }))
}

/// The account as it is now, which stays so until the session is there. Hashing took its time, and the password may have
/// been changed or the account disabled meanwhile.
async fn lock(connection: &mut PgConnection, stored: &Stored) -> Result<Account, LogInError> {
    let row = sqlx::query!(
        "SELECT id, username, roles, site_groups, password_reset_required
         FROM authentication.account
         WHERE id = $1 AND password_hash = $2 AND disabled_at IS NULL
         FOR SHARE",
        stored.id,
        stored.password.as_str()
    )
    .fetch_optional(connection)
    .await?
    .ok_or(LogInError::InvalidCredentials)?;
    if row.password_reset_required {
        return Err(LogInError::PasswordResetRequired);
    }
    Ok(Account {
        id: row.id,
        username: row.username,
        roles: row.roles,
        site_groups: row.site_groups,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_field_is_named_and_nothing_else_is_judged() {
        let request = |username: &str, password: &str| LogInRequest {
            username: username.to_owned(),
            password: password.to_owned(),
        };
        let fields = |request: LogInRequest| -> Vec<String> {
            match Credentials::try_from(request) {
                Ok(_) => Vec::new(),
                Err(violations) => violations.into_iter().map(|violation| violation.field).collect(),
            }
        };
        assert_eq!(fields(request("", "")), ["username", "password"]);
        assert_eq!(fields(request("ada", "")), ["password"]);
        assert!(fields(request("a b", "short")).is_empty());
    }
}
