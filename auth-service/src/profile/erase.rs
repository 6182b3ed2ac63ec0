//! Deletes an account at its owner's wish.

use service_kit::access::Client;
use service_kit::database;
use service_kit::reason::{FieldViolation, Reason};
use thiserror::Error;
use tonic::Status;
use voltgate_proto::auth::v1::EraseAccountRequest;

use crate::State;
use crate::administrator;
use crate::caller::LoggedInAs;
use crate::erasure::{self, ErasureError};
use crate::reauthentication::{self, ReauthenticationError};

/// The password of a request.
///
/// # Errors
/// There is none.
pub fn password_of(request: EraseAccountRequest) -> Result<String, Vec<FieldViolation>> {
    if request.password.is_empty() {
        return Err(vec![FieldViolation::new("password", "is required")]);
    }
    Ok(request.password)
}

#[derive(Debug, Error)]
pub enum EraseError {
    #[error("nobody else is an administrator")]
    LastAdministrator,
    #[error(transparent)]
    Reauthentication(#[from] ReauthenticationError),
    #[error(transparent)]
    Erasure(#[from] ErasureError),
    #[error("the account could not be deleted")]
    Database(#[from] sqlx::Error),
}

impl From<EraseError> for Status {
    fn from(error: EraseError) -> Self {
        match error {
            EraseError::LastAdministrator => {
                Reason::LastAdministrator.status("You are the last administrator; make somebody else one first")
            }
            EraseError::Reauthentication(error) => error.into(),
            EraseError::Erasure(error) => error.into(),
            EraseError::Database(error) => database::failed(&error),
        }
    }
}

pub async fn erase(state: &State, caller: &LoggedInAs, client: &Client, password: String) -> Result<(), EraseError> {
    let account = reauthentication::require(state, caller.account, client, password).await?;
    let now = state.clock.now();
    let mut transaction = database::begin(&state.database).await?;
    if administrator::is_last(&mut transaction, caller.account).await? {
        return Err(EraseError::LastAdministrator);
    }
    let account = account.lock(&mut transaction).await?;
    let id = account.id;
    erasure::erase(&mut transaction, state, account, id, client, now).await?;
    transaction.commit().await?;
    tracing::info!(account = %id, "An account was deleted at its owner's wish");
    Ok(())
}
