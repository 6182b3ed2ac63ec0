//! An administrator deletes an account.

use service_kit::access::Client;
use service_kit::database;
use service_kit::reason::Reason;
use thiserror::Error;
use tonic::Status;
use uuid::Uuid;

use super::UserError;
use crate::State;
use crate::administrator;
use crate::caller::LoggedInAs;
use crate::erasure::{self, ErasureError};
use crate::owner;

#[derive(Debug, Error)]
pub enum EraseError {
    #[error("nobody else is an administrator")]
    LastAdministrator,
    #[error(transparent)]
    User(#[from] UserError),
    #[error(transparent)]
    Erasure(#[from] ErasureError),
    #[error("the account could not be deleted")]
    Database(#[from] sqlx::Error),
}

impl From<EraseError> for Status {
    fn from(error: EraseError) -> Self {
        match error {
            EraseError::LastAdministrator => {
                Reason::LastAdministrator.status("This is the last administrator; make somebody else one first")
            }
            EraseError::User(error) => error.into(),
            EraseError::Erasure(error) => error.into(),
            EraseError::Database(error) => database::failed(&error),
        }
    }
}

pub async fn erase(state: &State, caller: &LoggedInAs, client: &Client, account: Uuid) -> Result<(), EraseError> {
    let now = state.clock.now();
    let mut transaction = database::begin(&state.database).await?;
    // Asked first, because it takes the lock that comes before those of rows.
    if administrator::is_last(&mut transaction, account).await? {
        return Err(EraseError::LastAdministrator);
    }
    let owner = owner::lock(&mut transaction, account)
        .await?
        .ok_or(UserError::NotFound)?
        .owner;
    erasure::erase(&mut transaction, state, owner, caller.account, client, now).await?;
    transaction.commit().await?;
    tracing::info!(account = %account, by = %caller.account, "An administrator deleted an account");
    Ok(())
}
