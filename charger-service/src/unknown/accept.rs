//! Registers a charge point that knocked. Its list is the invitation: what never knocked is registered by
//! `POST /ocpp/charge-points`.

use service_kit::database;
use service_kit::reason::{FieldViolation, Reason};
use service_kit::version::Versioned;
use thiserror::Error;
use tonic::Status;
use voltgate_proto::ocpp::v1::{AcceptUnknownChargePointRequest, ChargePoint, CreateChargePointRequest};

use super::forget;
use crate::State;
use crate::audit::Author;
use crate::charge_point::create::{self, CreateError, NewChargePoint};
use crate::charge_point::find::{FindError, find};

#[derive(Debug, Error)]
pub(super) enum AcceptError {
    #[error("it has not knocked")]
    NotFound,
    #[error(transparent)]
    Create(#[from] CreateError),
}

impl From<sqlx::Error> for AcceptError {
    fn from(error: sqlx::Error) -> Self {
        Self::Create(error.into())
    }
}

impl From<AcceptError> for Status {
    fn from(error: AcceptError) -> Self {
        match error {
            AcceptError::NotFound => unknown(),
            AcceptError::Create(error) => error.into(),
        }
    }
}

/// How callers are told that the list does not have it.
pub(super) fn unknown() -> Status {
    Reason::NotFound.status("No unknown charge point of this identity has tried to connect")
}

/// By the rules of any other registration.
pub(super) fn parse(
    request: AcceptUnknownChargePointRequest,
    allow_unsecured: bool,
) -> Result<NewChargePoint, Vec<FieldViolation>> {
    let registration = CreateChargePointRequest {
        identity: request.identity,
        display_name: request.display_name,
        registration_status: request.registration_status,
        security_profile: request.security_profile,
        password: request.password,
        certificate_name: request.certificate_name,
        subprotocol: request.subprotocol,
        site_id: request.site_id,
        tags: request.tags,
    };
    NewChargePoint::parse(registration, allow_unsecured)
}

pub(super) async fn accept(
    state: &State,
    new: NewChargePoint,
    author: &Author,
) -> Result<Versioned<ChargePoint>, AcceptError> {
    let mut transaction = database::begin(&state.database).await?;
    if !forget(&mut transaction, new.identity()).await? {
        return Err(match find(&mut transaction, new.identity()).await {
            Ok(_) => AcceptError::Create(CreateError::Exists),
            Err(FindError::Unknown) => AcceptError::NotFound,
            Err(error @ FindError::Database(_)) => AcceptError::Create(error.into()),
        });
    }
    let accepted = create::register(state, &mut transaction, new, author).await?;
    transaction.commit().await?;
    Ok(accepted)
}
