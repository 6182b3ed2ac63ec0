//! Deletes a file with its bytes, and with them every leave to fetch it.

use service_kit::database;
use service_kit::reason::Reason;
use thiserror::Error;
use tonic::Status;
use uuid::Uuid;

use crate::State;
use crate::audit::{self, Action, Author, Entry};

#[derive(Debug, Error)]
pub enum DeleteError {
    #[error("there is no such file")]
    NotFound,
    #[error("the file could not be deleted")]
    Database(#[from] sqlx::Error),
}

impl From<DeleteError> for Status {
    fn from(error: DeleteError) -> Self {
        match error {
            DeleteError::NotFound => Reason::NotFound.status("There is no file of this id"),
            DeleteError::Database(error) => database::failed(&error),
        }
    }
}

/// What is no UUID is the id of no file.
pub async fn delete(state: &State, id: &str, author: &Author) -> Result<(), DeleteError> {
    let id = Uuid::parse_str(id).map_err(|_| DeleteError::NotFound)?;
    let mut transaction = database::begin(&state.database).await?;
    let deleted = sqlx::query!(
        r#"DELETE FROM ocpp.file WHERE id = $1 AND completed_at IS NOT NULL
           RETURNING kind, name, (SELECT identity FROM ocpp.charge_point WHERE charge_point.id = charge_point_id) AS identity"#,
        id
    )
    .fetch_optional(&mut *transaction)
    .await?
    .ok_or(DeleteError::NotFound)?;
    let mut entry = Entry::new(Action::FileDeleted, state.clock.now(), author)
        .with("kind", Some(deleted.kind))
        .with("name", Some(deleted.name))
        .with("file", Some(id.to_string()));
    if let Some(identity) = &deleted.identity {
        entry = entry.on_charge_point(identity);
    }
    audit::record(&mut transaction, entry).await?;
    transaction.commit().await?;
    Ok(())
}
