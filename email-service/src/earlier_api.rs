//! What clients of an earlier API ask for: a welcome mail, or that the event be published which leads to one.

use serde_json::json;
use service_kit::reason::FieldViolation;
use service_kit::{database, event, outbox, reason};
use thiserror::Error;
use tonic::Status;
use uuid::Uuid;
use voltgate_proto::email::v1::{PublishUserCreatedRequest, SendWelcomeRequest};
use voltgate_proto::events::v1::AccountSignedUp;

use crate::audit::{self, Action, Author, Entry};
use crate::message::{self, Draft};
use crate::template::Template;
use crate::{State, address, words};

const LONGEST_USERNAME: usize = 254;

/// Somebody to welcome.
#[derive(Debug)]
pub(crate) struct NewUser {
    id: Uuid,
    username: String,
    email: String,
}

impl NewUser {
    fn parse(email: &str, username: Option<String>, id: Option<&str>) -> Result<Self, Vec<FieldViolation>> {
        let address = address::parse("email", email);
        let username = words::line(
            "username",
            username.unwrap_or_else(|| email.to_owned()),
            LONGEST_USERNAME,
        );
        let id = match id {
            None => Ok(Uuid::now_v7()),
            Some(id) => Uuid::parse_str(id).map_err(|_| FieldViolation::new("id", "must be a UUID")),
        };
        match (address, username, id) {
            (Ok(address), Ok(username), Ok(id)) => Ok(Self {
                id,
                username,
                email: address.to_string(),
            }),
            // Without an address there is no name either that is taken from it.
            (Err(problem), _, id) => Err([Some(problem), id.err()].into_iter().flatten().collect()),
            (_, username, id) => Err([username.err(), id.err()].into_iter().flatten().collect()),
        }
    }
}

impl TryFrom<SendWelcomeRequest> for NewUser {
    type Error = Vec<FieldViolation>;

    fn try_from(request: SendWelcomeRequest) -> Result<Self, Self::Error> {
        Self::parse(&request.email, request.username, None)
    }
}

impl TryFrom<PublishUserCreatedRequest> for NewUser {
    type Error = Vec<FieldViolation>;

    fn try_from(request: PublishUserCreatedRequest) -> Result<Self, Self::Error> {
        Self::parse(&request.email, request.username, request.id.as_deref())
    }
}

#[derive(Debug, Error)]
pub(crate) enum WelcomeError {
    #[error(transparent)]
    Outbox(#[from] outbox::EnqueueError),
    #[error("it could not be stored")]
    Database(#[from] sqlx::Error),
}

impl From<WelcomeError> for Status {
    fn from(error: WelcomeError) -> Self {
        match error {
            WelcomeError::Outbox(outbox::EnqueueError::Database(error)) | WelcomeError::Database(error) => {
                database::failed(&error)
            }
            WelcomeError::Outbox(error) => reason::internal(&error),
        }
    }
}

/// Queues a welcome mail, as nobody's account: none is known of here.
pub(crate) async fn send_welcome(state: &State, user: NewUser, author: &Author) -> Result<(), WelcomeError> {
    let now = state.clock.now();
    let draft = Draft {
        template: Template::Welcome,
        recipient: user.email,
        language: None,
        variables: json!({ "username": user.username }),
        account_id: None,
        expires_at: None,
    };
    let mut transaction = database::begin(&state.database).await?;
    let id = message::queue(&mut transaction, None, &draft, now).await?;
    let entry = Entry::new(Action::WelcomeRequested, now, author).on(id);
    audit::record(&mut transaction, entry).await?;
    transaction.commit().await?;
    Ok(())
}

/// Tells everybody that an account was created, by way of the outbox.
pub(crate) async fn publish_user_created(state: &State, user: NewUser, author: &Author) -> Result<(), WelcomeError> {
    let now = state.clock.now();
    let signed_up = AccountSignedUp {
        account_id: user.id.to_string(),
        username: user.username,
        email: Some(user.email),
    };
    let event = event::new(crate::NAME, now, &signed_up);
    let mut transaction = database::begin(&state.database).await?;
    outbox::enqueue(&mut transaction, &event).await?;
    let entry = Entry::new(Action::UserCreatedPublished, now, author).on(&event.id);
    audit::record(&mut transaction, entry).await?;
    transaction.commit().await?;
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_enough_and_is_the_name_then() {
        let user = NewUser::parse("ada@example.com", None, None).unwrap();
        assert_eq!(
            (user.username.as_str(), user.email.as_str()),
            ("ada@example.com", "ada@example.com")
        );
    }

    #[test]
    fn everything_that_is_wrong_is_named_at_once() {
        let fields = |email: &str, username: Option<&str>, id: Option<&str>| {
            let problems = NewUser::parse(email, username.map(str::to_owned), id).unwrap_err();
            problems.into_iter().map(|problem| problem.field).collect::<Vec<_>>()
        };
        assert_eq!(fields("ada", None, Some("x")), ["email", "id"]);
        assert_eq!(fields("ada@example.com", Some("a\nb"), Some("x")), ["username", "id"]);
    }
}
