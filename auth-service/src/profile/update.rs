//! Changes what an account says about itself.

use service_kit::access::Client;
use service_kit::database;
use service_kit::reason::{FieldViolation, Reason};
use service_kit::version::{self, IfMatch};
use thiserror::Error;
use tonic::Status;
use voltgate_proto::auth::v1::UpdateProfileRequest;

use super::{ProfileError, Row, read};
use crate::State;
use crate::account::{self, InsertError};
use crate::audit::{self, Action, Entry};
use crate::caller::LoggedInAs;
use crate::throttle::{Purpose, ThrottleError};
use crate::username::Username;

/// A change that breaks no rule. What it does not have stays.
pub struct Change {
    username: Option<Username>,
}

impl TryFrom<UpdateProfileRequest> for Change {
    type Error = Vec<FieldViolation>;

    fn try_from(request: UpdateProfileRequest) -> Result<Self, Self::Error> {
        let username = request.username.as_deref().map(Username::parse).transpose();
        username
            .map(|username| Self { username })
            .map_err(|problem| vec![FieldViolation::new("username", problem.to_string())])
    }
}

#[derive(Debug, Error)]
pub enum UpdateError {
    #[error("the account has been changed meanwhile")]
    Changed,
    #[error("the username is taken")]
    UsernameTaken,
    #[error(transparent)]
    Throttled(#[from] ThrottleError),
    #[error(transparent)]
    Profile(#[from] ProfileError),
    #[error("the account could not be stored")]
    Database(#[from] sqlx::Error),
}

impl From<InsertError> for UpdateError {
    fn from(error: InsertError) -> Self {
        match error {
            InsertError::UsernameTaken => Self::UsernameTaken,
            InsertError::Database(error) => Self::Database(error),
        }
    }
}

impl From<UpdateError> for Status {
    fn from(error: UpdateError) -> Self {
        match error {
            UpdateError::Changed => version::changed(),
            UpdateError::UsernameTaken => Reason::UsernameTaken.status("Somebody else has this username"),
            UpdateError::Throttled(error) => error.into(),
            UpdateError::Profile(error) => error.into(),
            UpdateError::Database(error) => database::failed(&error),
        }
    }
}

pub async fn update(
    state: &State,
    caller: &LoggedInAs,
    client: &Client,
    change: Change,
    if_match: &IfMatch,
) -> Result<Row, UpdateError> {
    let row = {
        let mut connection = database::begin(&state.database).await?;
        read(&mut connection, caller.account).await?
    };
    if !matches(if_match, &row) {
        return Err(UpdateError::Changed);
    }
    let Some(username) = change.username.filter(|name| name.as_str() != row.username) else {
        return Ok(row);
    };
    let attempt = state.throttle.reserve(Purpose::SignUp, client.address, None).await?;
    let renamed = rename(state, caller, client, &username, if_match).await;
    match &renamed {
        // Counted, as with a signup: that a name is taken is an answer.
        Ok(_) | Err(UpdateError::UsernameTaken) => {}
        Err(_) => attempt.give_back().await,
    }
    renamed
}

fn matches(if_match: &IfMatch, row: &Row) -> bool {
    if_match
        .revisions()
        .is_none_or(|revisions| revisions.contains(&row.revision))
}

async fn rename(
    state: &State,
    caller: &LoggedInAs,
    client: &Client,
    username: &Username,
    if_match: &IfMatch,
) -> Result<Row, UpdateError> {
    let mut transaction = database::begin(&state.database).await?;
    account::lock(&mut transaction, caller.account).await?;
    // Time has passed since it was looked at first.
    if !matches(if_match, &read(&mut transaction, caller.account).await?) {
        return Err(UpdateError::Changed);
    }
    account::rename(&mut transaction, caller.account, username).await?;
    let entry = Entry::new(Action::Renamed, state.clock.now(), client)
        .by(caller.account)
        .on(caller.account);
    audit::record(&mut transaction, entry).await?;
    let row = read(&mut transaction, caller.account).await?;
    transaction.commit().await?;
    Ok(row)
}
