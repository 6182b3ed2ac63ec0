//! Takes a charge point out of use. Nobody gets in by its identity any more, which stays its own; all that it did stays to be read.

use service_kit::database;
use service_kit::reason::Reason;
use service_kit::version::{IfMatch, Versioned};
use thiserror::Error;
use tonic::Status;
use voltgate_proto::ocpp::v1::{ChargePoint, RetireChargePointRequest};

use super::find::FindError;
use super::hold::{HoldError, hold};
use super::open_transactions::{self, StillOpen};
use super::{device, list};
use crate::State;
use crate::audit::{self, Action, Author, Entry};
use crate::session::ending;

/// Stands with what was closed for it.
const WHY: &str = "The charge point was retired";

#[derive(Debug, Error)]
pub(super) enum RetireError {
    #[error(transparent)]
    Hold(#[from] HoldError),
    #[error(transparent)]
    StillOpen(#[from] StillOpen),
}

impl From<sqlx::Error> for RetireError {
    fn from(error: sqlx::Error) -> Self {
        Self::Hold(error.into())
    }
}

impl From<FindError> for RetireError {
    fn from(error: FindError) -> Self {
        Self::Hold(error.into())
    }
}

impl From<RetireError> for Status {
    fn from(error: RetireError) -> Self {
        match error {
            RetireError::Hold(error) => error.into(),
            RetireError::StillOpen(error) => error.into(),
        }
    }
}

/// How callers are told that nothing can be asked of it.
pub fn retired() -> Status {
    Reason::ChargePointRetired.status("The charge point is retired; restore it first")
}

/// Retires it in the version that the caller has seen, and returns it as it is then. One that is retired stays so.
pub(super) async fn retire(
    state: &State,
    request: RetireChargePointRequest,
    if_match: &IfMatch,
    author: &Author,
) -> Result<Versioned<ChargePoint>, RetireError> {
    let now = state.clock.now();
    let mut transaction = database::begin(&state.database).await?;
    let held = hold(&mut transaction, &request.identity, if_match).await?;
    if held.is_retired {
        return Ok(list::read(&mut transaction, &request.identity).await?);
    }
    let close_them = request.close_transactions;
    let closed = open_transactions::settle(&mut transaction, held.id, close_them, WHY, now, author).await?;
    ending::end(&mut transaction, held.id, now).await?;
    device::call_off(&mut transaction, held.id, "the charge point was retired", now).await?;
    sqlx::query!(
        "UPDATE ocpp.charge_point
         SET retired_at = $2, installation = installation + 1, revision = nextval('ocpp.revision') WHERE id = $1",
        held.id,
        now,
    )
    .execute(&mut *transaction)
    .await?;
    let entry = Entry::new(Action::ChargePointRetired, now, author)
        .on_charge_point(&request.identity)
        .with("closedTransactions", Some(closed).filter(|closed| !closed.is_empty()));
    audit::record(&mut transaction, entry).await?;
    let charge_point = list::read(&mut transaction, &request.identity).await?;
    transaction.commit().await?;
    tracing::info!(charge_point = %held.id, "A charge point was retired");
    Ok(charge_point)
}
