//! Deletes an account with everything that tells of its owner. The audit log keeps that something happened, and not from
//! where.

use service_kit::access::Client;
use service_kit::reason::{self, FieldViolation, Reason};
use service_kit::{database, event, outbox};
use thiserror::Error;
use tonic::Status;
use voltgate_proto::auth::v1::EraseAccountRequest;
use voltgate_proto::events::v1::AccountDeleted;

use crate::State;
use crate::administrator;
use crate::api_key;
use crate::audit::{self, Action, Entry};
use crate::caller::LoggedInAs;
use crate::reauthentication::{self, ReauthenticationError};
use crate::session::end::{self, Which};

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
    #[error("the event could not be stored")]
    Outbox(#[from] outbox::EnqueueError),
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
            EraseError::Outbox(error) => reason::internal(&error),
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
    end::end(&mut transaction, state, account.id, Which::All).await?;
    api_key::revoke::end_all(&mut transaction, state, account.id).await?;
    audit::record(
        &mut transaction,
        Entry::new(Action::Erased, now, client).by(account.id).on(account.id),
    )
    .await?;
    audit::anonymise(&mut transaction, account.id).await?;
    sqlx::query!("DELETE FROM authentication.account WHERE id = $1", account.id)
        .execute(&mut *transaction)
        .await?;
    let deleted = AccountDeleted {
        account_id: account.id.to_string(),
        username: account.username,
        email: account.email,
    };
    outbox::enqueue(&mut transaction, &event::new(crate::NAME, now, &deleted)).await?;
    transaction.commit().await?;
    tracing::info!(account = %account.id, "An account was deleted at its owner's wish");
    Ok(())
}
