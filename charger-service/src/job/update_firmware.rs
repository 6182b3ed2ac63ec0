//! Has a charge point fetch firmware from a URL of ours and install it (1.6, 6.57; L01, and the security whitepaper, 5.21, where it is
//! signed).

use service_kit::database;
use service_kit::reason::{self, FieldViolation};
use tonic::Status;
use voltgate_proto::ocpp::v1::{Command, UpdateFirmwareRequest};

use super::Kind;
use super::ask::{NewJob, ask, public_url};
use super::firmware_order::Order;
use crate::State;
use crate::command::asking::Asking;
use crate::file::firmware_named;
use crate::transfer::{NewTransfer, Token};

pub const NO_FIRMWARE: &str = "is not the name of a firmware that is here";

pub async fn update_firmware(state: &State, request: UpdateFirmwareRequest, asking: Asking) -> Result<Command, Status> {
    let url = public_url(state)?;
    let token = Token::generate();
    let mut violations = Vec::new();
    let now = state.clock.now();
    let order = Order::parse(&request, now, &mut violations);
    let file = {
        let mut connection = database::begin(&state.database)
            .await
            .map_err(|error| database::failed(&error))?;
        let named = firmware_named(&mut connection, &order.firmware).await;
        named.map_err(|error| database::failed(&error))?
    };
    if file.is_none() {
        violations.push(FieldViolation::new("firmware", NO_FIRMWARE));
    }
    let location = url.of_download(&token, &order.firmware);
    let job = NewJob {
        identity: request.identity,
        action: order.action(),
        payload: order.payload(&location, now),
        transfer: NewTransfer {
            token,
            kind: Kind::Firmware,
            file,
            not_before: order.retrieve_at,
        },
    };
    ask(state, asking, job, violations).await
}

/// The firmware was deleted between one look and the next.
pub fn gone() -> Status {
    reason::invalid(vec![FieldViolation::new("firmware", NO_FIRMWARE)])
}
