//! The sessions of an account.

use service_kit::database;
use service_kit::event::timestamp;
use thiserror::Error;
use tonic::Status;
use uuid::Uuid;
use voltgate_proto::auth::v1::Session;

use crate::State;

#[derive(Debug, Error)]
#[error("the sessions could not be looked up")]
pub struct ListError(#[from] sqlx::Error);

impl From<ListError> for Status {
    fn from(ListError(error): ListError) -> Self {
        database::failed(&error)
    }
}

/// The one used last first. There are never more than a hundred.
pub async fn list(state: &State, account: Uuid, current: Option<Uuid>) -> Result<Vec<Session>, ListError> {
    let mut connection = database::begin(&state.database).await?;
    let rows = sqlx::query!(
        "SELECT id, device, address, started_at, last_used_at, expires_at
         FROM authentication.session
         WHERE account_id = $1 AND expires_at > $2
         ORDER BY last_used_at DESC, id DESC",
        account,
        state.clock.now()
    )
    .fetch_all(&mut *connection)
    .await?;
    let sessions = rows.into_iter().map(|row| Session {
        id: row.id.to_string(),
        current: current == Some(row.id),
        device: row.device,
        address: row.address,
        started_at: Some(timestamp(row.started_at)),
        last_used_at: Some(timestamp(row.last_used_at)),
        expires_at: Some(timestamp(row.expires_at)),
    });
    Ok(sessions.collect())
}
