//! What an administrator's decisions have in common, whichever service they are made at.

use prost::Message;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::{DeadLetter, DeadLetterError, text};
use crate::event::{Event, Unreadable};

/// What is no UUID is no dead letter's.
///
/// # Errors
/// There can be none of this id.
pub fn parse_id(text: &str) -> Result<Uuid, DeadLetterError> {
    Uuid::parse_str(text).map_err(|_| DeadLetterError::NotFound)
}

/// The event that a body is, to have it tried once more.
///
/// # Errors
/// It is none.
pub fn read(body: &[u8]) -> Result<Event, Unreadable> {
    Event::decode(body).map_err(|_| Unreadable::Data("voltgate.events.v1.Event".to_owned()))
}

/// The body of one about which nobody else decides before the transaction ends that the connection is in.
///
/// # Errors
/// There is none of this id, or the database does not answer.
pub async fn lock(connection: &mut PgConnection, id: Uuid) -> Result<Vec<u8>, DeadLetterError> {
    sqlx::query_scalar!("SELECT body FROM dead_letter WHERE id = $1 FOR UPDATE", id)
        .fetch_optional(connection)
        .await?
        .ok_or(DeadLetterError::NotFound)
}

/// Lets go of one, and returns what the audit log may tell of it.
///
/// # Errors
/// There is none of this id, or the database does not answer.
pub async fn delete(connection: &mut PgConnection, id: Uuid) -> Result<DeadLetter, DeadLetterError> {
    sqlx::query_as!(
        DeadLetter,
        r#"DELETE FROM dead_letter WHERE id = $1
           RETURNING id, event_id, type AS kind, source, ''::bytea AS "body!", reason, redrives, died_at"#,
        id,
    )
    .fetch_optional(connection)
    .await?
    .ok_or(DeadLetterError::NotFound)
}

/// Counts that one was tried once more in vain, and keeps why.
///
/// # Errors
/// The database does not answer.
pub async fn note_refusal(database: &PgPool, id: Uuid, why: &str) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE dead_letter SET redrives = redrives + 1, reason = $2 WHERE id = $1",
        id,
        text(why),
    )
    .execute(database)
    .await?;
    Ok(())
}
