//! Has an event tried once more.

use prost::Message;
use service_kit::bus::Handled;
use service_kit::database;
use service_kit::event::{Event, Unreadable};
use uuid::Uuid;

use super::DeadLetterError;
use crate::State;
use crate::audit::{self, Action, Author, Entry};
use crate::inbox::{TakeInError, take_in};

/// Whether it was new. What follows from it, its end as a dead letter and the entry about both are one transaction.
pub(crate) async fn redrive(state: &State, id: Uuid, author: &Author) -> Result<bool, DeadLetterError> {
    let now = state.clock.now();
    let mut transaction = database::begin(&state.database).await?;
    let body = sqlx::query_scalar!("SELECT body FROM email.dead_letter WHERE id = $1 FOR UPDATE", id)
        .fetch_optional(&mut *transaction)
        .await?
        .ok_or(DeadLetterError::NotFound)?;
    let handled = match Event::decode(body.as_slice()) {
        Ok(event) => take_in(&mut transaction, &event, now).await,
        Err(_) => Err(TakeInError::Unreadable(Unreadable::Data(
            "voltgate.events.v1.Event".to_owned(),
        ))),
    };
    let handled = match handled {
        Ok(handled) => handled,
        Err(error) if error.is_about_the_event() => {
            transaction.rollback().await?;
            let why = error.to_string();
            count(state, id, &why).await?;
            return Err(DeadLetterError::Unreadable(why));
        }
        Err(TakeInError::Database(error)) => return Err(error.into()),
        Err(error @ TakeInError::Unreadable(_)) => return Err(DeadLetterError::Unreadable(error.to_string())),
    };
    let deleted = sqlx::query!(
        "DELETE FROM email.dead_letter WHERE id = $1 RETURNING event_id, type AS kind",
        id
    )
    .fetch_one(&mut *transaction)
    .await?;
    let entry = Entry::new(Action::DeadLetterRedriven, now, author)
        .on(id)
        .with("eventId", deleted.event_id.map(|id| id.to_string()))
        .with("type", deleted.kind);
    audit::record(&mut transaction, entry).await?;
    transaction.commit().await?;
    Ok(handled == Handled::New)
}

async fn count(state: &State, id: Uuid, why: &str) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE email.dead_letter SET redrives = redrives + 1, reason = $2 WHERE id = $1",
        id,
        why.replace('\0', "\u{fffd}"),
    )
    .execute(&state.database)
    .await?;
    Ok(())
}
