//! The passkeys of an account.

use chrono::{DateTime, Utc};
use service_kit::database;
use service_kit::event::timestamp;
use thiserror::Error;
use tonic::Status;
use uuid::Uuid;
use voltgate_proto::auth::v1::Passkey;

use crate::State;

#[derive(Debug, Error)]
#[error("the passkeys could not be looked up")]
pub struct ListError(#[from] sqlx::Error);

/// What is shown of a passkey.
pub struct Row {
    pub id: Uuid,
    pub name: String,
    pub created_at: DateTime<Utc>,
    pub last_used_at: Option<DateTime<Utc>>,
}

impl From<Row> for Passkey {
    fn from(row: Row) -> Self {
        Self {
            id: row.id.to_string(),
            name: row.name,
            created_at: Some(timestamp(row.created_at)),
            last_used_at: row.last_used_at.map(timestamp),
        }
    }
}

/// The newest first. There are never more than twenty.
pub async fn list(state: &State, account: Uuid) -> Result<Vec<Passkey>, ListError> {
    let mut connection = database::begin(&state.database).await?;
    let rows = sqlx::query_as!(
        Row,
        "SELECT id, name, created_at, last_used_at FROM authentication.passkey
         WHERE account_id = $1 ORDER BY created_at DESC, id DESC",
        account
    )
    .fetch_all(&mut *connection)
    .await?;
    Ok(rows.into_iter().map(Passkey::from).collect())
}

impl From<ListError> for Status {
    fn from(ListError(error): ListError) -> Self {
        database::failed(&error)
    }
}
