//! Dead letters: events that could not be taken in, however often one tries. They are kept as they came, keep nothing else waiting, and
//! an administrator decides about them.

mod keep;
mod list;
mod redrive;

pub(crate) use keep::{Keeper, keep};
pub(crate) use list::{Page, get, list};
pub(crate) use redrive::redrive;

use chrono::{DateTime, Utc};
use service_kit::database;
use service_kit::event::timestamp;
use service_kit::reason::Reason;
use sqlx::PgPool;
use thiserror::Error;
use tonic::Status;
use uuid::Uuid;
use voltgate_proto::email::v1::DeadLetter;

use crate::State;
use crate::audit::{self, Action, Author, Entry};

/// Rows deleted by one statement.
const AT_ONCE: i64 = 1000;

/// A row of `email.dead_letter`.
struct Row {
    id: Uuid,
    event_id: Option<Uuid>,
    kind: Option<String>,
    source: Option<String>,
    body: Vec<u8>,
    reason: String,
    redrives: i32,
    died_at: DateTime<Utc>,
}

impl From<Row> for DeadLetter {
    fn from(row: Row) -> Self {
        Self {
            id: row.id.to_string(),
            event_id: row.event_id.map(|id| id.to_string()),
            r#type: row.kind,
            source: row.source,
            reason: row.reason,
            redrives: row.redrives,
            died_at: Some(timestamp(row.died_at)),
            body: row.body.into(),
        }
    }
}

#[derive(Debug, Error)]
pub(crate) enum DeadLetterError {
    #[error("there is no such dead letter")]
    NotFound,
    #[error("it still cannot be taken in: {0}")]
    Unreadable(String),
    #[error("dead letters could not be read or written")]
    Database(#[from] sqlx::Error),
}

impl From<DeadLetterError> for Status {
    fn from(error: DeadLetterError) -> Self {
        match error {
            DeadLetterError::NotFound => Reason::NotFound.status("There is no dead letter of this id"),
            DeadLetterError::Unreadable(why) => {
                Reason::DeadLetterUnreadable.status(format!("It still cannot be taken in: {why}"))
            }
            DeadLetterError::Database(error) => database::failed(&error),
        }
    }
}

/// What is no UUID is no dead letter's.
pub(crate) fn parse_id(text: &str) -> Result<Uuid, DeadLetterError> {
    Uuid::parse_str(text).map_err(|_| DeadLetterError::NotFound)
}

/// At an administrator's wish.
pub(crate) async fn delete(state: &State, id: Uuid, author: &Author) -> Result<(), DeadLetterError> {
    let mut transaction = database::begin(&state.database).await?;
    let deleted = sqlx::query!(
        r#"DELETE FROM email.dead_letter WHERE id = $1 RETURNING event_id, type AS kind, reason"#,
        id
    )
    .fetch_optional(&mut *transaction)
    .await?
    .ok_or(DeadLetterError::NotFound)?;
    let entry = Entry::new(Action::DeadLetterDeleted, state.clock.now(), author)
        .on(id)
        .with("eventId", deleted.event_id.map(|id| id.to_string()))
        .with("type", deleted.kind)
        .with("reason", Some(deleted.reason));
    audit::record(&mut transaction, entry).await?;
    transaction.commit().await?;
    Ok(())
}

/// Deletes what nobody has decided about for as long as anything is kept: it may tell of somebody.
pub(crate) async fn prune(database: &PgPool, before: DateTime<Utc>) -> Result<(), sqlx::Error> {
    loop {
        let done = sqlx::query!(
            "DELETE FROM email.dead_letter WHERE id IN (
                 SELECT id FROM email.dead_letter WHERE died_at < $1 ORDER BY died_at LIMIT $2 FOR UPDATE SKIP LOCKED)",
            before,
            AT_ONCE,
        )
        .execute(database)
        .await?;
        if i64::try_from(done.rows_affected()).is_ok_and(|letters| letters < AT_ONCE) {
            return Ok(());
        }
    }
}
