//! Stops a charge of the driver, as long as the charge point has not told that it is over.

use service_kit::reason::Reason;
use thiserror::Error;
use tonic::Status;
use voltgate_proto::ocpp::v1::{ChargeCommand, StopChargingRequest, StopMyTransactionRequest};

use super::Driver;
use super::command;
use super::transaction::{self, GetError};
use crate::State;
use crate::audit::Author;
use crate::command::send;
use crate::remote_control::{self, request};

#[derive(Debug, Error)]
enum StopError {
    #[error(transparent)]
    Transaction(#[from] GetError),
    #[error("the transaction is over")]
    Stopped,
}

impl From<StopError> for Status {
    fn from(error: StopError) -> Self {
        match error {
            StopError::Transaction(error) => error.into(),
            StopError::Stopped => Reason::TransactionStopped.status("The charge is over"),
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
    let said = asked.id.to_be_bytes().to_vec();
    let asking = command::asking(author, idempotency_key, asked.wait_seconds, said);
    let _waiting = state.waiting_drivers.enter(driver.account)?;
    if let Some(command) = send::again(state, &asking).await? {
        return Ok(command::seen_by_driver(command));
    }
    let identity = charge_point_of(state, driver, asked.id).await?;
    let request = StopChargingRequest {
        id: asked.id,
        ..StopChargingRequest::default()
    };
    let command = remote_control::send(state, request::stop_charging(request, identity), asking).await?;
    Ok(command::seen_by_driver(command))
}

/// The identity of the charge point where the charge runs.
async fn charge_point_of(state: &State, driver: Driver, id: i32) -> Result<String, StopError> {
    let owned = transaction::find(&state.database, driver, id).await?;
    if owned.is_stopped {
        return Err(StopError::Stopped);
    }
    Ok(owned.identity)
}
