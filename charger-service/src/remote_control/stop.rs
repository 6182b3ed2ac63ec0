//! Which charge point a transaction has to be stopped at.

use service_kit::database;
use service_kit::reason::Reason;
use sqlx::PgPool;
use thiserror::Error;
use tonic::Status;

#[derive(Debug, Error)]
pub enum StopError {
    #[error("there is no such transaction")]
    Unknown,
    #[error("the transaction could not be read")]
    Database(#[from] sqlx::Error),
}

impl From<StopError> for Status {
    fn from(error: StopError) -> Self {
        match error {
            StopError::Unknown => Reason::NotFound.status("There is no transaction of this id"),
            StopError::Database(error) => database::failed(&error),
        }
    }
}

/// Its identity. Whether the transaction still runs, the charge point knows best.
pub async fn charge_point_of(database: &PgPool, transaction_id: i32) -> Result<String, StopError> {
    sqlx::query_scalar!(
        "SELECT identity FROM ocpp.charge_point
         WHERE id = (SELECT charge_point_id FROM ocpp.transaction WHERE id = $1)",
        transaction_id,
    )
    .fetch_optional(&mut *database::begin(database).await?)
    .await?
    .ok_or(StopError::Unknown)
}
