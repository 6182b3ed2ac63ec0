//! Webhooks, one or all of them.

use service_kit::database;
use sqlx::{PgConnection, PgPool};
use voltgate_proto::email::v1::{ListWebhooksResponse, Webhook};

use super::{Row, WebhookError};

pub(crate) async fn list(database: &PgPool) -> Result<ListWebhooksResponse, sqlx::Error> {
    let mut connection = database::begin(database).await?;
    let rows = sqlx::query_as!(
        Row,
        "SELECT name, url, types, disabled, created_at, updated_at, revision FROM email.webhook
         WHERE deleted_at IS NULL ORDER BY name",
    )
    .fetch_all(&mut *connection)
    .await?;
    Ok(ListWebhooksResponse {
        webhooks: rows.into_iter().map(Webhook::from).collect(),
    })
}

pub(crate) async fn get(database: &PgPool, name: &str) -> Result<Row, WebhookError> {
    read(&mut *database::begin(database).await?, name).await
}

/// As the transaction sees it that the connection is in.
pub(super) async fn read(connection: &mut PgConnection, name: &str) -> Result<Row, WebhookError> {
    sqlx::query_as!(
        Row,
        "SELECT name, url, types, disabled, created_at, updated_at, revision FROM email.webhook
         WHERE name = $1 AND deleted_at IS NULL",
        name,
    )
    .fetch_optional(connection)
    .await?
    .ok_or(WebhookError::NotFound)
}
