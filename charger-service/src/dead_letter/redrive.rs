//! Has an event tried once more.

use service_kit::bus::Handled;
use service_kit::database;
use service_kit::dead_letter::{self, DeadLetterError};
use uuid::Uuid;

use crate::State;
use crate::audit::{self, Action, Author, Entry};
use crate::erasure::{EraseError, take_in};

/// Whether something followed from it. What follows is as many transactions as it takes, and bears to be done twice, so none of them is
/// that in which it ends as a dead letter: where this breaks off in between, it still is one. Its end and the entry about it are one. Where
/// somebody else has decided about it meanwhile, the entry is made all the same, for what follows has followed.
pub(super) async fn redrive(state: &State, id: Uuid, author: &Author) -> Result<bool, DeadLetterError> {
    let letter = dead_letter::get(&state.database, id).await?;
    let handled = match dead_letter::read(&letter.body) {
        Ok(event) => take_in(state, &event).await,
        Err(unreadable) => Err(unreadable.into()),
    };
    let handled = match handled {
        Ok(handled) => handled,
        Err(error @ EraseError::Unreadable(_)) => {
            let why = error.to_string();
            dead_letter::note_refusal(&state.database, id, &why).await?;
            return Err(DeadLetterError::Unreadable(why));
        }
        Err(EraseError::Database(error)) => return Err(error.into()),
    };
    let mut transaction = database::begin(&state.database).await?;
    match dead_letter::delete(&mut transaction, id).await {
        Ok(_) | Err(DeadLetterError::NotFound) => {}
        Err(error @ (DeadLetterError::Unreadable(_) | DeadLetterError::Database(_))) => return Err(error),
    }
    let entry = Entry::new(Action::DeadLetterRedriven, state.clock.now(), author)
        .with("deadLetter", Some(id.to_string()))
        .with("eventId", letter.event_id.map(|id| id.to_string()))
        .with("type", letter.kind);
    audit::record(&mut transaction, entry).await?;
    transaction.commit().await?;
    Ok(handled == Handled::New)
}
