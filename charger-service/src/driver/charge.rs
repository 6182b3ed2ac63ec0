//! Starts a charge at a connector, by what is printed on it, with a token of the driver.
//!
//! The token is held against the rules that hold at the charge point (`authorization.rs`), so that a driver hears at once why not.
//! The rest is the verb start-charging, and what the charge point makes of it.

use prost::Message as _;
use service_kit::database;
use service_kit::reason::{self, FieldViolation, Reason};
use thiserror::Error;
use tonic::Status;
use voltgate_proto::ocpp::v1::{ChargeCommand, StartChargingRequest, StartMyChargeRequest};

use super::Driver;
use super::command;
use super::connector::{self, ConnectorError, Place};
use super::id_token::{self, Choice};
use crate::State;
use crate::audit::Author;
use crate::authorization::{self, AuthorizationStatus, Presented, Purpose};
use crate::command::send;
use crate::remote_control::{self, request};

/// A charge that is wished for.
#[derive(Debug)]
pub(super) struct Wish {
    connector_code: String,
    id_token: Option<String>,
    wait_seconds: Option<i32>,
}

#[derive(Debug, Error)]
pub(super) enum ChargeError {
    #[error(transparent)]
    Connector(#[from] ConnectorError),
    #[error("the driver has no such id token")]
    UnknownToken,
    #[error("the driver has no id token")]
    NoToken,
    #[error("the driver has several id tokens")]
    SeveralTokens,
    #[error("the id token is not accepted: {0:?}")]
    Refused(AuthorizationStatus),
    #[error("nobody can start a charge at the connector now")]
    NotFree,
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
}

impl From<ChargeError> for Status {
    fn from(error: ChargeError) -> Self {
        match error {
            ChargeError::Connector(error) => error.into(),
            ChargeError::UnknownToken => Reason::NotFound.status("You have no such id token"),
            ChargeError::NoToken => Reason::NoIdToken.status("You have no id token; ask the operator for one"),
            ChargeError::SeveralTokens => {
                let problem = "is required where there are several to choose from";
                reason::invalid(vec![FieldViolation::new("idToken", problem)])
            }
            ChargeError::Refused(status) => refusal(status),
            ChargeError::NotFree => Reason::ConnectorNotFree.status(
                "No charge can be started at the connector now: it is in use, out of order, or not in service yet",
            ),
            ChargeError::Database(error) => database::failed(&error),
        }
    }
}

fn refusal(status: AuthorizationStatus) -> Status {
    match status {
        AuthorizationStatus::Blocked => Reason::IdTokenBlocked.status("The id token is blocked"),
        AuthorizationStatus::Expired => Reason::IdTokenExpired.status("The id token has expired"),
        AuthorizationStatus::ConcurrentTx => {
            Reason::IdTokenInUse.status("As many charges run with the id token as may at once")
        }
        AuthorizationStatus::Accepted | AuthorizationStatus::Invalid => {
            Reason::IdTokenNotAccepted.status("The id token may not charge here")
        }
    }
}

impl TryFrom<StartMyChargeRequest> for Wish {
    type Error = Vec<FieldViolation>;

    fn try_from(request: StartMyChargeRequest) -> Result<Self, Self::Error> {
        let mut violations = Vec::new();
        if request.connector_code.is_empty() {
            violations.push(FieldViolation::new("connectorCode", "is required"));
        }
        if request.wait_seconds.is_some_and(|wait| !(0..=120).contains(&wait)) {
            violations.push(FieldViolation::new("waitSeconds", "must be between 0 and 120"));
        }
        let has_null = |text: &str| text.contains('\0');
        for (field, text) in [
            ("connectorCode", Some(request.connector_code.as_str())),
            ("idToken", request.id_token.as_deref()),
        ] {
            if text.is_some_and(has_null) {
                violations.push(FieldViolation::new(field, "must not contain a null character"));
            }
        }
        if !violations.is_empty() {
            return Err(violations);
        }
        Ok(Self {
            connector_code: request.connector_code,
            id_token: request.id_token,
            wait_seconds: request.wait_seconds,
        })
    }
}

pub(super) async fn start(
    state: &State,
    driver: Driver,
    wish: Wish,
    author: Author,
    idempotency_key: Option<String>,
) -> Result<ChargeCommand, Status> {
    // Not the connector and the token that are found: they may be others when it is asked for again.
    let said = StartMyChargeRequest {
        connector_code: wish.connector_code.to_lowercase(),
        id_token: wish.id_token.clone(),
        wait_seconds: None,
    }
    .encode_to_vec();
    let asking = command::asking(author, idempotency_key, wish.wait_seconds, said);
    let _waiting = state.waiting_drivers.enter(driver.account)?;
    if let Some(command) = send::again(state, &asking).await? {
        return Ok(command::seen_by_driver(command));
    }
    let (place, id_token) = ready(state, driver, &wish).await?;
    let request = StartChargingRequest {
        identity: place.identity,
        id_token,
        connector_id: Some(place.connector_id),
        ..StartChargingRequest::default()
    };
    let asked = request::start_charging(request).map_err(|_| too_long())?;
    let command = remote_control::send(state, asked, asking).await?;
    Ok(command::seen_by_driver(command))
}

/// The only thing that can be wrong with what is registered: OCPP 1.6 has no room for it.
fn too_long() -> Status {
    Reason::IdTokenNotAccepted.status("The id token is longer than the charge point can be told")
}

/// Where to charge and with what, if the driver may. Nothing of it is held when the charge point is asked: what changes until then,
/// it finds out.
async fn ready(state: &State, driver: Driver, wish: &Wish) -> Result<(Place, String), ChargeError> {
    let now = state.clock.now();
    let mut connection = database::begin(&state.database).await?;
    let place = connector::find(&mut connection, &wish.connector_code).await?;
    let choice = id_token::choose(&mut connection, driver, wish.id_token.as_deref(), now).await?;
    let id_token = match choice {
        Choice::Token(value) => value,
        Choice::NotTheirs => return Err(ChargeError::UnknownToken),
        Choice::None => return Err(ChargeError::NoToken),
        Choice::Several => return Err(ChargeError::SeveralTokens),
    };
    let presented = Presented {
        id_token: &id_token,
        charge_point: place.charge_point,
        connector_id: Some(place.connector_id),
        purpose: Purpose::Start,
        at: now,
        heard: None,
    };
    let status = authorization::decide(&mut connection, &presented).await?.status;
    if status != AuthorizationStatus::Accepted {
        return Err(ChargeError::Refused(status));
    }
    if place.is_taken {
        return Err(ChargeError::NotFree);
    }
    Ok((place, id_token))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_that_is_wrong_is_named_at_once() {
        let wrong = StartMyChargeRequest {
            connector_code: String::new(),
            id_token: Some("\0".to_owned()),
            wait_seconds: Some(121),
        };
        let violations = Wish::try_from(wrong).expect_err("all are wrong");
        let fields: Vec<_> = violations.into_iter().map(|violation| violation.field).collect();
        assert_eq!(fields, ["connectorCode", "waitSeconds", "idToken"]);
    }
}
