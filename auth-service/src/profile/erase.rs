//! Deletes an account at its owner's wish.

use service_kit::access::Client;
use service_kit::database;
use service_kit::reason::Reason;
use thiserror::Error;
use tonic::Status;

use crate::State;
use crate::administrator;
use crate::caller::LoggedInAs;
use crate::credential::proof::{Proof, ProofError};
use crate::erasure::{self, ErasureError};

#[derive(Debug, Error)]
pub enum EraseError {
    #[error("nobody else is an administrator")]
    LastAdministrator,
    #[error(transparent)]
    Proof(#[from] ProofError),
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
            EraseError::Proof(error) => error.into(),
            EraseError::Erasure(error) => error.into(),
            EraseError::Database(error) => database::failed(&error),
        }
    }
}

pub async fn erase(state: &State, caller: &LoggedInAs, client: &Client, proof: Proof) -> Result<(), EraseError> {
    let half = proof.check_password(state, caller.account, client).await?;
    let now = state.clock.now();
    let mut transaction = database::begin(&state.database).await?;
    // Asked first, because it takes the lock that comes before those of rows.
    if administrator::is_last(&mut transaction, caller.account).await? {
        return Err(EraseError::LastAdministrator);
    }
    let (mut transaction, account) = half.check_code(transaction, state, client, now).await?;
    let id = account.id;
    erasure::erase(&mut transaction, state, account, id, client, now).await?;
    transaction.commit().await?;
    tracing::info!(account = %id, "An account was deleted at its owner's wish");
    Ok(())
}
