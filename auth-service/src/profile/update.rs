//! Changes what an account says about itself.

use service_kit::access::Client;
use service_kit::database;
use service_kit::language;
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
    language: Option<String>,
}

impl TryFrom<UpdateProfileRequest> for Change {
    type Error = Vec<FieldViolation>;

    fn try_from(request: UpdateProfileRequest) -> Result<Self, Self::Error> {
        let mut violations = Vec::new();
        let username = request.username.as_deref().map(Username::parse).transpose();
        let username = username.map_err(|problem| {
            violations.push(FieldViolation::new("username", problem.to_string()));
        });
        let language = request.language;
        if language.as_deref().is_some_and(|tag| !language::is_tag(tag)) {
            violations.push(FieldViolation::new("language", "is not a language tag, such as de"));
        }
        match username {
            Ok(username) if violations.is_empty() => Ok(Self { username, language }),
            _ => Err(violations),
        }
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
    let change = Change {
        username: change.username.filter(|name| name.as_str() != row.username),
        language: change.language.filter(|tag| Some(tag) != row.language.as_ref()),
    };
    let attempt = match change {
        Change {
            username: None,
            language: None,
        } => return Ok(row),
        Change { username: None, .. } => return store(state, caller, client, &change, if_match).await,
        Change { username: Some(_), .. } => state.throttle.reserve(Purpose::SignUp, client.address, None).await?,
    };
    let renamed = store(state, caller, client, &change, if_match).await;
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

async fn store(
    state: &State,
    caller: &LoggedInAs,
    client: &Client,
    change: &Change,
    if_match: &IfMatch,
) -> Result<Row, UpdateError> {
    let mut transaction = database::begin(&state.database).await?;
    account::lock(&mut transaction, caller.account).await?;
    // Time has passed since it was looked at first.
    if !matches(if_match, &read(&mut transaction, caller.account).await?) {
        return Err(UpdateError::Changed);
    }
    let entry = |action| {
        Entry::new(action, state.clock.now(), client)
            .by(caller.account)
            .on(caller.account)
    };
    if let Some(username) = &change.username {
        account::rename(&mut transaction, caller.account, username).await?;
        audit::record(&mut transaction, entry(Action::Renamed)).await?;
    }
    if let Some(language) = &change.language {
        account::speak(&mut transaction, caller.account, language).await?;
        let entry = entry(Action::LanguageChanged).with("language", language.as_str());
        audit::record(&mut transaction, entry).await?;
    }
    let row = read(&mut transaction, caller.account).await?;
    transaction.commit().await?;
    Ok(row)
}
