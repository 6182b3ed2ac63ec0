//! Log in: a username and its password become an access token. Nothing in the answer, nor the time that it takes, tells
//! an unknown username from a wrong password.

use service_kit::database;
use service_kit::reason::FieldViolation;
use thiserror::Error;
use uuid::Uuid;
use voltgate_proto::auth::v1::LogInRequest;

use crate::State;
use crate::account::Account;
use crate::password_hash::{HashError, PasswordHash};
use crate::session::{self, LoggedIn, SessionError};
use crate::username::Username;

/// What somebody typed. It need not be a name or a password that a signup would accept.
pub struct Credentials {
    username: String,
    password: String,
}

#[derive(Debug, Error)]
pub enum LogInError {
    #[error("the credentials are no account's")]
    InvalidCredentials,
    #[error(transparent)]
    Hash(#[from] HashError),
    #[error(transparent)]
    Session(#[from] SessionError),
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

pub async fn log_in(state: &State, credentials: Credentials) -> Result<LoggedIn, LogInError> {
    let stored = match Username::parse(&credentials.username) {
        Ok(username) => find(state, &username).await?,
        Err(_) => None,
    };
    let (account, hash) = match stored {
        Some(stored) => (Some(stored.account), Some(stored.password)),
        None => (None, None),
    };
    let matches = state.passwords.verify(credentials.password, hash).await?;
    let account = account.filter(|_| matches).ok_or(LogInError::InvalidCredentials)?;

    let mut transaction = database::begin(&state.database).await?;
    let logged_in = session::start(&mut transaction, &state.tokens, account, state.clock.now()).await?;
    transaction.commit().await?;
    tracing::info!(account = %logged_in.account.id, "An account logged in");
    Ok(logged_in)
}

struct Stored {
    account: Account,
    password: PasswordHash,
}

struct Row {
    id: Uuid,
    username: String,
    roles: Vec<String>,
    password_hash: String,
}

impl From<Row> for Stored {
    fn from(row: Row) -> Self {
        Self {
            account: Account {
                id: row.id,
                username: row.username,
                roles: row.roles,
            },
            password: PasswordHash::from(row.password_hash),
        }
    }
}

async fn find(state: &State, username: &Username) -> Result<Option<Stored>, sqlx::Error> {
    let mut connection = database::begin(&state.database).await?;
    let row = sqlx::query_as!(
        Row,
        "SELECT id, username, roles, password_hash FROM authentication.account WHERE username_key = $1",
        username.key()
    )
    .fetch_optional(&mut *connection)
    .await?;
    Ok(row.map(Stored::from))
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
