//! One message, with its history.

use chrono::{DateTime, Utc};
use service_kit::database;
use service_kit::event::timestamp;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;
use voltgate_proto::email::v1 as api;

use super::Message;

pub(crate) async fn get(database: &PgPool, id: Uuid) -> Result<Option<api::Message>, sqlx::Error> {
    let mut connection = database::begin(database).await?;
    read(&mut connection, id).await
}

/// As the transaction sees it that the connection is in.
pub(super) async fn read(connection: &mut PgConnection, id: Uuid) -> Result<Option<api::Message>, sqlx::Error> {
    let message = sqlx::query_as!(
        Message,
        r#"
        SELECT id, event_id, template, recipient, language, status, attempts, last_error, possibly_duplicate, created_at, sent_at,
            next_attempt_at, resend_of
        FROM email.message
        WHERE id = $1
        "#,
        id,
    )
    .fetch_optional(&mut *connection)
    .await?;
    let Some(message) = message else {
        return Ok(None);
    };
    let history = history(connection, id).await?;
    Ok(Some(api::Message {
        history: history.into_iter().map(api::Attempt::from).collect(),
        ..message.into()
    }))
}

struct Attempt {
    number: i32,
    at: DateTime<Utc>,
    outcome: String,
    error: Option<String>,
}

impl From<Attempt> for api::Attempt {
    fn from(attempt: Attempt) -> Self {
        Self {
            number: attempt.number,
            at: Some(timestamp(attempt.at)),
            outcome: attempt.outcome,
            error: attempt.error,
        }
    }
}

/// No message is tried more than some fifty times.
async fn history(connection: &mut PgConnection, id: Uuid) -> Result<Vec<Attempt>, sqlx::Error> {
    sqlx::query_as!(
        Attempt,
        "SELECT number, at, outcome, error FROM email.attempt WHERE message_id = $1 ORDER BY number",
        id,
    )
    .fetch_all(connection)
    .await
}
