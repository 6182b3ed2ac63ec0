//! Sets a new password with a code that was sent by mail. All sessions end, and what else was asked for by mail is void; a second
//! factor is asked for as before.

use chrono::{DateTime, Utc};
use service_kit::access::Client;
use service_kit::reason::{self, FieldViolation, Reason};
use service_kit::{database, outbox};
use thiserror::Error;
use tonic::Status;
use voltgate_proto::auth::v1::ResetPasswordRequest;

use super::{changed, of_field, username_of};
use crate::State;
use crate::announce;
use crate::audit::{self, Action, Entry};
use crate::email_code::{self, Purpose, Redeemed, WAYS_IN};
use crate::password_hash::HashError;
use crate::session::end::{self, Which};
use crate::throttle::{self, ThrottleError, familiar};

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
    if let Err(missing) = email_code::required(&request.code) {
        let new = of_field(&request.new_password, "newPassword", None);
        let violations = std::iter::once(missing).chain(new.err().unwrap_or_default());
        return Err(ResetError::Invalid(violations.collect()));
    }
    let attempt = state
        .throttle
        .reserve(throttle::Purpose::EmailedCode, client.address, None)
        .await?;
    // A code is used up by a password that is accepted, not by one that is too short. And a code that is not valid costs
    // no hash.
    let code = look_up(state, &request.code, now).await;
    // Whoever shows a valid one does not guess, whatever is wrong with the password.
    if !matches!(code, Ok(None)) {
        attempt.give_back().await;
    }
    let code = code?;
    let username = match &code {
        Some(code) => username_of(state, code.account).await?,
        None => None,
    };
    let new = of_field(&request.new_password, "newPassword", username.as_ref()).map_err(ResetError::Invalid)?;
    code.ok_or(ResetError::InvalidCode)?;
    let hash = state.passwords.hash(new).await?;

    let mut transaction = database::begin(&state.database).await?;
    let code = email_code::redeem(&mut transaction, Purpose::ResetPassword, &request.code, now)
        .await?
        .ok_or(ResetError::InvalidCode)?;
    // The address may be another one by now; who reads the mail of the one before has nothing to say any more.
    let account = sqlx::query!(
        "UPDATE authentication.account
         SET password_hash = $2, password_reset_required = false, revision = revision + 1,
             email_verified_at = coalesce(email_verified_at, $4)
         WHERE id = $1 AND disabled_at IS NULL AND lower(email) = lower($3)
         RETURNING username, username_key, email",
        code.account,
        hash.as_str(),
        code.email,
        now
    )
    .fetch_optional(&mut *transaction)
    .await?
    .ok_or(ResetError::InvalidCode)?;
    familiar::remember(&mut transaction, code.account, client.address, now).await?;
    email_code::withdraw(&mut transaction, code.account, &WAYS_IN).await?;
    end::end(&mut transaction, state, code.account, Which::All).await?;
    let entry = Entry::new(Action::PasswordReset, now, client).on(code.account);
    audit::record(&mut transaction, entry).await?;
    let event = changed(code.account, account.username, account.email, client, now);
    announce::about(&mut transaction, code.account, event).await?;
    transaction.commit().await?;
    // Whoever failed here before did so with another password.
    state.throttle.forgive(client.address, &account.username_key).await;
    tracing::info!(account = %code.account, "A password was reset");
    Ok(())
}

async fn look_up(state: &State, code: &str, now: DateTime<Utc>) -> Result<Option<Redeemed>, sqlx::Error> {
    let mut connection = database::begin(&state.database).await?;
    email_code::look_up(&mut connection, Purpose::ResetPassword, code, now).await
}
