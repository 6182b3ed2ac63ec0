//! Stops a charge of the driver. Whether it still runs, the charge point knows best.

use service_kit::database;
use thiserror::Error;
use tonic::Status;
use voltgate_proto::ocpp::v1::{ChargeCommand, StopChargingRequest, StopMyTransactionRequest};

use super::Driver;
use super::command::{self, Waiting};
use super::transaction::{self, GetError};
use crate::State;
use crate::audit::Author;
use crate::command::asking::Asking;
use crate::command::send::Patience;
use crate::remote_control::{self, request};

#[derive(Debug, Error)]
enum StopError {
    #[error(transparent)]
    Transaction(#[from] GetError),
    #[error("enough commands of the driver wait")]
    Waiting(#[from] Waiting),
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
}

impl From<StopError> for Status {
    fn from(error: StopError) -> Self {
        match error {
            StopError::Transaction(error) => error.into(),
            StopError::Waiting(error) => error.into(),
            StopError::Database(error) => database::failed(&error),
        }
    }
}

pub(super) async fn stop(
    state: &State,
    driver: Driver,
    asked: StopMyTransactionRequest,
    author: Author,
    idempotency_key: Option<String>,
) -> Result<ChargeCommand, Status> {
    let identity = ready(state, driver, asked.id, &author, idempotency_key.as_deref()).await?;
    let request = StopChargingRequest {
        id: asked.id,
        wait_seconds: asked.wait_seconds,
        expires_in_seconds: None,
    };
    let asking = Asking {
        author,
        idempotency_key,
        patience: Patience {
            wait_seconds: request.wait_seconds,
            expires_in_seconds: None,
        },
        said: asked.id.to_be_bytes().to_vec(),
    };
    let asked = request::stop_charging(request, identity);
    let command = remote_control::send(state, asked, asking).await?;
    Ok(command::seen_by_driver(command))
}

/// The identity of the charge point, if the driver may ask it.
async fn ready(
    state: &State,
    driver: Driver,
    id: i32,
    author: &Author,
    idempotency_key: Option<&str>,
) -> Result<String, StopError> {
    let place = transaction::charge_point_of(&state.database, driver, id).await?;
    let mut connection = database::begin(&state.database).await?;
    if !command::is_known(&mut connection, author, idempotency_key).await? {
        command::check_waiting(&mut connection, place.id, author).await?;
    }
    Ok(place.identity)
}
