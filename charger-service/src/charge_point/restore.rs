//! Brings a charge point back that was retired. It needs another password, or another certificate:
//! nobody knows where its device has been.

use service_kit::database;
use service_kit::reason::{self, FieldViolation, Reason};
use service_kit::version::{IfMatch, Versioned};
use thiserror::Error;
use tonic::Status;
use voltgate_proto::ocpp::v1::{ChargePoint, RestoreChargePointRequest};

use super::credentials::{Credentials, Given};
use super::find::FindError;
use super::hold::{HoldError, hold};
use super::list;
use super::password::Password;
use crate::State;
use crate::audit::{self, Action, Author, Entry};
use crate::certificate::voided;
use crate::command::ledger::ending;

/// Why a command is not sent.
const CALLED_OFF: &str = "the charge point was retired";

/// A request that breaks no rule by itself.
#[derive(Debug)]
pub(super) struct Restoration {
    identity: String,
    password: Option<Password>,
}

#[derive(Debug, Error)]
pub(super) enum RestoreError {
    #[error("the charge point is in use")]
    NotRetired,
    #[error("a property does not go with the rest")]
    Misfit(FieldViolation),
    #[error(transparent)]
    Hold(#[from] HoldError),
}

impl From<sqlx::Error> for RestoreError {
    fn from(error: sqlx::Error) -> Self {
        Self::Hold(error.into())
    }
}

impl From<FindError> for RestoreError {
    fn from(error: FindError) -> Self {
        Self::Hold(error.into())
    }
}

impl From<RestoreError> for Status {
    fn from(error: RestoreError) -> Self {
        match error {
            RestoreError::NotRetired => Reason::ChargePointNotRetired.status("The charge point is not retired"),
            RestoreError::Misfit(violation) => reason::invalid(vec![violation]),
            RestoreError::Hold(error) => error.into(),
        }
    }
}

impl TryFrom<RestoreChargePointRequest> for Restoration {
    type Error = Vec<FieldViolation>;

    fn try_from(request: RestoreChargePointRequest) -> Result<Self, Self::Error> {
        let password = request.password.as_deref().map(Password::parse).transpose();
        let password = password.map_err(|error| vec![FieldViolation::new("password", error.to_string())])?;
        Ok(Self {
            identity: request.identity,
            password,
        })
    }
}

/// Restores it in the version that the caller has seen, and returns it as it is then.
pub(super) async fn restore(
    state: &State,
    restoration: Restoration,
    if_match: &IfMatch,
    author: &Author,
) -> Result<Versioned<ChargePoint>, RestoreError> {
    let now = state.clock.now();
    let Restoration { identity, password } = restoration;
    let mut transaction = database::begin(&state.database).await?;
    let held = hold(&mut transaction, &identity, if_match).await?;
    if !held.is_retired {
        return Err(RestoreError::NotRetired);
    }
    let credentials = Credentials::of(held.security_profile, password)
        .map_err(|problem| RestoreError::Misfit(FieldViolation::new("password", problem)))?;
    let Given { hash, made, is_short } = credentials.give(&state.passwords, held.id);
    sqlx::query!(
        "UPDATE ocpp.charge_point
         SET retired_at = NULL, password_hash = $2, next_security_profile = NULL, offered_security_profile = NULL,
             installation = installation + 1, revision = nextval('ocpp.revision')
         WHERE id = $1",
        held.id,
        hash.as_ref().map(<[u8; 32]>::as_slice),
    )
    .execute(&mut *transaction)
    .await?;
    // Nobody knows where its device has been, nor what was meant for it.
    voided::void(&mut transaction, held.id, now).await?;
    ending::call_off(&mut transaction, held.id, CALLED_OFF, now).await?;
    let restored = Entry::new(Action::ChargePointRestored, now, author).on_charge_point(&identity);
    let password_made = made
        .is_some()
        .then(|| Entry::new(Action::PasswordMade, now, author).on_charge_point(&identity));
    audit::record_all(&mut transaction, [restored].into_iter().chain(password_made)).await?;
    let mut charge_point = list::read(&mut transaction, &identity).await?;
    transaction.commit().await?;
    tracing::info!(charge_point = %held.id, "A charge point that was retired is back");
    if is_short {
        tracing::warn!(charge_point = %held.id, "A charge point has a password so short that it can be guessed");
    }
    charge_point.resource.password = made;
    Ok(charge_point)
}
