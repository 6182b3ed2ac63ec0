//! Somebody who is logged in shows the password again, before something that whoever found an open browser must not do.

use service_kit::access::Client;
use service_kit::database;
use service_kit::reason::Reason;
use sqlx::PgConnection;
use thiserror::Error;
use tonic::Status;
use uuid::Uuid;

use crate::State;
use crate::owner::{self, Owner};
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
            ReauthenticationError::Database(error) => database::failed(&error),
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
    let stored = find(state, account)
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

struct Stored {
    username_key: String,
    password_hash: String,
}

async fn find(state: &State, account: Uuid) -> Result<Option<Stored>, sqlx::Error> {
    let mut connection = database::begin(&state.database).await?;
    sqlx::query_as!(
        Stored,
        "SELECT username_key, password_hash FROM authentication.account WHERE id = $1",
        account
    )
    .fetch_optional(&mut *connection)
    .await
}

impl Reauthenticated {
    /// Locks the account for what follows, if its password is still the one that was shown and lets its owner in.
    pub async fn lock(&self, connection: &mut PgConnection) -> Result<Owner, ReauthenticationError> {
        let locked = owner::lock(connection, self.account).await?;
        locked
            .filter(|locked| locked.is_open && locked.password.as_str() == self.password.as_str())
            .map(|locked| locked.owner)
            .ok_or(ReauthenticationError::WrongPassword)
    }
}
