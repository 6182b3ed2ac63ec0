//! From the identity that people and stations use to the id that everything else refers to.

use service_kit::database;
use service_kit::reason::Reason;
use sqlx::PgConnection;
use thiserror::Error;
use tonic::Status;
use uuid::Uuid;

use super::retire;

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

/// Of a charge point that is to do something.
#[derive(Debug, Error)]
pub enum InUseError {
    #[error(transparent)]
    Find(#[from] FindError),
    #[error("the charge point is retired")]
    Retired,
}

impl From<sqlx::Error> for InUseError {
    fn from(error: sqlx::Error) -> Self {
        Self::Find(error.into())
    }
}

impl From<InUseError> for Status {
    fn from(error: InUseError) -> Self {
        match error {
            InUseError::Find(error) => error.into(),
            InUseError::Retired => retire::retired(),
        }
    }
}

pub async fn find(connection: &mut PgConnection, identity: &str) -> Result<Uuid, FindError> {
    sqlx::query_scalar!("SELECT id FROM ocpp.charge_point WHERE identity = $1", identity)
        .fetch_optional(connection)
        .await?
        .ok_or(FindError::Unknown)
}

/// One that is retired is told nothing, and nothing waits for it to come back. Nobody retires, renames or replaces it until
/// the transaction is over.
pub async fn in_use(connection: &mut PgConnection, identity: &str) -> Result<Uuid, InUseError> {
    let charge_point = sqlx::query!(
        r#"SELECT id, retired_at IS NOT NULL AS "is_retired!" FROM ocpp.charge_point WHERE identity = $1 FOR KEY SHARE"#,
        identity,
    )
    .fetch_optional(connection)
    .await?
    .ok_or(FindError::Unknown)?;
    if charge_point.is_retired {
        return Err(InUseError::Retired);
    }
    Ok(charge_point.id)
}

/// Nobody retires, renames or replaces it until the transaction is over.
pub async fn hold(connection: &mut PgConnection, identity: &str) -> Result<Uuid, FindError> {
    sqlx::query_scalar!(
        "SELECT id FROM ocpp.charge_point WHERE identity = $1 FOR KEY SHARE",
        identity,
    )
    .fetch_optional(connection)
    .await?
    .ok_or(FindError::Unknown)
}
