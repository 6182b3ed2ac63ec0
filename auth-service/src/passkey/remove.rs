//! A passkey is taken away. Sessions that it has started go on; they can be ended where they are listed.

use service_kit::access::Client;
use service_kit::database;
use thiserror::Error;
use tonic::Status;
use uuid::Uuid;

use super::not_found;
use crate::State;
use crate::caller::LoggedInAs;
use crate::credential::notice::{self, Change, NoticeError};
use crate::credential::proof::{Proof, ProofError};

#[derive(Debug, Error)]
pub enum RemoveError {
    #[error(transparent)]
    Proof(#[from] ProofError),
    #[error("the account has no such passkey")]
    Unknown,
    #[error(transparent)]
    Notice(#[from] NoticeError),
    #[error("the passkey could not be taken away")]
    Database(#[from] sqlx::Error),
}

pub async fn remove(
    state: &State,
    caller: &LoggedInAs,
    id: Uuid,
    proof: Proof,
    client: &Client,
) -> Result<(), RemoveError> {
    let now = state.clock.now();
    let (mut transaction, owner) = proof.check(state, caller.account, client, now).await?;
    let removed = sqlx::query!(
        "DELETE FROM authentication.passkey WHERE id = $1 AND account_id = $2",
        id,
        caller.account
    )
    .execute(&mut *transaction)
    .await?;
    if removed.rows_affected() == 0 {
        return Err(RemoveError::Unknown);
    }
    notice::tell(&mut transaction, &owner, Change::PasskeyRemoved(id), client, now).await?;
    transaction.commit().await?;
    tracing::info!(account = %caller.account, passkey = %id, "An account has a passkey less");
    Ok(())
}

impl From<RemoveError> for Status {
    fn from(error: RemoveError) -> Self {
        match error {
            RemoveError::Proof(error) => error.into(),
            RemoveError::Unknown => not_found(),
            RemoveError::Notice(error) => error.into(),
            RemoveError::Database(error) => database::failed(&error),
        }
    }
}
