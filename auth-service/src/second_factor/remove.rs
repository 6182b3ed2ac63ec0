//! The authenticator app is taken away, and with it the recovery codes. A login that waits for a code of it has to begin
//! anew.

use service_kit::access::Client;
use service_kit::database;
use service_kit::reason::Reason;
use thiserror::Error;
use tonic::Status;

use crate::State;
use crate::caller::LoggedInAs;
use crate::credential::notice::{self, Change, NoticeError};
use crate::credential::proof::{Proof, ProofError};

#[derive(Debug, Error)]
pub enum RemoveError {
    #[error(transparent)]
    Proof(#[from] ProofError),
    #[error("the account has no authenticator app")]
    NotSetUp,
    #[error(transparent)]
    Notice(#[from] NoticeError),
    #[error("the authenticator app could not be taken away")]
    Database(#[from] sqlx::Error),
}

pub async fn remove(state: &State, caller: &LoggedInAs, proof: Proof, client: &Client) -> Result<(), RemoveError> {
    let now = state.clock.now();
    let (mut transaction, owner) = proof.check(state, caller.account, client, now).await?;
    let removed = sqlx::query!(
        "DELETE FROM authentication.totp WHERE account_id = $1 AND confirmed_at IS NOT NULL",
        caller.account
    )
    .execute(&mut *transaction)
    .await?;
    if removed.rows_affected() == 0 {
        return Err(RemoveError::NotSetUp);
    }
    notice::tell(&mut transaction, &owner, Change::TotpRemoved, client, now).await?;
    transaction.commit().await?;
    tracing::info!(account = %caller.account, "An account has no authenticator app any more");
    Ok(())
}

impl From<RemoveError> for Status {
    fn from(error: RemoveError) -> Self {
        match error {
            RemoveError::Proof(error) => error.into(),
            RemoveError::NotSetUp => Reason::NotFound.status("The account has no authenticator app"),
            RemoveError::Notice(error) => error.into(),
            RemoveError::Database(error) => database::failed(&error),
        }
    }
}
