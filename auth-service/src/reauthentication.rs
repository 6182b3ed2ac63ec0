//! Somebody who is logged in shows the password again, before something that whoever found an open browser must not do.

use service_kit::access::Client;
use service_kit::reason::Reason;
use sqlx::PgConnection;
use thiserror::Error;
use tonic::Status;
use uuid::Uuid;

use crate::State;
use crate::password_hash::{HashError, PasswordHash};
use crate::throttle::{Purpose, ThrottleError};

/// An account that showed its password, and is the same still.
pub struct Reauthenticated {
    pub account: Uuid,
    password: PasswordHash,
}

#[derive(Debug, Error)]
pub enum ReauthenticationError {
    #[error("the password is another one")]
    WrongPassword,
    #[error(transparent)]
    Throttle(#[from] ThrottleError),
    #[error(transparent)]
    Hash(#[from] HashError),
    #[error("the account could not be looked up")]
    Database(#[from] sqlx::Error),
}

impl From<ReauthenticationError> for Status {
    fn from(error: ReauthenticationError) -> Self {
        match error {
            ReauthenticationError::WrongPassword => Reason::WrongPassword.status("This is not your password"),
            ReauthenticationError::Throttle(error) => error.into(),
            ReauthenticationError::Hash(error) => error.into(),
            ReauthenticationError::Database(error) => service_kit::database::failed(&error),
        }
    }
}

/// Checks the password. No transaction is open meanwhile, because hashing takes its time; [`Reauthenticated::lock`] makes
/// sure afterwards that nothing has changed.
pub async fn require(
    state: &State,
    account: Uuid,
    client: &Client,
    password: String,
) -> Result<Reauthenticated, ReauthenticationError> {
    let stored = sqlx::query!(
        "SELECT username_key, password_hash FROM authentication.account WHERE id = $1",
        account
    )
    .fetch_optional(&state.database)
    .await?
    .ok_or(ReauthenticationError::WrongPassword)?;
    let attempt = state
        .throttle
        .reserve(Purpose::LogIn, client.address, Some(&stored.username_key))
        .await?;
    let hash = PasswordHash::from(stored.password_hash);
    match state.passwords.verify(password, Some(hash.clone())).await {
        Ok(true) => {
            attempt.succeeded().await;
            Ok(Reauthenticated {
                account,
                password: hash,
            })
        }
        Ok(false) => Err(ReauthenticationError::WrongPassword),
        Err(error) => {
            attempt.give_back().await;
            Err(error.into())
        }
    }
}

/// The account whose row is locked.
pub struct Locked {
    pub id: Uuid,
    pub username: String,
    pub email: Option<String>,
}

impl Reauthenticated {
    /// Locks the account for what follows, if its password is still the one that was shown.
    pub async fn lock(&self, connection: &mut PgConnection) -> Result<Locked, ReauthenticationError> {
        sqlx::query_as!(
            Locked,
            "SELECT id, username, email FROM authentication.account
             WHERE id = $1 AND password_hash = $2 AND disabled_at IS NULL
             FOR NO KEY UPDATE",
            self.account,
            self.password.as_str()
        )
        .fetch_optional(connection)
        .await?
        .ok_or(ReauthenticationError::WrongPassword)
    }
}
