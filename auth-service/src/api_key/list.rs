//! The keys of an account.

use service_kit::database;
use service_kit::event::timestamp;
use sqlx::PgConnection;
use thiserror::Error;
use tonic::Status;
use uuid::Uuid;
use voltgate_proto::auth::v1::ApiKey;

use super::no_such_account;
use crate::State;

#[derive(Debug, Error)]
pub enum ListError {
    #[error("there is no such account")]
    UnknownAccount,
    #[error("the keys could not be looked up")]
    Database(#[from] sqlx::Error),
}

impl From<ListError> for Status {
    fn from(error: ListError) -> Self {
        match error {
            ListError::UnknownAccount => no_such_account(),
            ListError::Database(error) => database::failed(&error),
        }
    }
}

/// The newest first. There are never more than fifty.
pub async fn list(state: &State, account: Uuid) -> Result<Vec<ApiKey>, ListError> {
    let mut connection = database::begin(&state.database).await?;
    Ok(read(&mut connection, account).await?)
}

/// The same for an account of which it is not known that it exists.
pub async fn list_of(state: &State, account: Uuid) -> Result<Vec<ApiKey>, ListError> {
    let mut connection = database::begin(&state.database).await?;
    let exists = sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM authentication.account WHERE id = $1) AS "exists!""#,
        account
    )
    .fetch_one(&mut *connection)
    .await?;
    if !exists {
        return Err(ListError::UnknownAccount);
    }
    Ok(read(&mut connection, account).await?)
}

async fn read(connection: &mut PgConnection, account: Uuid) -> Result<Vec<ApiKey>, sqlx::Error> {
    let rows = sqlx::query!(
        "SELECT id, name, scopes, roles, created_at, expires_at, last_used_at
         FROM authentication.api_key WHERE account_id = $1
         ORDER BY created_at DESC, id DESC",
        account
    )
    .fetch_all(connection)
    .await?;
    let keys = rows.into_iter().map(|row| ApiKey {
        id: row.id.to_string(),
        name: row.name,
        scopes: row.scopes,
        roles: row.roles,
        created_at: Some(timestamp(row.created_at)),
        expires_at: Some(timestamp(row.expires_at)),
        last_used_at: row.last_used_at.map(timestamp),
    });
    Ok(keys.collect())
}
