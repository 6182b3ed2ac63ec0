//! Changes the password of somebody who knows it. Every other session ends, because whoever knew the old one may have
//! started it.

use service_kit::access::Client;
use service_kit::reason::{self, FieldViolation};
use service_kit::{database, outbox};
use thiserror::Error;
use tonic::Status;
use voltgate_proto::auth::v1::ChangePasswordRequest;

use super::{Password, changed};
use crate::State;
use crate::audit::{self, Action, Entry};
use crate::caller::LoggedInAs;
use crate::password_hash::HashError;
use crate::reauthentication::{self, ReauthenticationError};
use crate::session::end::{self, Which};
use crate::username::Username;

#[derive(Debug, Error)]
pub enum ChangeError {
    #[error("the new password breaks a rule")]
    Invalid(Vec<FieldViolation>),
    #[error(transparent)]
    Reauthentication(#[from] ReauthenticationError),
    #[error(transparent)]
    Hash(#[from] HashError),
    #[error("the event of the change could not be stored")]
    Outbox(#[from] outbox::EnqueueError),
    #[error("the password could not be stored")]
    Database(#[from] sqlx::Error),
}

impl From<ChangeError> for Status {
    fn from(error: ChangeError) -> Self {
        match error {
            ChangeError::Invalid(violations) => reason::invalid(violations),
            ChangeError::Reauthentication(error) => error.into(),
            ChangeError::Hash(error) => error.into(),
            ChangeError::Outbox(error) => reason::internal(&error),
            ChangeError::Database(error) => database::failed(&error),
        }
    }
}

pub async fn change(
    state: &State,
    caller: &LoggedInAs,
    client: &Client,
    request: ChangePasswordRequest,
) -> Result<(), ChangeError> {
    let username = sqlx::query_scalar!(
        "SELECT username FROM authentication.account WHERE id = $1",
        caller.account
    )
    .fetch_optional(&state.database)
    .await?;
    let username = username.and_then(|name| Username::parse(&name).ok());
    let new = parse(&request, username.as_ref()).map_err(ChangeError::Invalid)?;
    let account = reauthentication::require(state, caller.account, client, request.current_password).await?;
    let hash = state.passwords.hash(new).await?;

    let now = state.clock.now();
    let mut transaction = database::begin(&state.database).await?;
    let account = account.lock(&mut transaction).await?;
    sqlx::query!(
        "UPDATE authentication.account SET password_hash = $2, revision = revision + 1 WHERE id = $1",
        account.id,
        hash.as_str()
    )
    .execute(&mut *transaction)
    .await?;
    end::end(&mut transaction, state, account.id, Which::Others(caller.session)).await?;
    let entry = Entry::new(Action::PasswordChanged, now, client)
        .by(account.id)
        .on(account.id);
    audit::record(&mut transaction, entry).await?;
    let event = changed(account.id, account.username, account.email, client, now);
    outbox::enqueue(&mut transaction, &event).await?;
    transaction.commit().await?;
    tracing::info!(account = %caller.account, "An account changed its password");
    Ok(())
}

fn parse(request: &ChangePasswordRequest, username: Option<&Username>) -> Result<Password, Vec<FieldViolation>> {
    let mut violations = Vec::new();
    if request.current_password.is_empty() {
        violations.push(FieldViolation::new("currentPassword", "is required"));
    }
    match super::of_field(&request.new_password, "newPassword", username) {
        Ok(password) if violations.is_empty() => Ok(password),
        Ok(_) => Err(violations),
        Err(more) => {
            violations.extend(more);
            Err(violations)
        }
    }
}
