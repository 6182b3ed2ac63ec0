//! Asks for another address. The account keeps the one that it has until somebody shows the code that is sent to the new
//! one.

use service_kit::access::Client;
use service_kit::reason::{self, FieldViolation};
use service_kit::{database, outbox};
use thiserror::Error;
use tonic::Status;
use voltgate_proto::auth::v1::ChangeEmailRequest;

use super::{Email, verify};
use crate::State;
use crate::audit::{self, Action, Entry};
use crate::caller::LoggedInAs;
use crate::email_code::Purpose;
use crate::reauthentication::{self, ReauthenticationError};
use crate::throttle::{self, ThrottleError};

/// A change that breaks no rule.
pub struct Change {
    email: Email,
    password: String,
}

impl TryFrom<ChangeEmailRequest> for Change {
    type Error = Vec<FieldViolation>;

    fn try_from(request: ChangeEmailRequest) -> Result<Self, Self::Error> {
        let email = Email::parse(&request.email).map_err(|problem| FieldViolation::new("email", problem.to_string()));
        let missing = request
            .password
            .is_empty()
            .then(|| FieldViolation::new("password", "is required"));
        match (email, missing) {
            (Ok(email), None) => Ok(Self {
                email,
                password: request.password,
            }),
            (email, missing) => Err(email.err().into_iter().chain(missing).collect()),
        }
    }
}

#[derive(Debug, Error)]
pub enum ChangeError {
    #[error(transparent)]
    Reauthentication(#[from] ReauthenticationError),
    #[error(transparent)]
    Throttle(#[from] ThrottleError),
    #[error("the event could not be stored")]
    Outbox(#[from] outbox::EnqueueError),
    #[error("the code could not be stored")]
    Database(#[from] sqlx::Error),
}

impl From<ChangeError> for Status {
    fn from(error: ChangeError) -> Self {
        match error {
            ChangeError::Reauthentication(error) => error.into(),
            ChangeError::Throttle(error) => error.into(),
            ChangeError::Outbox(error) => reason::internal(&error),
            ChangeError::Database(error) => database::failed(&error),
        }
    }
}

pub async fn ask(state: &State, caller: &LoggedInAs, client: &Client, change: Change) -> Result<(), ChangeError> {
    let account = reauthentication::require(state, caller.account, client, change.password).await?;
    // Each mail counts, and so whatever becomes of this one it is not given back.
    let mailbox = change.email.as_str().to_lowercase();
    let _counted = state
        .throttle
        .reserve(throttle::Purpose::SendMail, client.address, Some(&mailbox))
        .await?;
    let now = state.clock.now();
    let mut transaction = database::begin(&state.database).await?;
    let account = account.lock(&mut transaction).await?;
    let email = change.email.as_str();
    verify::request(
        &mut transaction,
        account.id,
        &account.username,
        Purpose::ChangeEmail,
        email,
        now,
    )
    .await?;
    let entry = Entry::new(Action::EmailChangeRequested, now, client)
        .by(account.id)
        .on(account.id);
    audit::record(&mut transaction, entry).await?;
    transaction.commit().await?;
    Ok(())
}
