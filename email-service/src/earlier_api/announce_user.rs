//! Tells everybody that an account was created elsewhere, by way of the outbox.
//!
//! Its id is made up here. A caller cannot name one: what is told of an account of Voltgate's own is told by auth-service.

use service_kit::{database, event, outbox, reason};
use thiserror::Error;
use tonic::Status;
use voltgate_proto::events::v1::AccountSignedUp;

use super::NewUser;
use crate::State;
use crate::audit::{self, Action, Author, Entry};
use crate::message::{Key, WriteError};

#[derive(Debug, Error)]
pub(crate) enum AnnounceError {
    #[error(transparent)]
    Outbox(#[from] outbox::EnqueueError),
    #[error("the idempotency key came with another request")]
    KeyReused,
    #[error("it could not be stored")]
    Database(#[from] sqlx::Error),
}

impl From<AnnounceError> for Status {
    fn from(error: AnnounceError) -> Self {
        match error {
            AnnounceError::KeyReused => WriteError::KeyReused.into(),
            AnnounceError::Outbox(outbox::EnqueueError::Database(error)) | AnnounceError::Database(error) => {
                database::failed(&error)
            }
            AnnounceError::Outbox(error) => reason::internal(&error),
        }
    }
}

/// Nothing where the same request did so before: its key leads to the same event, and an event is there once.
pub(crate) async fn announce_user(
    state: &State,
    user: NewUser,
    key: &Key,
    author: &Author,
) -> Result<(), AnnounceError> {
    let now = state.clock.now();
    let (event_id, account_id) = (key.id("event", author), key.id("account", author));
    let signed_up = AccountSignedUp {
        account_id: account_id.to_string(),
        username: user.username,
        email: Some(user.email),
    };
    let mut event = event::new(crate::NAME, now, &signed_up);
    event.id = event_id.to_string();
    let mut transaction = database::begin(&state.database).await?;
    // Whoever asks for the same at the same moment waits here.
    sqlx::query!(
        "SELECT pg_advisory_xact_lock(hashtextextended('email.outbox ' || $1::text, 0))",
        event.id
    )
    .fetch_one(&mut *transaction)
    .await?;
    let before = sqlx::query_scalar!("SELECT data FROM email.outbox WHERE id = $1", event_id)
        .fetch_optional(&mut *transaction)
        .await?;
    match before {
        Some(data) if data == event.data => return Ok(()),
        Some(_) => return Err(AnnounceError::KeyReused),
        None => {}
    }
    outbox::enqueue(&mut transaction, &event).await?;
    let entry = Entry::new(Action::UserCreatedPublished, now, author).on(&event.id);
    audit::record(&mut transaction, entry).await?;
    transaction.commit().await?;
    Ok(())
}
