//! One message.

use service_kit::database;
use sqlx::PgPool;
use uuid::Uuid;

use super::Message;

pub(crate) async fn get(database: &PgPool, id: Uuid) -> Result<Option<Message>, sqlx::Error> {
    let mut connection = database::begin(database).await?;
    sqlx::query_as!(
        Message,
        r#"
        SELECT id, event_id, template, recipient, status, attempts, last_error, possibly_duplicate, created_at, sent_at
        FROM email.message
        WHERE id = $1
        "#,
        id,
    )
    .fetch_optional(&mut *connection)
    .await
}
