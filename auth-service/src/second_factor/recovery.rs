//! The recovery codes of an account with an authenticator app: how many are left, and new ones.

use service_kit::access::Client;
use service_kit::database;
use service_kit::reason::Reason;
use thiserror::Error;
use tonic::Status;
use uuid::Uuid;
use voltgate_proto::auth::v1::RecoveryCodesLeft;

use super::code::CodeError;
use crate::State;
use crate::caller::LoggedInAs;
use crate::credential::notice::{self, Change, NoticeError};
use crate::credential::proof::{Proof, ProofError, has_totp};
use crate::recovery_code::{self, COUNT, RecoveryCode};

#[derive(Debug, Error)]
pub enum RecoveryError {
    #[error(transparent)]
    Proof(#[from] ProofError),
    #[error("the account has no authenticator app")]
    NotSetUp,
    #[error(transparent)]
    Notice(#[from] NoticeError),
    #[error(transparent)]
    Code(#[from] CodeError),
    #[error("the recovery codes could not be reached")]
    Database(#[from] sqlx::Error),
}

pub async fn left(state: &State, account: Uuid) -> Result<RecoveryCodesLeft, RecoveryError> {
    let mut connection = database::begin(&state.database).await?;
    if !has_totp(&mut connection, account).await? {
        return Err(RecoveryError::NotSetUp);
    }
    Ok(RecoveryCodesLeft {
        left: recovery_code::left(&mut connection, account).await?,
        of: i32::try_from(COUNT).unwrap_or(i32::MAX),
    })
}

/// Makes new codes. The old ones are void, the one that proved it included.
pub async fn renew(
    state: &State,
    caller: &LoggedInAs,
    proof: Proof,
    client: &Client,
) -> Result<Vec<RecoveryCode>, RecoveryError> {
    let now = state.clock.now();
    let (mut transaction, owner) = proof.check(state, caller.account, client, now).await?;
    if !has_totp(&mut transaction, caller.account).await? {
        return Err(RecoveryError::NotSetUp);
    }
    let codes = recovery_code::renew(&mut transaction, caller.account).await?;
    let change = Change::RecoveryCodesRenewed;
    notice::tell(&mut transaction, &owner, change, client, now).await?;
    transaction.commit().await?;
    tracing::info!(account = %caller.account, "An account has new recovery codes");
    Ok(codes)
}

impl From<RecoveryError> for Status {
    fn from(error: RecoveryError) -> Self {
        match error {
            RecoveryError::Proof(error) => error.into(),
            RecoveryError::NotSetUp => Reason::NotFound.status("The account has no authenticator app"),
            RecoveryError::Notice(error) => error.into(),
            RecoveryError::Code(error) => error.into(),
            RecoveryError::Database(error) => database::failed(&error),
        }
    }
}
