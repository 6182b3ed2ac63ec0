//! From the identity that people and stations use to the id that everything else refers to.

use service_kit::database;
use service_kit::reason::Reason;
use sqlx::PgConnection;
use thiserror::Error;
use tonic::Status;
use uuid::Uuid;

#[derive(Debug, Error)]
pub enum FindError {
    #[error("there is no such charge point")]
    Unknown,
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
}

impl From<FindError> for Status {
    fn from(error: FindError) -> Self {
        match error {
            FindError::Unknown => Reason::NotFound.status("There is no charge point of this identity"),
            FindError::Database(error) => database::failed(&error),
        }
    }
}

pub async fn find(connection: &mut PgConnection, identity: &str) -> Result<Uuid, FindError> {
    sqlx::query_scalar!("SELECT id FROM ocpp.charge_point WHERE identity = $1", identity)
        .fetch_optional(connection)
        .await?
        .ok_or(FindError::Unknown)
}
