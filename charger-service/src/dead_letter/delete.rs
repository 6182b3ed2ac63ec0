//! Lets go of a dead letter.

use service_kit::database;
use service_kit::dead_letter::{self, DeadLetterError};
use uuid::Uuid;

use crate::State;
use crate::audit::{self, Action, Author, Entry};

pub(super) async fn delete(state: &State, id: Uuid, author: &Author) -> Result<(), DeadLetterError> {
    let mut transaction = database::begin(&state.database).await?;
    let deleted = dead_letter::delete(&mut transaction, id).await?;
    let entry = Entry::new(Action::DeadLetterDeleted, state.clock.now(), author)
        .with("deadLetter", Some(id.to_string()))
        .with("eventId", deleted.event_id.map(|id| id.to_string()))
        .with("type", deleted.kind)
        .with("reason", Some(deleted.reason));
    audit::record(&mut transaction, entry).await?;
    transaction.commit().await?;
    Ok(())
}
