//! Has an event tried once more.

use service_kit::bus::Handled;
use service_kit::database;
use service_kit::dead_letter::{self, DeadLetterError};
use uuid::Uuid;

use crate::State;
use crate::audit::{self, Action, Author, Entry};
use crate::inbox::{TakeInError, take_in};

/// Whether it was new. What follows from it, its end as a dead letter and the entry about both are one transaction.
pub(crate) async fn redrive(state: &State, id: Uuid, author: &Author) -> Result<bool, DeadLetterError> {
    let now = state.clock.now();
    let mut transaction = database::begin(&state.database).await?;
    let body = dead_letter::lock(&mut transaction, id).await?;
    let handled = match dead_letter::read(&body) {
        Ok(event) => take_in(&mut transaction, &event, now).await,
        Err(unreadable) => Err(unreadable.into()),
    };
    let handled = match handled {
        Ok(handled) => handled,
        Err(error) if error.is_about_the_event() => {
            transaction.rollback().await?;
            let why = error.to_string();
            dead_letter::note_refusal(&state.database, id, &why).await?;
            return Err(DeadLetterError::Unreadable(why));
        }
        Err(TakeInError::Database(error)) => return Err(error.into()),
        Err(error @ TakeInError::Unreadable(_)) => return Err(DeadLetterError::Unreadable(error.to_string())),
    };
    let deleted = dead_letter::delete(&mut transaction, id).await?;
    let entry = Entry::new(Action::DeadLetterRedriven, now, author)
        .on(id)
        .with("eventId", deleted.event_id.map(|id| id.to_string()))
        .with("type", deleted.kind);
    audit::record(&mut transaction, entry).await?;
    transaction.commit().await?;
    Ok(handled == Handled::New)
}
