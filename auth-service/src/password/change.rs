//! Changes the password of somebody who knows it. Every other session ends, because whoever knew the old one may have
//! started it, and what they asked for by mail is void.

use service_kit::access::Client;
use service_kit::reason::{self, FieldViolation};
use service_kit::{database, outbox};
use thiserror::Error;
use tonic::Status;
use voltgate_proto::auth::v1::ChangePasswordRequest;

use super::{Password, changed, username_of};
use crate::State;
use crate::announce;
use crate::audit::{self, Action, Entry};
use crate::caller::LoggedInAs;
use crate::credential::proof::{Proof, ProofError};
use crate::email_code::{self, WAYS_IN};
use crate::password_hash::HashError;
use crate::session::end::{self, Which};
use crate::username::Username;

#[derive(Debug, Error)]
pub enum ChangeError {
    #[error("the new password breaks a rule")]
    Invalid(Vec<FieldViolation>),
    #[error(transparent)]
    Proof(#[from] ProofError),
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
            ChangeError::Proof(error) => error.into(),
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
    let username = username_of(state, caller.account).await?;
    let (new, proof) = parse(request, username.as_ref()).map_err(ChangeError::Invalid)?;
    let half = proof.check_password(state, caller.account, client).await?;
    let hash = state.passwords.hash(new).await?;

    let now = state.clock.now();
    let transaction = database::begin(&state.database).await?;
    let (mut transaction, account) = half.check_code(transaction, state, client, now).await?;
    sqlx::query!(
        "UPDATE authentication.account SET password_hash = $2, revision = revision + 1 WHERE id = $1",
        account.id,
        hash.as_str()
    )
    .execute(&mut *transaction)
    .await?;
    email_code::withdraw(&mut transaction, account.id, &WAYS_IN).await?;
    end::end(&mut transaction, state, account.id, Which::Others(caller.session)).await?;
    let entry = Entry::new(Action::PasswordChanged, now, client)
        .by(account.id)
        .on(account.id);
    audit::record(&mut transaction, entry).await?;
    let email = account.verified_email();
    let id = account.id;
    let event = changed(id, account.username, email, client, now);
    announce::about(&mut transaction, id, event).await?;
    transaction.commit().await?;
    tracing::info!(account = %caller.account, "An account changed its password");
    Ok(())
}

fn parse(
    request: ChangePasswordRequest,
    username: Option<&Username>,
) -> Result<(Password, Proof), Vec<FieldViolation>> {
    let proof = Proof::of_fields("currentPassword", request.current_password, request.code);
    let new = super::of_field(&request.new_password, "newPassword", username);
    match (proof, new) {
        (Ok(proof), Ok(new)) => Ok((new, proof)),
        (proof, new) => {
            let (proof, new) = (proof.err().unwrap_or_default(), new.err().unwrap_or_default());
            Err(proof.into_iter().chain(new).collect())
        }
    }
}
