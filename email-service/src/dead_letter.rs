//! Dead letters of email-service ([`service_kit::dead_letter`]), and what an administrator decides about them.

mod redrive;

pub(crate) use redrive::redrive;

use service_kit::database;
use service_kit::dead_letter::{self, DeadLetterError, Page};
use service_kit::event::timestamp;
use sqlx::PgPool;
use uuid::Uuid;
use voltgate_proto::email::v1::{DeadLetter, ListDeadLettersResponse};

use crate::State;
use crate::audit::{self, Action, Author, Entry};

fn told(letter: dead_letter::DeadLetter) -> DeadLetter {
    DeadLetter {
        id: letter.id.to_string(),
        event_id: letter.event_id.map(|id| id.to_string()),
        r#type: letter.kind,
        source: letter.source,
        reason: letter.reason,
        redrives: letter.redrives,
        died_at: Some(timestamp(letter.died_at)),
        body: letter.body.into(),
    }
}

pub(crate) async fn list(database: &PgPool, page: Page) -> Result<ListDeadLettersResponse, DeadLetterError> {
    let (letters, next_page_token) = dead_letter::list(database, page).await?;
    Ok(ListDeadLettersResponse {
        dead_letters: letters.into_iter().map(told).collect(),
        next_page_token,
    })
}

pub(crate) async fn get(database: &PgPool, id: Uuid) -> Result<DeadLetter, DeadLetterError> {
    Ok(told(dead_letter::get(database, id).await?))
}

/// At an administrator's wish.
pub(crate) async fn delete(state: &State, id: Uuid, author: &Author) -> Result<(), DeadLetterError> {
    let mut transaction = database::begin(&state.database).await?;
    let deleted = dead_letter::delete(&mut transaction, id).await?;
    let entry = Entry::new(Action::DeadLetterDeleted, state.clock.now(), author)
        .on(id)
        .with("eventId", deleted.event_id.map(|id| id.to_string()))
        .with("type", deleted.kind)
        .with("reason", Some(deleted.reason));
    audit::record(&mut transaction, entry).await?;
    transaction.commit().await?;
    Ok(())
}
