//! Takes back what was declared of a connector. What the charge point tells of it is not concerned.

use service_kit::database;
use service_kit::reason::Reason;
use service_kit::version::{self, IfMatch};
use thiserror::Error;
use tonic::Status;

use crate::State;
use crate::audit::{self, Action, Author, Entry};
use crate::charge_point::find::{FindError, find};

#[derive(Debug, Error)]
pub enum UndeclareError {
    #[error("nobody has declared the connector")]
    NotFound,
    #[error("the connector has been changed meanwhile")]
    Changed,
    #[error("the declaration could not be taken back")]
    Database(#[from] sqlx::Error),
    #[error(transparent)]
    ChargePoint(#[from] FindError),
}

impl From<UndeclareError> for Status {
    fn from(error: UndeclareError) -> Self {
        match error {
            UndeclareError::NotFound => Reason::NotFound.status("No operator has declared this connector"),
            UndeclareError::Changed => version::changed(),
            UndeclareError::Database(error) => database::failed(&error),
            UndeclareError::ChargePoint(error) => error.into(),
        }
    }
}

/// In the version that the caller has seen.
pub async fn undeclare(
    state: &State,
    identity: &str,
    connector_id: i32,
    if_match: &IfMatch,
    author: &Author,
) -> Result<(), UndeclareError> {
    let mut transaction = database::begin(&state.database).await?;
    let charge_point = find(&mut transaction, identity).await?;
    let is_declared = sqlx::query_scalar!(
        "SELECT revision FROM ocpp.connector_declaration WHERE charge_point_id = $1 AND connector_id = $2 FOR UPDATE",
        charge_point,
        connector_id,
    )
    .fetch_optional(&mut *transaction)
    .await?
    .is_some();
    if !is_declared {
        return Err(UndeclareError::NotFound);
    }
    let code = sqlx::query_scalar!(
        "DELETE FROM ocpp.connector_declaration
         WHERE charge_point_id = $1 AND connector_id = $2 AND ($3::bigint[] IS NULL OR revision = ANY($3))
         RETURNING code",
        charge_point,
        connector_id,
        if_match.revisions(),
    )
    .fetch_optional(&mut *transaction)
    .await?
    .ok_or(UndeclareError::Changed)?;
    let entry = Entry::new(Action::ConnectorUndeclared, state.clock.now(), author)
        .on_charge_point(identity)
        .with("connectorId", Some(connector_id))
        .with("code", code);
    audit::record(&mut transaction, entry).await?;
    transaction.commit().await?;
    Ok(())
}
