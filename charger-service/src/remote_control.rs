//! Verbs: what operators have charge points do, in words that mean the same in every version of OCPP.
//!
//! A verb becomes the command that a version of OCPP has for it, and goes the way of every command from there on. Nothing here
//! guesses what the charge point will answer (rule 10 of the OCPP decisions): a connector that nobody has heard of goes on the
//! wire, too.

mod charging_limit;
pub mod request;
mod stop;
pub mod verb;

use std::sync::Arc;

use service_kit::reason::{self, FieldViolation};
use tonic::{Request, Response, Status};
use voltgate_proto::ocpp::v1::remote_control_service_server::RemoteControlService;
use voltgate_proto::ocpp::v1::{
    ClearChargingLimitRequest, Command, ResetChargePointRequest, SetAvailabilityRequest, SetChargingLimitRequest,
    StartChargingRequest, StopChargingRequest, UnlockConnectorRequest,
};

use self::request::Asked;
use crate::State;
use crate::command::asking::{Asking, Timed};
use crate::command::send::{self, SendCommand};
use crate::v1_6;

pub struct Grpc(pub Arc<State>);

#[tonic::async_trait]
impl RemoteControlService for Grpc {
    async fn start_charging(&self, request: Request<StartChargingRequest>) -> Result<Response<Command>, Status> {
        self.send(request, request::start_charging).await
    }

    async fn stop_charging(&self, request: Request<StopChargingRequest>) -> Result<Response<Command>, Status> {
        let identity = stop::charge_point_of(&self.0.database, request.get_ref().id).await?;
        self.send(request, |request| Ok(request::stop_charging(request, identity)))
            .await
    }

    async fn unlock_connector(&self, request: Request<UnlockConnectorRequest>) -> Result<Response<Command>, Status> {
        self.send(request, request::unlock_connector).await
    }

    async fn reset_charge_point(&self, request: Request<ResetChargePointRequest>) -> Result<Response<Command>, Status> {
        self.send(request, |request| Ok(request::reset_charge_point(request)))
            .await
    }

    async fn set_availability(&self, request: Request<SetAvailabilityRequest>) -> Result<Response<Command>, Status> {
        self.send(request, request::set_availability).await
    }

    async fn set_charging_limit(&self, request: Request<SetChargingLimitRequest>) -> Result<Response<Command>, Status> {
        let (identity, connector_id) = (&request.get_ref().identity, request.get_ref().connector_id);
        let stack_level = charging_limit::stack_level(&self.0.database, identity, connector_id).await?;
        self.send(request, |request| request::set_charging_limit(request, stack_level))
            .await
    }

    async fn clear_charging_limit(
        &self,
        request: Request<ClearChargingLimitRequest>,
    ) -> Result<Response<Command>, Status> {
        self.send(request, request::clear_charging_limit).await
    }
}

impl Grpc {
    async fn send<T: Timed>(
        &self,
        request: Request<T>,
        parse: impl FnOnce(T) -> Result<Asked, Vec<FieldViolation>>,
    ) -> Result<Response<Command>, Status> {
        let (asking, request) = Asking::of(request)?;
        let asked = parse(request).map_err(reason::invalid)?;
        Ok(Response::new(send(&self.0, asked, asking).await?))
    }
}

/// Puts it into the words of the charge point's version, and sends it.
///
/// # Errors
/// As those of a command.
pub async fn send(state: &State, asked: Asked, asking: Asking) -> Result<Command, Status> {
    let asking = Asking {
        patience: asked.patience(asking.patience),
        ..asking
    };
    let call = v1_6::verb::worded(&asked.verb).map_err(|error| reason::internal(&error))?;
    let command = SendCommand::worded(asked.identity, call, asking).map_err(reason::invalid)?;
    Ok(send::send(state, command).await?)
}
