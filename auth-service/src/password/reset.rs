//! Sets a new password with a code that was sent by mail. All sessions end; a second factor is asked for as before.

use service_kit::access::Client;
use service_kit::reason::{self, FieldViolation, Reason};
use service_kit::{database, outbox};
use thiserror::Error;
use tonic::Status;
use voltgate_proto::auth::v1::ResetPasswordRequest;

use super::{changed, of_field};
use crate::State;
use crate::audit::{self, Action, Entry};
use crate::email_code::{self, Purpose, Redeemed};
use crate::password_hash::HashError;
use crate::session::end::{self, Which};
use crate::throttle::{self, ThrottleError, familiar};
use crate::username::Username;

#[derive(Debug, Error)]
pub enum ResetError {
    #[error("the new password breaks a rule, or there is no code")]
    Invalid(Vec<FieldViolation>),
    #[error("the code is not valid")]
    InvalidCode,
    #[error(transparent)]
    Throttle(#[from] ThrottleError),
    #[error(transparent)]
    Hash(#[from] HashError),
    #[error("the event of the change could not be stored")]
    Outbox(#[from] outbox::EnqueueError),
    #[error("the password could not be stored")]
    Database(#[from] sqlx::Error),
}

impl From<ResetError> for Status {
    fn from(error: ResetError) -> Self {
        match error {
            ResetError::Invalid(violations) => reason::invalid(violations),
            ResetError::InvalidCode => {
                Reason::InvalidEmailedCode.status("The code is not valid any more; ask for another")
            }
            ResetError::Throttle(error) => error.into(),
            ResetError::Hash(error) => error.into(),
            ResetError::Outbox(error) => reason::internal(&error),
            ResetError::Database(error) => database::failed(&error),
        }
    }
}

pub async fn reset(state: &State, request: ResetPasswordRequest, client: &Client) -> Result<(), ResetError> {
    let now = state.clock.now();
    let attempt = state
        .throttle
        .reserve(throttle::Purpose::EmailedCode, client.address, None)
        .await?;
    // A code is used up by a password that is accepted, not by one that is too short. And a code that is not valid costs
    // no hash.
    let code = {
        let mut connection = database::begin(&state.database).await?;
        email_code::look_up(&mut connection, Purpose::ResetPassword, &request.code, now).await?
    };
    let username = match &code {
        Some(code) => username(state, code).await?,
        None => None,
    };
    let violations = |violations: Vec<FieldViolation>| {
        let missing = email_code::required(&request.code).err();
        missing.into_iter().chain(violations).collect::<Vec<_>>()
    };
    let new = of_field(&request.new_password, "newPassword", username.as_ref());
    let new = new.map_err(|problems| ResetError::Invalid(violations(problems)))?;
    email_code::required(&request.code).map_err(|missing| ResetError::Invalid(vec![missing]))?;
    code.ok_or(ResetError::InvalidCode)?;
    attempt.succeeded().await;
    let hash = state.passwords.hash(new).await?;

    let mut transaction = database::begin(&state.database).await?;
    let code = email_code::redeem(&mut transaction, Purpose::ResetPassword, &request.code, now)
        .await?
        .ok_or(ResetError::InvalidCode)?;
    let account = sqlx::query!(
        "UPDATE authentication.account
         SET password_hash = $2, password_reset_required = false, revision = revision + 1,
             email_verified_at = CASE WHEN lower(email) = lower($3) THEN coalesce(email_verified_at, $4) ELSE email_verified_at END
         WHERE id = $1 AND disabled_at IS NULL
         RETURNING username, email",
        code.account,
        hash.as_str(),
        code.email,
        now
    )
    .fetch_optional(&mut *transaction)
    .await?
    .ok_or(ResetError::InvalidCode)?;
    familiar::remember(&mut transaction, code.account, client.address, now).await?;
    end::end(&mut transaction, state, code.account, Which::All).await?;
    let entry = Entry::new(Action::PasswordReset, now, client).on(code.account);
    audit::record(&mut transaction, entry).await?;
    let event = changed(code.account, account.username, account.email, client, now);
    outbox::enqueue(&mut transaction, &event).await?;
    transaction.commit().await?;
    tracing::info!(account = %code.account, "A password was reset");
    Ok(())
}

async fn username(state: &State, code: &Redeemed) -> Result<Option<Username>, sqlx::Error> {
    let name = sqlx::query_scalar!(
        "SELECT username FROM authentication.account WHERE id = $1",
        code.account
    )
    .fetch_optional(&state.database)
    .await?;
    Ok(name.and_then(|name| Username::parse(&name).ok()))
}
