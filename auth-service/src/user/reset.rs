//! An administrator demands another password: the present one is known to somebody, or was never known to anybody.

use chrono::{DateTime, Utc};
use service_kit::access::Client;
use service_kit::reason::{self, Reason};
use service_kit::{database, event, outbox};
use sqlx::PgConnection;
use thiserror::Error;
use tonic::Status;
use uuid::Uuid;
use voltgate_proto::events::v1::PasswordResetRequested;

use super::{UserError, lock};
use crate::State;
use crate::announce;
use crate::api_key;
use crate::audit::{self, Action, Entry};
use crate::caller::LoggedInAs;
use crate::email_code::{self, Purpose, WAYS_IN};
use crate::session::end::{self, Which};

#[derive(Debug, Error)]
pub enum ResetError {
    #[error("the account has no address to send a code to")]
    NoEmail,
    #[error("the event could not be stored")]
    Outbox(#[from] outbox::EnqueueError),
    #[error(transparent)]
    User(#[from] UserError),
    #[error("the account could not be stored")]
    Database(#[from] sqlx::Error),
}

impl From<ResetError> for Status {
    fn from(error: ResetError) -> Self {
        match error {
            ResetError::NoEmail => Reason::NoEmail.status("The account has no address to send a code to"),
            ResetError::Outbox(error) => reason::internal(&error),
            ResetError::User(error) => error.into(),
            ResetError::Database(error) => database::failed(&error),
        }
    }
}

pub async fn force(state: &State, caller: &LoggedInAs, client: &Client, account: Uuid) -> Result<(), ResetError> {
    let now = state.clock.now();
    let mut transaction = database::begin(&state.database).await?;
    let user = lock(&mut transaction, account).await?;
    let email = user.email.ok_or(ResetError::NoEmail)?;
    // The address that the code goes to must not become somebody else's meanwhile.
    email_code::withdraw(&mut transaction, account, &WAYS_IN).await?;
    demand(&mut transaction, account, &user.username, &email, now).await?;
    end::end(&mut transaction, state, account, Which::All).await?;
    api_key::revoke::renew_access_tokens(&mut transaction, state, account).await?;
    let entry = Entry::new(Action::PasswordResetForced, now, client)
        .by(caller.account)
        .on(account);
    audit::record(&mut transaction, entry).await?;
    transaction.commit().await?;
    Ok(())
}

/// Lets nobody in before another password is set, and sends the code for it.
pub async fn demand(
    connection: &mut PgConnection,
    account: Uuid,
    username: &str,
    email: &str,
    now: DateTime<Utc>,
) -> Result<(), outbox::EnqueueError> {
    sqlx::query!(
        "UPDATE authentication.account SET password_reset_required = true, revision = revision + 1 WHERE id = $1",
        account
    )
    .execute(&mut *connection)
    .await?;
    let code = email_code::issue(connection, account, Purpose::ResetPassword, email, now).await?;
    let requested = PasswordResetRequested {
        account_id: account.to_string(),
        username: username.to_owned(),
        email: email.to_owned(),
        code: code.text,
        expires_at: Some(event::timestamp(code.expires_at)),
    };
    let event = event::expiring(crate::NAME, now, code.expires_at, &requested);
    announce::about(connection, account, event).await
}
